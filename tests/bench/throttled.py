"""A file system as slow as a network: `throttled:///path` reads local files through one link that all processes share.

Bytes pass the link one after the other at its rate, whoever asks for them, and are counted. There is no latency.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

_link = multiprocessing.get_context("fork").Array("d", 3)  # rate, when it is free again, bytes so far; of all processes


def begin(bytes_per_second: float) -> None:
    """Set the rate, infinity for none, and count from nothing."""
    with _link:
        _link[:] = [bytes_per_second, 0.0, 0.0]


def bytes_read() -> int:
    return int(_link[2])


def carry(size: int) -> None:
    """Wait until the link has carried so many bytes more."""
    with _link:
        arrived = max(time.monotonic(), _link[1]) + size / _link[0]
        _link[1] = arrived
        _link[2] += size
    time.sleep(max(0.0, arrived - time.monotonic()))


class ThrottledFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Local files, read only."""

    protocol = "throttled"
    root_marker = "/"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        return {"name": path, "size": os.path.getsize(path), "type": "file"}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        with open(self._strip_protocol(path), "rb") as file:
            file.seek(start or 0)
            data = file.read(-1 if end is None else end - (start or 0))
        carry(len(data))
        return data

    def _open(self, path: str, mode: str = "rb", **options: Any) -> AbstractBufferedFile:
        return _File(self, path, mode, **options)


class _File(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start, end)


fsspec.register_implementation("throttled", ThrottledFileSystem, clobber=True)
