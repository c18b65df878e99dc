"""Which clips there are: by numbers of rows, or by seconds on the clock of the rows, whatever their rate.

A run is what clips are cut from: a stream of an archive, or several, whose rows belong together, in any order. Clips of
a run are numbered from its start: row 0, or the zero of the clock of each stream, as `Archive.between` counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Protocol

import numpy as np

from embdc_cli.data.manifest import Manifest, StreamRows
from embdc_cli.errors import UsageError
from embdc_cli.slicing import exact
from embdc_cli.values import Timeline

HALF: Fraction = Fraction(1, 2)


@dataclass(frozen=True)
class Run:
    """Streams of archive number `archive`, from which clips are cut together."""

    archive: int
    streams: tuple[StreamRows, ...]


class Cut(Protocol):
    """A way to cut runs into clips."""

    def check(self, run: Run, where: str) -> None:
        """Nothing, for a run that can be cut this way. Raises: UsageError."""

    def count(self, run: Run) -> int:
        """Number of clips."""

    def chunks(self, run: Run, stream: StreamRows, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(first chunk, chunk after the last) of a stream that each of `clips` (rising) needs; they never fall.

        Of clips by seconds it may be a chunk more.
        """

    def rows(self, run: Run, stream: StreamRows, clip: int, timeline: Timeline | None) -> np.ndarray:
        """The rows of a stream that a clip holds: int64, rising or the same again."""

    def seconds(self, clip: int) -> float | None:
        """Start of a clip on the clock of the archive, of cuts by seconds."""


