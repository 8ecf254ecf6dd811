"""The pieces that let pytest-celery run without a Docker engine: the same API, backed by local processes."""

from .connect import connect
from .engine import ProcessEngine

__all__ = ["ProcessEngine", "connect"]
