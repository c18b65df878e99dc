"""Writing arrays through a sink, in pieces."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from embdc_cli.sink import Sink, open_sink
from embdc_cli.values import StreamSpec


class Dribble(io.RawIOBase):
    """An output that cannot seek and takes at most `step` bytes at once."""

    def __init__(self, step: int = 7) -> None:
        self.data = bytearray()
        self._step = step

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = memoryview(data)[: self._step]  # type: ignore[arg-type]  # whatever has bytes
        self.data += part
        return len(part)


def write_rows(sink: Sink, name: str, rows: np.ndarray, counts: np.ndarray | None, step: int) -> None:
    """All rows of one stream, `step` at a time."""
    edges = np.arange(len(rows) + 1) if counts is None else np.concatenate([[0], np.cumsum(counts)])
    for row in range(0, len(edges) - 1, step):
        sink.write(name, row, rows[edges[row] : edges[min(row + step, len(edges) - 1)]])


def written(
    form: str,
    out: str | Path | io.RawIOBase,
    specs: Sequence[StreamSpec],
    values: Mapping[str, np.ndarray],
    counts: Mapping[str, np.ndarray] | None = None,
    *,
    step: int = 3,
    order: Sequence[str] | None = None,
) -> list[str]:
    """Write `values`, stream after stream in `order`, and return the sink's warnings."""
    with open_sink(form, out, specs, token_counts=counts) as sink:  # type: ignore[arg-type]  # a raw stream will do
        for name in order or values:
            write_rows(sink, name, values[name], (counts or {}).get(name), step)
    return sink.warnings
