"""The plain types that travel between sources, embedders, codecs, the container and sinks.

A `Dump` can be read again and again by rows; a `Feed` only once, front to back (a pipe, a video being embedded).
Rows are the first axis: frames of a video, records of anything else. Arrays are raw storage (see `dtypes`).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class StreamSpec:
    """One named tensor: `axes` names its axes, "t" first when it has rows.

    rows: number of rows, None while it is not known yet (a pipe).
    row_shape: shape of one row. A tensor of axes "c" or "" (0 or 1 dimension) has no row axis and is one row.
    special_tokens: leading tokens of axis n (CLS, registers) that are coded apart from the patch grid.
    ragged: the token count differs from row to row; then row_shape is (D,) and arrays are flat (sum of counts, D).
    """

    name: str
    dtype: str
    axes: str
    row_shape: tuple[int, ...]
    rows: int | None
    special_tokens: int = 0
    ragged: bool = False

    @property
    def timed(self) -> bool:
        """Whether the first axis is rows; otherwise the tensor is a single row without a row axis."""
        return self.axes.split(",")[0] == "t"

    @property
    def channel_axis(self) -> int:
        """Which axis of a row holds the channels: the one named c, else the last."""
        names = self.axes.split(",")[1 if self.timed else 0 :]
        if "c" in names and len(names) == len(self.row_shape):
            return names.index("c")
        return max(0, len(self.row_shape) - 1)

    @property
    def channels(self) -> int:
        """Length of the channel axis, D; 1 for a scalar."""
        return self.row_shape[self.channel_axis] if self.row_shape else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole tensor as the user knows it; rows must be known. A ragged one shows (T, -1, D)."""
        if not self.timed:
            return self.row_shape
        middle = (-1,) if self.ragged else ()
        return (self.known_rows, *middle, *self.row_shape)

    @property
    def known_rows(self) -> int:
        if self.rows is None:
            raise ValueError(f"rows of stream {self.name!r} are not known yet")
        return self.rows

    @property
    def row_values(self) -> int:
        """Values in one row (in one token, when ragged)."""
        return math.prod(self.row_shape)

    def with_rows(self, rows: int) -> StreamSpec:
        return replace(self, rows=rows)


class Ticks(Protocol):
    """Consecutive rows of a timeline, in rising order. first: start of the first one."""

    @property
    def first(self) -> int: ...

    @property
    def rows(self) -> int: ...

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """(starts, ends), each (rows,) int64."""


@dataclass(frozen=True)
class SteadyTicks:
    """A constant rate: row i starts at first + i step and ends a step later. Costs no memory, whatever the rows."""

    first: int
    step: int
    rows: int

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        starts = self.first + self.step * np.arange(self.rows, dtype=np.int64)
        return starts, starts + self.step


@dataclass(frozen=True)
class ArrayTicks:
    """Any starts and ends, (rows,) int64; at least one row."""

    starts: np.ndarray
    ends: np.ndarray

    @property
    def first(self) -> int:
        return int(self.starts[0])

    @property
    def rows(self) -> int:
        return len(self.starts)

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        return self.starts, self.ends


