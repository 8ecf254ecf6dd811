"""Free TCP ports on the loopback interface."""

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

FreePort: TypeAlias = Callable[[], int]

LOOPBACK = "127.0.0.1"
LOWEST = 10_240
CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port nobody listens on now; the next process to bind may still be faster than yours."""
    while True:
        # The kernel gives ports of the client range to whoever connects: a broker that is down for a restart
        # would find its own taken by the very worker that tries to reach it.
        port = random.randrange(LOWEST, _lowest_client_port())
        if _can_bind(port):
            return port


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((LOOPBACK, port)) == 0


def _can_bind(port: int) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _lowest_client_port() -> int:
    if not CLIENT_PORTS.exists():
        return 32_768
    lowest = int(CLIENT_PORTS.read_text().split()[0])
    return lowest if lowest > LOWEST + 1_000 else 65_536
