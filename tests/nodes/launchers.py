"""Which launcher stands for which image.

Another server is one entry here: the repository's name without its owner, and a function from Order to Plan.
"""

import re

from .order import Launcher
from .rabbitmq import launch_rabbitmq
from .redis_server import launch_redis

LAUNCHERS: dict[str, Launcher] = {
    "rabbitmq": launch_rabbitmq,
    "redis": launch_redis,
    "valkey": launch_redis,
}


def launcher_named(image: str) -> Launcher | None:
    """Return the launcher of ``redis:7`` or ``docker.io/valkey/valkey:8``, None for an image nobody knows."""
    repository = re.sub(r"[:@][^/]*$", "", image)
    return LAUNCHERS.get(repository.rpartition("/")[2])
