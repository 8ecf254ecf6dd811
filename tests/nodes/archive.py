"""Files in and out of a container, as tar archives."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO


def unpack(data: bytes | IO[bytes] | Iterable[bytes], directory: Path) -> None:
    """Unpack a tar archive, compressed or not, into ``directory``."""
    content = data if isinstance(data, bytes) else b"".join(data)
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        # The parameter came with 3.10.12 and 3.11.4.
        if hasattr(tarfile, "data_filter"):
            tar.extractall(directory, filter="data")
        else:
            tar.extractall(directory)


def pack(path: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(mode="w", fileobj=buffer) as tar:
        tar.add(path, arcname=path.name)
    return buffer.getvalue()
