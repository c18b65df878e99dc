"""Which frames of a video become rows: `--fps`, `--every` and `--time`, as a pure function of the frames' start times.

Slots. `--fps F` has a slot at k/F seconds for k = 0, 1, 2...; slot k takes the first frame whose PTS, relative to the
first frame's, is at least k/F, with half a tick of tolerance (timestamps are rounded to the timebase). A frame that
several slots would take (F above the native rate, or a pause in a variable-rate video) is one row, not several: rows
are distinct frames, and their PTS say how long each was on screen.
Window. `--time A..B` then keeps the rows whose PTS t has A <= t < B, exactly. Slots count from the first frame of the
video, not from A, so a window shows the same frames as the whole video does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from embdc_cli.errors import UsageError
from embdc_cli.source.time_spec import TimeRange, parse_range

_RATE: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?|[0-9]{1,9}/[0-9]{1,9}")
_EVERY: Final = re.compile(r"every:([0-9]{1,12})")


@dataclass(frozen=True)
class FrameSelection:
    """A parsed request. fps: frames per second, None for every frame; every: take each N-th of the frames."""

    fps: Fraction | None = None
    every: int = 1
    window: TimeRange = field(default_factory=TimeRange)

    @classmethod
    def parse(cls, fps: str | None, time: str | None) -> FrameSelection:
        """The selection meant by `--fps` (a number, a/b, native, every:N) and `--time` (A..B); None is everything.

        Raises UsageError.
        """
        window = parse_range(time) if time is not None else TimeRange()
        if fps is None or fps == "native":
            return cls(window=window)
        every = _EVERY.fullmatch(fps)
        if every and int(every[1]) > 0:
            return cls(every=int(every[1]), window=window)
        if _RATE.fullmatch(fps) and not fps.endswith("/0") and Fraction(fps) > 0:
            return cls(fps=Fraction(fps), window=window)
        raise UsageError(f"--fps: expected a rate such as 1, 2.5 or 30000/1001, native or every:N, found {fps!r}")

    def provenance(self) -> dict[str, str]:
        """What the archive records of it."""
        rate = str(self.fps) if self.fps is not None else "native" if self.every == 1 else f"every:{self.every}"
        return {"fps": rate, "time": str(self.window)}


class FramePicker:
    """Decides frame by frame, in presentation order, which ones become rows."""

    def __init__(self, selection: FrameSelection, timebase: Fraction) -> None:
        self._selection = selection
        self._timebase = timebase
        self._first: int | None = None
        self._seen = 0
        self._slot = -1  # highest slot that a frame has reached

    def take(self, pts: int) -> bool:
        """Whether the next frame, which starts at `pts` (ticks), becomes a row."""
        if self._first is None:
            self._first = pts
        ticks = pts - self._first
        chosen = self._seen % self._selection.every == 0
        self._seen += 1
        if self._selection.fps is not None:
            # slot k is reached when k/F <= (ticks + 1/2) * timebase
            slot = (self._selection.fps * self._timebase * (2 * ticks + 1)) // 2
            chosen = slot > self._slot
            self._slot = max(self._slot, slot)
        return chosen and self._selection.window.holds(ticks * self._timebase)

    def past(self, pts: int) -> bool:
        """Whether neither a frame at `pts` nor any later one can become a row."""
        stop = self._selection.window.stop
        return stop is not None and self._first is not None and (pts - self._first) * self._timebase >= stop


def select(times: Iterable[tuple[int, int]], selection: FrameSelection, timebase: Fraction) -> Iterator[int]:
    """Indices of the frames that become rows.

    times: (pts, duration) of every frame in ticks of `timebase`, in presentation order; durations play no part.
    """
    picker = FramePicker(selection, timebase)
    for index, (pts, _duration) in enumerate(times):
        if picker.past(pts):
            return
        if picker.take(pts):
            yield index
