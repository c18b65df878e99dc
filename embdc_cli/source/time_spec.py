"""Times as users write them (`4s`, `1h02m`, `00:01:30.5`, `90`) and ranges `A..B`, as exact fractions of seconds.

Everything is relative to the first frame's PTS, so times are never negative. No float is involved: `0.1s` is 1/10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from embdc_cli.errors import UsageError

_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_PLAIN: Final = re.compile(_NUMBER)
_UNITS: Final = re.compile(rf"(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?(?:({_NUMBER})ms)?")
_CLOCK: Final = re.compile(rf"(?:([0-9]{{1,12}}):)?([0-9]{{1,12}}):({_NUMBER})")
_UNIT_SECONDS: Final = (Fraction(3600), Fraction(60), Fraction(1), Fraction(1, 1000))

FORMS: Final = "4s, 500ms, 1h02m, 01:02:03.5 or seconds"


@dataclass(frozen=True)
class TimeRange:
    """Seconds [start, stop) after the first frame; stop None is the end."""

    start: Fraction = Fraction(0)
    stop: Fraction | None = None

    def holds(self, seconds: Fraction) -> bool:
        """Whether a row that starts `seconds` after the first one lies in the range."""
        return self.start <= seconds and (self.stop is None or seconds < self.stop)

    def __str__(self) -> str:
        """`A..B` in seconds, as `parse_range` reads it."""
        start = _decimal(self.start) if self.start else ""
        stop = "" if self.stop is None else _decimal(self.stop)
        return f"{start}..{stop}"


def parse_time(text: str, *, option: str = "--time") -> Fraction:
    """Seconds meant by `text`: plain seconds, units in the order h m s ms, or [HH:]MM:SS[.mmm]. Raises UsageError."""
    found = text.strip()
    if _PLAIN.fullmatch(found):
        return Fraction(found)
    units = _UNITS.fullmatch(found)
    if found and units:
        return sum(
            (Fraction(number) * unit for number, unit in zip(units.groups(), _UNIT_SECONDS, strict=True) if number),
            start=Fraction(0),
        )
    clock = _CLOCK.fullmatch(found)
    if clock:
        hours, minutes, seconds = Fraction(clock[1] or 0), Fraction(clock[2]), Fraction(clock[3])
        if seconds < 60 and (minutes < 60 or clock[1] is None):
            return hours * 3600 + minutes * 60 + seconds
    raise UsageError(f"{option}: expected a time such as {FORMS}, found {text!r}")


def parse_range(text: str, *, option: str = "--time") -> TimeRange:
    """The range meant by `A..B`; either side may be left out. UsageError when it is no range, or an empty one."""
    start_text, dots, stop_text = text.partition("..")
    if not dots:
        raise UsageError(
            f"{option}: expected a range A..B, found {text!r}", hint=f"write {text}.. for everything from there on"
        )
    start = parse_time(start_text, option=option) if start_text.strip() else Fraction(0)
    stop = parse_time(stop_text, option=option) if stop_text.strip() else None
    if stop is not None and stop <= start:
        raise UsageError(f"{option}: expected A < B in A..B, found {text!r}")
    return TimeRange(start, stop)


def _decimal(seconds: Fraction) -> str:
    """Exact decimal seconds; every time that can be parsed has one (denominators divide a power of ten)."""
    digits = 0
    while (seconds * 10**digits).denominator != 1:
        digits += 1
    whole, part = divmod(int(seconds * 10**digits), 10**digits)
    return f"{whole}.{part:0{digits}d}s" if digits else f"{whole}s"
