"""The life of a container's process: started, watched until ready, stopped, started again."""

import signal

from .environment import environment, working_directory
from .order import Launcher, Order, Plan
from .ports import FreePort
from .process_group import ProcessGroup
from .waiting import wait_until
from .watchdog import Watchdog

PORT_ATTEMPTS = 5
START_TIMEOUT = 30.0  # seconds
PORT_IS_TAKEN = (b"address already in use", b"eaddrinuse")


class Run:
    """One process at a time, one log for all of them."""

    def __init__(self, order: Order, launcher: Launcher, watchdog: Watchdog, free_port: FreePort) -> None:
        self.order = order
        self.plan = Plan(argv=())
        self.log = order.home / "log"
        self.log.touch()
        self._launcher = launcher
        self.watchdog = watchdog
        self._free_port = free_port
        self._process: ProcessGroup | None = None
        self._log_start = 0
        self._is_paused = False

    @property
    def pid(self) -> int:
        """Id of the main process, 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code() if self._process else None

    @property
    def status(self) -> str:
        """One of Docker's words: ``created``, ``running``, ``paused``, ``exited``."""
        if self._process is None:
            return "created"
        if self.exit_code is not None:
            return "exited"
        return "paused" if self._is_paused else "running"

    def start(self) -> None:
        """Start and wait until ready; a port lost to a faster process is replaced.

        A process that ends or is slow is left as it is: its status and its log tell the caller.
        """
        for _ in range(PORT_ATTEMPTS):
            self.plan = self._launcher(self.order, self._free_port)
            self._launch()
            if not self._lost_its_port():
                return

    def restart(self, timeout: float) -> None:
        """Stop within ``timeout`` seconds, then run the same plan, thus the same ports, until ready."""
        self.stop(timeout)
        self._launch()

    def pause(self) -> None:
        if self._process and self.exit_code is None:
            self._process.freeze()
            self._is_paused = True

    def unpause(self) -> None:
        if self._process and self.exit_code is None:
            self._process.thaw()
            self._is_paused = False

    def stop(self, timeout: float) -> None:
        self.unpause()
        self.send(signal.SIGTERM)
        if self._process and self._process.wait(timeout) is None:
            self.send(signal.SIGKILL)

    def send(self, signum: int) -> None:
        if self._process:
            self._process.send(signum)

    def wait(self, timeout: float) -> int | None:
        return self._process.wait(timeout) if self._process else None

    def _launch(self) -> None:
        self._log_start = self.log.stat().st_size
        self._is_paused = False
        self._process = ProcessGroup(
            self.plan.argv,
            env=environment(self.order, self.plan),
            cwd=working_directory(self.order),
            log=self.log,
            watchdog=self.watchdog,
        )
        wait_until(lambda: self._is_ready() or self.status == "exited", START_TIMEOUT)

    def _is_ready(self) -> bool:
        return self.plan.ready_line.encode() in self._log_of_this_start()

    def _lost_its_port(self) -> bool:
        log = self._log_of_this_start().lower()
        return (
            bool(self.plan.ports) and self.status == "exited" and any(complaint in log for complaint in PORT_IS_TAKEN)
        )

    def _log_of_this_start(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read()
