"""The answer to pytest-docker-tools' question which ports are open inside a container."""

from collections.abc import Mapping, Sequence

from .ports import is_listening

QUESTION = ["cat", "/proc/net/tcp", "/proc/net/tcp6"]
LISTENING = "0: 00000000:{port:04X} 00000000:0000 0A\n"


def is_probe(argv: Sequence[str]) -> bool:
    return list(argv) == QUESTION


def answer(ports: Mapping[str, int]) -> bytes:
    """List the ports as numbered inside, those whose stand-in on this machine listens, as /proc/net/tcp would."""
    inside = [int(name.split("/")[0]) for name, port in ports.items() if is_listening(port)]
    return "".join(LISTENING.format(port=port) for port in inside).encode()
