"""Small programs that use celery-inbox."""
