"""How large these tests make things: a tenth in the suite, all of it with LIMITS=full (``make limits``)."""

import os

FULL = os.environ.get("LIMITS") == "full"
SHARE = 1 if FULL else 10


def size(full: int) -> int:
    """A number of messages or sessions."""
    return full // SHARE
