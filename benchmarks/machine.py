"""Say what a measurement ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil
import redis

from celery_inbox.embedded import Server

PACKAGES = ("celery", "kombu", "redis", "celery-batches")
MODEL = "model name"


def describe() -> dict[str, str]:
    """Processor, memory, system, versions, and how busy the machine was before."""
    with Server() as server:
        info = redis.Redis.from_url(server.url).info("server")
    busy = os.getloadavg()[0]
    return {
        "processor": f"{os.cpu_count()} cores, {processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "server": f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "load before": f"{busy:.1f} (0 is a quiet machine)",
    }


def processor() -> str:
    """Its name as the kernel has it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(MODEL)]
    return named[0] if named else platform.processor() or platform.machine()
