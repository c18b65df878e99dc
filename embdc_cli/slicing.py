"""Which rows a user means by `--frames A:B:S` or `--time A..B`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.source.time_spec import parse_range
from embdc_cli.values import Timeline


def rows_of(frames: str | None, time: str | None, rows: int, timeline: Timeline | None) -> range:
    """The rows of a stream of `rows` rows that both limits leave; ends are clipped as Python slices are.

    Raises: UsageError for a slice that cannot be read, a step below 1, or times where the stream has none.
    """
    chosen = range(rows)
    if time is not None:
        chosen = _by_time(time, rows, timeline)
    if frames is not None:
        chosen = chosen[_slice(frames)]
    return chosen


def _slice(text: str) -> slice:
    match = re.fullmatch(r"(-?\d+)?:(-?\d+)?(?::(-?\d+))?", text.strip())
    if match is None:
        raise UsageError(f"--frames: expected A:B or A:B:S, found {text!r}", hint="for example 0:100, -10: or ::4")
    start, stop, step = (None if group is None else int(group) for group in match.groups())
    if step is not None and step < 1:
        raise UsageError(f"--frames: expected a step of at least 1, found {step}")
    return slice(start, stop, step)


def _by_time(text: str, rows: int, timeline: Timeline | None) -> range:
    """Rows whose start t, relative to the first row, has A <= t < B."""
    if timeline is None or len(timeline) < rows:
        raise UsageError("--time: this stream keeps no times", hint="use --frames")
    if rows == 0:
        return range(0)
    wanted = parse_range(text)
    ticks = timeline.starts[:rows] - timeline.starts[0]

    def first_from(seconds: Fraction) -> int:
        # exact: ticks >= seconds / timebase, which the ceiling turns into a comparison of integers
        return int(np.searchsorted(ticks, math.ceil(seconds / timeline.timebase), side="left"))

    return range(first_from(wanted.start), rows if wanted.stop is None else first_from(wanted.stop))
