"""What can be known without Redis, Celery or a clock."""
