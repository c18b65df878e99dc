"""Formats that are one section of bytes per array, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np

from embdc_cli.scratch import disk_errors, scratch_folder
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sink import ByteOutput, Sink, row_bytes

_PIECE = 1 << 20


class SequentialSink(Sink):
    """Writes a section per stream in the order given; rows of one whose turn has not come wait in a scratch file.

    A format says what surrounds the values, which are the bytes of all rows, by overriding the methods at the end.
    """

    def __init__(self, out: ByteOutput, streams: Sequence[OutputStream], resources: ExitStack) -> None:
        super().__init__(streams, resources)
        self.out = out
        self._coming = deque(streams)
        self._current: OutputStream | None = None
        self._waiting: dict[str, BinaryIO] = {}
        self._started = False

    def write(self, name: str, row0: int, rows: np.ndarray) -> None:
        """See `Sink.write`."""
        self._start()
        self._progress[name].advance(row0, rows)
        if self._current is not None and name == self._current.name:
            self.values(row_bytes(self.rows(self._current, rows)))
            self._go_on()
        elif len(rows):
            if name not in self._waiting:
                self._waiting[name] = self._scratch()
            with disk_errors(scratch_folder()):
                self._waiting[name].write(row_bytes(rows))

    def close(self) -> None:
        """See `Sink.close`."""
        if not self._closed:
            self._start()  # an output without a single row
        super().close()

    def _finish(self) -> None:
        self.end_output()
        self.out.flush()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self.begin_output()
            self._go_on()

    def _go_on(self) -> None:
        """End the sections that are complete and begin the next ones, until one lacks rows."""
        while self._current is None or self._progress[self._current.name].complete:
            if self._current is not None:
                self.end(self._current)
            if not self._coming:
                self._current = None
                return
            self._current = self._coming.popleft()
            self.begin(self._current)
            self._drain(self._current)

    def _drain(self, stream: OutputStream) -> None:
        """Write what is there of `stream` already: its known values, or the rows that have waited."""
        if stream.known is not None:
            self._progress[stream.name].advance(0, stream.known)
            self.values(row_bytes(stream.known))
        waiting = self._waiting.pop(stream.name, None)
        if waiting is not None:
            waiting.seek(0)
            while piece := waiting.read(_PIECE):
                self.values(memoryview(piece))
            waiting.close()

    def begin_output(self) -> None:
        """Write what precedes the first section."""

    def begin(self, stream: OutputStream) -> None:
        """Write what precedes the values of `stream`."""

    def rows(self, stream: OutputStream, rows: np.ndarray) -> np.ndarray:
        """`rows` of a stream as their bytes are to be written; a format that changes them has a single stream."""
        del stream
        return rows

    def values(self, data: memoryview) -> None:
        """Write some values of the current stream."""
        self.out.write(data)

    def end(self, stream: OutputStream) -> None:
        """Write what follows the values of `stream`."""

    def end_output(self) -> None:
        """Write what follows the last section."""