@dataclass(frozen=True)
class ByRows:
    """`rows` rows, `every` rows apart; the next clip starts `stride` rows on."""

    count_rows: int
    every: int
    stride: int

    def __post_init__(self) -> None:
        for name, value in (("rows", self.count_rows), ("every", self.every), ("stride", self.stride)):
            if value < 1:
                raise UsageError(f"{name}: expected at least 1, found {value}")

    @property
    def _span(self) -> int:
        return (self.count_rows - 1) * self.every + 1

    def check(self, run: Run, where: str) -> None:
        if len({stream.rows for stream in run.streams}) > 1:
            found = ", ".join(f"{stream.name} has {stream.rows}" for stream in run.streams)
            raise UsageError(f"{where}: expected streams of equally many rows, {found}", hint="cut them by seconds")

    def count(self, run: Run) -> int:
        return max(0, (run.streams[0].rows - self._span) // self.stride + 1)

    def chunks(self, run: Run, stream: StreamRows, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts = clips * self.stride
        first = np.searchsorted(stream.chunks[:, 1], starts, side="right")
        return first, np.searchsorted(stream.chunks[:, 0], starts + self._span, side="left")

    def rows(self, run: Run, stream: StreamRows, clip: int, timeline: Timeline | None) -> np.ndarray:
        start = clip * self.stride
        return np.arange(start, start + self._span, self.every)

    def seconds(self, clip: int) -> float | None:
        return None


@dataclass(frozen=True)
class BySeconds:
    """All rows that start within `length` seconds, or at `fps` the one that is shown at each of them; exact fractions.

    The next clip starts `stride` seconds on.
    """

    length: Fraction
    fps: Fraction | None
    stride: Fraction

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.length), ("fps", self.fps), ("stride", self.stride)):
            if value is not None and value <= 0:
                raise UsageError(f"{name}: expected more than 0, found {float(value):g}")

    def check(self, run: Run, where: str) -> None:
        for stream in run.streams:
            if stream.timebase is None:
                raise UsageError(f"{where}: stream {stream.name!r} keeps no times", hint="cut clips by rows")

    def count(self, run: Run) -> int:
        if not all(stream.rows for stream in run.streams):
            return 0
        # times are rounded to ticks: half of one must not cost the last clip
        ends = [(stream.last - stream.zero + HALF) * _tick(stream) for stream in run.streams]
        # what lies beside may end early, as words do, or late: it decides only where nothing else is asked for
        own = [end for stream, end in zip(run.streams, ends, strict=True) if not stream.beside]
        room = (min(own) if own else max(ends)) - self.length
        return max(0, math.floor(room / self.stride) + 1)

    def chunks(self, run: Run, stream: StreamRows, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        edges = [self._ticks(stream, clip) for clip in clips.tolist()]
        begins = stream.chunks[:, 2]
        first = np.searchsorted(begins, [low for low, _ in edges], side="right") - 1
        last = np.searchsorted(begins, [high for _, high in edges], side="left")
        return np.maximum(first, 0), np.maximum(last, 1)

    def rows(self, run: Run, stream: StreamRows, clip: int, timeline: Timeline | None) -> np.ndarray:
        assert timeline is not None  # what `check` has seen to
        if self.fps is None:
            low, high = self._ticks(stream, clip)
            return np.arange(timeline.rows_before(low), min(timeline.rows_before(high), stream.rows))
        ticks = [self._shown(stream, clip, slot) for slot in range(self._slots)]
        rows = [timeline.rows_before(tick + 1) - 1 for tick in ticks]
        return np.clip(np.array(rows, np.int64), 0, stream.rows - 1)

    def seconds(self, clip: int) -> float | None:
        return float(clip * self.stride)

    @property
    def _slots(self) -> int:
        assert self.fps is not None
        return math.ceil(self.length * self.fps)

    def _ticks(self, stream: StreamRows, clip: int) -> tuple[int, int]:
        """(first tick, tick after the last) of a stream that says something about a clip."""
        if self.fps is not None:
            return self._shown(stream, clip, 0), self._shown(stream, clip, self._slots - 1) + 1
        start = clip * self.stride
        low, high = (stream.zero + seconds / _tick(stream) for seconds in (start, start + self.length))
        return math.ceil(low), math.ceil(high)

    def _shown(self, stream: StreamRows, clip: int, slot: int) -> int:
        """The last tick at which a row may start that is shown in a slot, with half a tick of tolerance."""
        assert self.fps is not None
        return math.floor(stream.zero + (clip * self.stride + slot / self.fps) / _tick(stream) + HALF)


def cut_by(rows: int | None, every: int, seconds: float | None, fps: float | None, stride: float | None) -> Cut:
    """The cut that the arguments of a data set mean. Raises: UsageError."""
    if (rows is None) == (seconds is None):
        raise UsageError("clips: expected either rows or seconds")
    if seconds is not None:
        if every != 1:
            raise UsageError("every: expected clips by rows", hint="fps says how many rows a second")
        length = exact("seconds", seconds)
        rate = None if fps is None else exact("fps", fps)
        return BySeconds(length, rate, length if stride is None else exact("stride", stride))
    assert rows is not None
    if fps is not None:
        raise UsageError("fps: expected clips by seconds", hint="every says which rows")
    rows, every = _whole("rows", rows), _whole("every", every)
    return ByRows(rows, every, rows * every if stride is None else _whole("stride", stride))


def runs_of(manifest: Manifest, wanted: Sequence[str] | None, cut: Cut) -> list[Run]:
    """Runs, in order of archives. Raises: UsageError for streams that are not there, or do not fit."""
    found = []
    for number, archive in enumerate(manifest):
        names = wanted if wanted is not None else [stream.label for stream in archive.streams[:1]]
        choices = [[one for one in archive.streams if name in (one.name, one.label)] for name in names]
        for name, choice in zip(names, choices, strict=True):
            if not choice:
                have = ", ".join(one.name for one in archive.streams) or "none"
                raise UsageError(f"{archive.path}: stream {name!r} is not there, or has no rows", hint=f"it has {have}")
        for run in _together(number, choices):
            cut.check(run, archive.path)
            found.append(run)
        if names and (not found or found[-1].archive != number):
            raise UsageError(f"{archive.path}: no item has all of {', '.join(names)}")
    return found


def _together(number: int, choices: list[list[StreamRows]]) -> list[Run]:
    """The streams that are read together: one of each name where there is but one, else those of one clock."""
    if not choices:
        return []
    if all(len(choice) == 1 for choice in choices):
        return [Run(number, tuple(choice[0] for choice in choices))]
    items = sorted(set.intersection(*({one.item for one in choice} for choice in choices)))
    picked = [[one for choice in choices for one in choice if one.item == item] for item in items]
    return [Run(number, tuple(streams)) for streams in picked if len(streams) == len(choices)]


def _whole(name: str, number: float) -> int:
    """Raises: UsageError for what is no whole number."""
    if isinstance(number, bool) or not isinstance(number, Real) or number != number // 1:
        raise UsageError(f"{name}: expected a number of rows, found {number!r}")
    return int(number)


def _tick(stream: StreamRows) -> Fraction:
    assert stream.timebase is not None
    return stream.timebase
