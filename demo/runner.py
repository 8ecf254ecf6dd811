"""The process that runs the Procfile: it ends, and all it started with it, when whoever asked for it is gone.

``Processes`` runs it as ``python -m demo.runner PROCFILE LOGS``. It writes one line of JSON to stdout for each process
that started, is ready or ended, and the output of each to a file of its own in LOGS.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from honcho.compat import ProcessManager
from honcho.environ import parse_procfile
from honcho.process import Process

POLL_INTERVAL = 0.1  # seconds
KILL_WAIT = 6.0  # seconds that a process has to end by itself
READY = b" ready."  # how the line of a Celery worker ends that consumes from now on


class Runner:
    """Runs some commands until one of them ends or it is told to stop; then ends them all.

    Args:
        commands: Shell commands by name.
        logs: Directory for their output.
    """

    def __init__(self, commands: dict[str, str], logs: Path) -> None:
        self.stop_asked = threading.Event()
        self.events: queue.Queue[Any] = queue.Queue()
        self.processes = {name: Process(command, name=name) for name, command in commands.items()}
        self.running: dict[str, int] = {}
        self.logs: dict[str, IO[bytes]] = {name: (logs / f"{name}.log").open("wb", 0) for name in commands}
        self.signals = ProcessManager()

    def run(self) -> None:
        """Start everything, stay until everything has ended."""
        for process in self.processes.values():
            threading.Thread(target=process.run, args=(self.events,), daemon=True).start()
        stopped: set[str] = set()
        told: set[str] = set()
        deadline = None
        while len(stopped) < len(self.processes):
            with suppress(queue.Empty):
                message = self.events.get(timeout=POLL_INTERVAL)
                self.note(message)
                if message.type == "stop":
                    stopped.add(message.name)
            self.end_orphans()
            if stopped or self.stop_asked.is_set():
                deadline = deadline or time.monotonic() + KILL_WAIT
                for name in self.running.keys() - told:
                    self.signals.terminate(self.running[name])
                    told.add(name)
                if time.monotonic() > deadline:
                    for pid in self.running.values():
                        self.signals.kill(pid)

    def end_orphans(self) -> None:
        """End the children of a process that has died without them; they hold its output open, so it seems to run."""
        for name, pid in self.running.items():
            if self.processes[name]._child.poll() is not None:
                self.signals.kill(pid)

    def note(self, message: Any) -> None:
        """Keep a line of output, or pass on what became of a process."""
        match message.type:
            case "start":
                self.running[message.name] = message.data["pid"]
                tell(started=message.name, pid=message.data["pid"])
            case "stop":
                del self.running[message.name]
                tell(stopped=message.name, status=message.data["returncode"])
            case "line":
                self.logs[message.name].write(message.data)
                if message.data.rstrip().endswith(READY):
                    tell(ready=message.name)


def tell(**fields: str | int) -> None:
    """Write to whoever asked for the processes, unless they are gone."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(fields).encode() + b"\n")


def main() -> None:
    """Run until stdin closes, a signal arrives or a process ends."""
    procfile, logs = map(Path, sys.argv[1:])
    runner = Runner(parse_procfile(procfile.read_text()).processes, logs)

    def stop_when_stdin_closes() -> None:
        os.read(0, 1)
        runner.stop_asked.set()

    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda _number, _frame: runner.stop_asked.set())
    threading.Thread(target=stop_when_stdin_closes, daemon=True).start()
    runner.run()


if __name__ == "__main__":
    main()
