"""What every output format can do, and bytes that go out front to back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import BinaryIO

import numpy as np

from embdc_cli.scratch import discard, disk_errors, scratch_file
from embdc_cli.sink.layout import OutputStream, Progress


class Sink(ABC):
    """Takes the rows of all streams and makes one output of them; as a context it closes, or discards on failure.

    warnings: words for stderr about how the output is to be read. resources: what ends with the sink.
    """

    def __init__(self, streams: Sequence[OutputStream], resources: ExitStack) -> None:
        self.warnings: list[str] = []
        self._progress = {stream.name: Progress(stream) for stream in streams}
        self._resources = resources
        self._closed = False

    @abstractmethod
    def write(self, name: str, row0: int, rows: np.ndarray) -> None:
        """Append rows of stream `name` from row `row0` on: storage dtype, (n, *row_shape), flat (n, D) when ragged.

        Each stream's rows come in order; stream after stream costs no scratch space in any format but pt.
        ValueError for rows out of order or of another shape or type.
        """

    @abstractmethod
    def _finish(self) -> None:
        """Write what completes the output; every row is there."""

    def close(self) -> None:
        """Complete the output, once; ValueError when rows are missing."""
        if self._closed:
            return
        for progress in self._progress.values():
            progress.check_complete()
        self._finish()
        self._closed = True
        self._resources.close()

    def discard(self) -> None:
        """Give up without completing the output."""
        self._closed = True
        self._resources.close()

    def _scratch(self) -> BinaryIO:
        """A new scratch file that ends with the sink."""
        file = scratch_file()
        self._resources.callback(discard, file)
        return file

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.discard()


def row_bytes(rows: np.ndarray) -> memoryview:
    """The values of `rows` as bytes, without a copy where they lie in C order."""
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


class ByteOutput:
    """A binary output that is only ever appended to, so that a file and a pipe get the same bytes."""

    def __init__(self, out: BinaryIO, shown: str) -> None:
        self._out = out
        self._shown = shown

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`, however little a raw stream takes at once; ResourceError when the disk is full."""
        view = memoryview(data)
        with disk_errors(self._shown):
            while view.nbytes:
                view = view[self._out.write(view) :]
        return len(data)

    def flush(self) -> None:
        with disk_errors(self._shown):
            self._out.flush()
