"""Who moves sessions along: dispatcher, drain, leases, the steps inside ``celery worker``."""
