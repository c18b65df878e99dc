"""Row times out of a dataset of seconds that lies beside the features."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np

from embdc_cli.values import Timeline

NAMES: Final = ("timestamps", "times", "pts_seconds")
TICKS_PER_SECOND: Final = 1_000_000
_LIMIT = float(1 << 62) / TICKS_PER_SECOND


def is_times_name(name: str) -> bool:
    """Whether the last part of a dataset's name says that it holds seconds."""
    return name.replace(".", "/").rpartition("/")[2] in NAMES


def timeline_of(seconds: np.ndarray) -> Timeline | None:
    """The timeline of T rows from their starts (T values in any shape), or from starts and ends (T, 2), in seconds.

    A row ends where the next one starts; the last one lasts as long as the median row. None when the values are
    not finite, do not increase, or end before they start.
    """
    pairs = seconds.ndim == 2 and seconds.shape[1] == 2
    values = seconds.astype(np.float64)
    if not np.all(np.abs(values) < _LIMIT):  # false for nan too
        return None
    ticks = np.rint(values * TICKS_PER_SECOND).astype(np.int64)
    if pairs:
        starts, ends = np.ascontiguousarray(ticks[:, 0]), np.ascontiguousarray(ticks[:, 1])
    else:
        starts = ticks.reshape(-1)
        durations = np.diff(starts)
        last = int(np.median(durations)) if len(durations) else 0
        ends = np.append(starts[1:], starts[-1:] + last)
    if np.any(np.diff(starts) < 0) or np.any(ends < starts):
        return None
    return Timeline(starts, ends, Fraction(1, TICKS_PER_SECOND))
