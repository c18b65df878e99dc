"""Which rows a user means by `--frames A:B:S` or `--time A..B`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

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
    """Rows whose start t, relative to the timeline's zero, has A <= t < B."""
    if timeline is None or len(timeline) < rows:
        raise UsageError("--time: this stream keeps no times", hint="use --frames")
    if rows == 0:
        return range(0)
    wanted = parse_range(text)
    stop = rows if wanted.stop is None else _first_from(timeline, wanted.stop)
    return range(_first_from(timeline, wanted.start), min(stop, rows))


def row_at(timeline: Timeline, seconds: float) -> int:
    """The last row that starts at or before `seconds`; the first where none does.

    Raises: UsageError below 0 and for what is no number.
    """
    shown = exact("at", seconds)
    if shown < 0:
        raise UsageError(f"at: expected seconds from 0, found {seconds:g}")
    return max(0, timeline.rows_before(math.floor(timeline.zero + shown / timeline.timebase) + 1) - 1)


def rows_between(timeline: Timeline, start: float, stop: float) -> range:
    """The rows that start in [start, stop) seconds. Raises: UsageError for what is no number, and for stop < start."""
    ends = [exact("between", seconds) for seconds in (start, stop)]
    if ends[0] > ends[1]:
        raise UsageError(f"between: expected start before stop, found {start:g} and {stop:g}")
    if not len(timeline):
        return range(0)
    return range(*(_first_from(timeline, seconds) for seconds in ends))


def exact(what: str, number: float) -> Fraction:
    """0.1 means a tenth, not the double next to it. Raises: UsageError for what is no number, NaN or infinite."""
    try:
        return Fraction(str(float(number)))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: expected a number, found {number!r}") from error


def _first_from(timeline: Timeline, seconds: Fraction) -> int:
    """The first row that starts at `seconds`, or later."""
    # exact: ticks >= seconds / timebase, which the ceiling turns into a comparison of integers
    return timeline.rows_before(math.ceil(timeline.zero + seconds / timeline.timebase))
