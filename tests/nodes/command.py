"""Launching a plain command, such as ``celery worker``, with this Python."""

import sys
from pathlib import Path

from .binds import rewrite
from .order import Order, Plan
from .ports import FreePort


def launch_command(order: Order, _: FreePort) -> Plan:
    # Two workers on one machine would share the name of its host.
    argv = [rewrite(part, order.binds).replace("@%h", f"@{order.short_id}") for part in order.command]
    return Plan(
        argv=tuple(with_this_python(argv)),
        ports={inside: port for inside, port in order.ports.items() if port},
        ready_line="ready." if {"celery", "worker"} <= set(order.command) else "",
    )


def with_this_python(argv: list[str]) -> list[str]:
    """Replace ``python`` and ``celery`` by those of ``sys.executable``, under which the project is importable."""
    program, *arguments = argv
    if program in ("python", "python3"):
        return [sys.executable, *arguments]
    if program == "celery":
        script = Path(sys.executable).with_name("celery")
        # The script, where there is one: the process is then called celery, as in a container.
        return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "celery", *arguments]
    return argv
