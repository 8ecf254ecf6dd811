"""The module that answers ``worker.get_running_processes_info()``: its source is copied into the worker's directory."""

import json
import os

import psutil

COLUMNS = ["pid", "name", "username", "cmdline", "cpu_percent", "memory_percent", "create_time"]


def get_running_processes_info(columns: list[str] | None = None) -> str:
    """Describe the worker's own processes in JSON; in a real container these are all there are."""
    return json.dumps([process.as_dict(columns or COLUMNS) for process in _processes()])


def _processes() -> list[psutil.Process]:
    main = os.environ.get("NODE_MAIN_PID")
    if main is None:
        return list(psutil.process_iter())
    return [psutil.Process(int(main)), *psutil.Process(int(main)).children(recursive=True)]
