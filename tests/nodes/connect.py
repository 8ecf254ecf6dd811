"""The choice between a real Docker engine and the process engine."""

import os
from typing import TypeAlias

import docker
from docker import DockerClient
from docker.errors import DockerException

from .engine import ProcessEngine

Engine: TypeAlias = DockerClient | ProcessEngine

CHOICE_VARIABLE = "PYTEST_CELERY_ENGINE"


def connect(choice: str | None = None) -> Engine:
    """Connect to the engine that runs the nodes.

    Args:
        choice: ``docker``, ``process`` or ``auto`` (Docker if it answers a ping); None reads PYTEST_CELERY_ENGINE,
            which is ``auto`` when unset.

    Raises:
        DockerException: ``docker`` was asked for and does not answer; nothing was started.
        ValueError: the choice is none of the three.
    """
    choice = choice or os.environ.get(CHOICE_VARIABLE) or "auto"
    if choice == "process":
        return ProcessEngine()
    if choice == "docker":
        return _ping_docker()
    if choice == "auto":
        try:
            return _ping_docker()
        except DockerException:
            return ProcessEngine()
    raise ValueError(f"{CHOICE_VARIABLE} is {choice!r}; it must be docker, process or auto")


def _ping_docker() -> DockerClient:
    client = docker.from_env()
    client.ping()
    return client