class Timeline:
    """Start and end of every row, int64 ticks of `timebase` seconds, relative to nothing (source PTS as found).

    zero: the tick from which users count seconds: the start of the first row, unless rows go by the clock of others.
    It is kept in pieces, so that what a file says in few bytes takes little memory: single rows and times are looked up
    within one piece, `starts` and `ends` are made of all of them each time they are asked for.
    """

    def __init__(self, starts: np.ndarray, ends: np.ndarray, timebase: Fraction) -> None:
        self.timebase = timebase
        self._pieces: list[Ticks] = []
        self._edges = [0]
        self._firsts: list[int] = []
        self._rows = 0
        self._zero: Fraction | None = None
        self._last: tuple[int, tuple[np.ndarray, np.ndarray]] | None = None  # the piece looked into last
        if len(starts):
            self.add(ArrayTicks(starts, ends))

    @classmethod
    def of(cls, pieces: Iterable[Ticks], rows: int, timebase: Fraction) -> Timeline:
        """The first `rows` rows of `pieces`, or as many as there are."""
        timeline = cls(np.zeros(0, np.int64), np.zeros(0, np.int64), timebase)
        for piece in pieces:
            timeline.add(piece)
        timeline._rows = min(rows, timeline._rows)
        return timeline

    def add(self, piece: Ticks) -> None:
        """Append rows; a rate that goes on takes no more memory."""
        before = self._pieces[-1] if self._pieces else None
        self._rows += piece.rows
        if isinstance(piece, SteadyTicks) and isinstance(before, SteadyTicks):
            goes_on = before.first + before.rows * before.step, before.step
            if (piece.first, piece.step) == goes_on:
                self._pieces[-1] = SteadyTicks(before.first, before.step, before.rows + piece.rows)
                self._edges[-1] = self._rows
                return
        self._pieces.append(piece)
        self._firsts.append(piece.first)
        self._edges.append(self._rows)

    @property
    def starts(self) -> np.ndarray:
        return self._whole(0)

    @property
    def ends(self) -> np.ndarray:
        return self._whole(1)

    def __len__(self) -> int:
        return self._rows

    @property
    def zero(self) -> Fraction:
        """The tick from which users count seconds; at least one row."""
        return Fraction(self.start(0)) if self._zero is None else self._zero

    def goes_by(self, other: Timeline) -> None:
        """Count seconds from where `other` does, whose ticks have the same beginning; nothing where it has no rows."""
        if len(other):
            self._zero = other.zero * other.timebase / self.timebase

    def start(self, row: int) -> int:
        """The tick at which `row` starts."""
        return self._look_up(row, 0)

    def end(self, row: int) -> int:
        """The tick at which `row` ends."""
        return self._look_up(row, 1)

    def seconds(self, row: int) -> float:
        """Start of `row` in seconds after `zero`."""
        return float((self.start(row) - self.zero) * self.timebase)

    def rows_before(self, tick: int) -> int:
        """How many rows start before `tick`."""
        at = bisect_left(self._firsts, tick) - 1
        if at < 0:
            return 0
        piece = self._pieces[at]
        if isinstance(piece, SteadyTicks):
            inside = min(piece.rows, -((piece.first - tick) // piece.step))
        else:
            inside = int(np.searchsorted(self._columns(at)[0], min(tick, np.iinfo(np.int64).max)))
        return min(self._edges[at] + inside, self._rows)

    def _look_up(self, row: int, column: int) -> int:
        if not 0 <= row < self._rows:
            raise IndexError(f"row {row} of {self._rows}")
        at = bisect_right(self._edges, row) - 1
        piece, inside = self._pieces[at], row - self._edges[at]
        if isinstance(piece, SteadyTicks):
            return piece.first + (inside + column) * piece.step
        return int(self._columns(at)[column][inside])

    def _columns(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        last = self._last
        if last is None or last[0] != at:
            self._last = last = None  # let go of before the next one is made
            self._last = last = at, self._pieces[at].columns()
        return last[1]

    def _whole(self, column: int) -> np.ndarray:
        if not self._pieces:
            return np.zeros(0, np.int64)
        if len(self._pieces) == 1:
            return self._pieces[0].columns()[column][: self._rows]
        return np.concatenate([piece.columns()[column] for piece in self._pieces])[: self._rows]


@dataclass
class Block:
    """Consecutive rows of every stream of a feed; ragged streams add the token count of each row."""

    arrays: dict[str, np.ndarray]
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    token_counts: dict[str, np.ndarray] = field(default_factory=dict)


class Tensor(Protocol):
    """A named tensor whose rows can be read in any order, any number of times."""

    @property
    def spec(self) -> StreamSpec: ...

    @property
    def token_counts(self) -> np.ndarray | None:
        """int64 (T,) for ragged tensors, else None."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) in storage dtype, C-contiguous: (stop-start, *row_shape), flat (n, D) when ragged."""


@dataclass(frozen=True)
class ArrayTensor:
    """A tensor in memory (or memory-mapped): array (T, *row_shape) in storage dtype; flat (n, D) when ragged."""

    spec: StreamSpec
    array: np.ndarray
    token_counts: np.ndarray | None = None

    def read(self, start: int, stop: int) -> np.ndarray:
        if self.token_counts is not None:
            offsets = np.concatenate([[0], np.cumsum(self.token_counts)])
            start, stop = int(offsets[start]), int(offsets[stop])
        return np.ascontiguousarray(self.array[start:stop])


@dataclass(frozen=True)
class AddedStream:
    """A tensor that goes by the clock of an input, with rows and times of its own.

    timeline: microseconds after the first row of the input. source, warnings: as of `Dump`.
    """

    tensor: Tensor
    timeline: Timeline
    source: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def after(self, main: Timeline | None) -> Timeline:
        """The rows' times on the clock that `main` has, the timeline of the input."""
        if main is None or not len(main):
            return self.timeline
        shift = round(main.start(0) * main.timebase / self.timeline.timebase)
        return Timeline(self.timeline.starts + shift, self.timeline.ends + shift, self.timeline.timebase)


@dataclass
class Dump:
    """One item whose tensors are all re-readable.

    source: what is known of the input (kind, size_bytes, digests); never a path. encoder: who made the embeddings.
    timeline: shared by the streams named in `timed_streams` (their rows are the timeline's rows).
    warnings: words for stderr (a cast, a skipped dataset). incomplete: why the input ended early, if it did.
    exact_streams: floats that no codec may change whatever the target (seconds beside features).
    beside: what goes by this item's clock, each as an item of its own.
    """

    tensors: Sequence[Tensor]
    name: str = ""
    timeline: Timeline | None = None
    timed_streams: frozenset[str] = frozenset()
    source: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    incomplete: str | None = None
    exact_streams: frozenset[str] = frozenset()
    beside: Sequence[AddedStream] = ()
    close: Callable[[], None] = lambda: None


@dataclass
class Feed:
    """One item that can be read once, front to back: `blocks` yields all streams' rows in step.

    untimed_streams: those whose rows are not the rows of the timeline. exact_streams, beside: as in `Dump`.
    incomplete: set by the producer when the input ended early but what was given is good (a broken video).
    """

    specs: Sequence[StreamSpec]
    blocks: Iterator[Block]
    name: str = ""
    timebase: Fraction | None = None
    untimed_streams: frozenset[str] = frozenset()
    exact_streams: frozenset[str] = frozenset()
    source: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    incomplete: str | None = None
    beside: Sequence[AddedStream] = ()
    close: Callable[[], None] = lambda: None
