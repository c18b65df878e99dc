"""Scales of figures: from values to pixels, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_LEAST, _MOST = 1e-300, 1e300
"""Logarithms beyond these would need numbers that floats do not have."""

_LEAST_STEP = 1e-200
"""Values that are all below this are drawn as zeros."""


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`. ticks: (value, its text), rising."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where `value` is between `low`, 0, and `high`, 1."""
        if self.logarithmic:
            low, high = math.log(self.low), math.log(self.high)
            share = (math.log(min(max(value, _LEAST), _MOST)) - low) / (high - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)


def linear(label: str, values: Iterable[float], *, tight: bool = False, whole: bool = False) -> Axis:
    """An axis with about five ticks that holds all `values` (finite).

    tight: it begins and ends with them, rather than at ticks. whole: they are counts, and so are the ticks.
    """
    found = list(values)
    low, high = min(found, default=0.0), max(found, default=1.0)
    if whole:
        high = max(high, low + 1)
    largest = max(abs(low), abs(high))
    if largest < _LEAST_STEP:
        low, high = low - 1, high + 1
    elif high - low <= 1e-9 * largest:  # as good as one value
        low, high = low - largest / 100, high + largest / 100
    step = _round_step((high - low) / 5)
    if whole:
        step = max(step, 1.0)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    decimals = max(0, -math.floor(math.log10(step) + 1e-6))
    ticks = tuple((number * step, _plain(number * step, decimals)) for number in range(first, last + 1))
    if tight:
        return Axis(label, low, high, tuple(tick for tick in ticks if low <= tick[0] <= high))
    return Axis(label, first * step, last * step, ticks)


def logarithmic(label: str, values: Iterable[float]) -> Axis:
    """An axis that holds all `values` (positive, finite): ticks at 1, 2, 5 of every decade, or at decades alone."""
    found = [min(max(value, _LEAST), _MOST) for value in values]
    low, high = math.log10(min(found, default=0.1)), math.log10(max(found, default=1.0))
    if high - low > 3:
        first, last = math.floor(low + 1e-9), math.ceil(high - 1e-9)
        every = -(-(last - first) // 8)
        last += -(last - first) % every
        marks = [10.0**power for power in range(first, last + 1, every)]
    else:
        decades = range(math.floor(low), math.ceil(high) + 2)
        candidates = [mantissa * 10.0**power for power in decades for mantissa in (1, 2, 5)]
        below = [mark for mark in candidates if math.log10(mark) <= low + 1e-9]
        above = [mark for mark in candidates if math.log10(mark) >= high - 1e-9 and mark > below[-1]]
        marks = [mark for mark in candidates if below[-1] <= mark <= above[0]]
    return Axis(label, marks[0], marks[-1], tuple((mark, f"{mark:.6g}") for mark in marks), logarithmic=True)


def _round_step(step: float) -> float:
    """1, 2 or 5 of a power of ten, and no less than `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(mantissa * power for mantissa in (1, 2, 5, 10) if mantissa * power >= step * (1 - 1e-9))


def _plain(value: float, decimals: int) -> str:
    if abs(value) >= 1e7 or decimals > 9:
        return f"{value:.4g}"
    return f"{value + 0.0:.{decimals}f}"  # + 0.0: never -0
