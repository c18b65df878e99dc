"""Exact start times of frames in presentation order, and what to do where a container gives none."""

from __future__ import annotations


class FrameClock:
    """Start ticks of the pictures of one stream, strictly increasing.

    A PTS that is there and later than the last start is taken as it is. One that is missing or goes back (raw
    elementary streams have none; AVI stores decoding times, useless where pictures are reordered) is replaced by
    the last start plus the last picture's duration, and counted in `repaired`.
    """

    def __init__(self, nominal: int, *, trusted: bool = True) -> None:
        """nominal: ticks per frame at the rate the container declares, at least 1. trusted: whether PTS are PTS."""
        self.repaired = 0
        self._nominal = max(1, nominal)
        self._trusted = trusted
        self._last: int | None = None
        self._last_duration = 0
        self._shortest = 1 << 62
        self._longest = 0
        self._spacing = 0

    def start(self, pts: int | None, duration: int | None) -> int:
        """Start of the next picture, whose container times are `pts` and `duration` (ticks)."""
        if pts is not None and self._trusted and (self._last is None or pts > self._last):
            start = pts
        else:
            start = 0 if self._last is None else self._last + (self._last_duration or self._nominal)
            self.repaired += 1
        self._last, self._last_duration = start, max(0, duration or 0)
        return start

    def spaced(self, ticks: int) -> None:
        """Two neighbouring pictures start `ticks` apart."""
        self._spacing = ticks
        self._shortest = min(self._shortest, ticks)
        self._longest = max(self._longest, ticks)

    def own_duration(self, duration: int | None) -> int:
        """How long a picture without a successor lasts: by its own word, else like the one before, else nominally."""
        return duration if duration and duration > 0 else self._spacing or self._nominal

    @property
    def variable(self) -> bool:
        """Whether spacings differ by more than the rounding to the timebase can explain."""
        return self._longest - self._shortest > 1
