"""What every output format can do, and bytes that go out front to back."""

from __future__ import annotations

from typing import BinaryIO, Protocol

import numpy as np

from embdc_cli.scratch import disk_errors


class Sink(Protocol):
    """Takes the rows of all streams and makes one output of them.

    warnings: words for stderr about how the output is to be read.
    """

    @property
    def warnings(self) -> list[str]: ...

    def write(self, name: str, row0: int, rows: np.ndarray) -> None:
        """Append rows of stream `name` from row `row0` on: storage dtype, (n, *row_shape), flat (n, D) when ragged.

        Each stream's rows come in order; stream after stream costs no scratch space in any format but pt.
        """

    def close(self) -> None:
        """Complete the output; ValueError when rows are missing."""

    def discard(self) -> None:
        """Give up: release everything without completing the output."""


def row_bytes(rows: np.ndarray) -> memoryview:
    """The values of `rows` as bytes, without a copy where they lie in C order."""
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


class ByteOutput:
    """A binary output that is only ever appended to, so that a file and a pipe get the same bytes."""

    def __init__(self, out: BinaryIO, shown: str) -> None:
        self._out = out
        self._shown = shown
        self.written = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`, however little a raw stream takes at once; ResourceError when the disk is full."""
        view = memoryview(data)
        with disk_errors(self._shown):
            while len(view):
                view = view[self._out.write(view) or 0 :]
        self.written += len(data)
        return len(data)

    def flush(self) -> None:
        with disk_errors(self._shown):
            self._out.flush()
