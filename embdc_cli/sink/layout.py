"""What a sink is told before the first row: names, specs and, for ragged streams, how many tokens each row has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embdc_cli.dtypes import item_bytes, storage
from embdc_cli.dump_formats import TOKEN_COUNTS
from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec


@dataclass(frozen=True)
class OutputStream:
    """One array of the output under the key `name`.

    counts: int64 (T,) tokens per row of a ragged stream. known: all rows of an array that nobody writes, such as them.
    """

    name: str
    spec: StreamSpec
    counts: np.ndarray | None = None
    known: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array as it is stored; flat (sum of counts, D) when ragged."""
        if self.counts is not None:
            return (int(self.counts.sum()), *self.spec.row_shape)
        return self.spec.shape

    @property
    def elements(self) -> int:
        """Rows that are written: tokens when ragged."""
        return self.spec.known_rows if self.counts is None else int(self.counts.sum())

    @property
    def row_bytes(self) -> int:
        return self.spec.row_values * item_bytes(self.spec.dtype)

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return self.elements * self.row_bytes


class Progress:
    """How far a stream is written; refuses rows out of order, of another shape or type."""

    def __init__(self, stream: OutputStream) -> None:
        self.stream = stream
        self.elements = 0
        self._edges = None if stream.counts is None else np.concatenate([[0], np.cumsum(stream.counts)])

    @property
    def complete(self) -> bool:
        return self.elements == self.stream.elements

    def advance(self, row0: int, rows: np.ndarray) -> None:
        """Count `rows` (tokens when ragged), which start at row `row0`; ValueError when they do not fit."""
        stream, spec = self.stream, self.stream.spec
        expected = row0 if self._edges is None else int(self._edges[row0])
        if self.elements != expected or self.elements + len(rows) > stream.elements:
            raise ValueError(
                f"stream {stream.name!r}: {len(rows)} written at row {row0}, "
                f"expected at {self.elements} of {stream.elements}"
            )
        if rows.dtype != storage(spec.dtype) or rows.shape[1:] != spec.row_shape:
            raise ValueError(
                f"stream {stream.name!r}: rows of {rows.dtype} {rows.shape[1:]}, "
                f"expected {storage(spec.dtype)} {spec.row_shape}"
            )
        self.elements += len(rows)

    def check_complete(self) -> None:
        """ValueError unless every row was written."""
        if not self.complete:
            raise ValueError(
                f"stream {self.stream.name!r}: {self.elements} rows or tokens written, expected {self.stream.elements}"
            )


def output_streams(
    specs: Sequence[StreamSpec], names: Sequence[str] | None, token_counts: Mapping[str, np.ndarray] | None
) -> list[OutputStream]:
    """The streams of an output in order; names default to the specs'.

    Raises UsageError when two have one name, ValueError when the counts of a ragged stream are missing or do not
    match its rows.
    """
    streams = []
    for spec, name in zip(specs, names or [spec.name for spec in specs], strict=True):
        counts = None
        if spec.ragged:
            counts = np.asarray((token_counts or {})[name], np.int64)
            if len(counts) != spec.rows:
                raise ValueError(f"stream {name!r}: {len(counts)} token counts, expected {spec.rows}")
        streams.append(OutputStream(name, spec, counts))
    _check_names(streams)
    return streams


def with_counts(streams: Sequence[OutputStream]) -> list[OutputStream]:
    """`streams` for a format without lists: after each ragged one the array NAME.token_counts, which is known."""
    arrays = []
    for stream in streams:
        arrays.append(stream)
        if stream.counts is not None:
            name = stream.name + TOKEN_COUNTS
            spec = StreamSpec(name, "int64", "c", stream.counts.shape, 1)
            arrays.append(OutputStream(name, spec, known=stream.counts.reshape(1, -1)))
    _check_names(arrays)
    return arrays


def _check_names(streams: Sequence[OutputStream]) -> None:
    seen = set[str]()
    for stream in streams:
        if stream.name in seen:
            hint = "choose one with --stream or --item"
            raise UsageError(f"output: two arrays are called {stream.name!r}", hint=hint)
        seen.add(stream.name)
