"""Values of options as users write them: sizes, durations, shards, counts. Every failure is a ValueError
that reads `expected X, found Y`; `parameters` puts the option's name in front of it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable

from embdc_cli.batch import Shard

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS[f"{_letter}b"] = 10 ** (3 * _power)
    _UNITS[f"{_letter}ib"] = 2 ** (10 * _power)

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def size(text: str) -> int:
    """Bytes of `500MB` (10^6), `500MiB` (2^20) or a plain number; letters in any case."""
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"expected a size such as 500MB (10^6 bytes), 2GiB (2^30) or 4096, found {text!r}")
    whole, _, part = match[1].partition(".")
    # exact also beyond 2^53, where a float would round
    return int(whole + part) * unit // int(10 ** len(part))


def duration(option: str) -> Callable[[str], float]:
    """Reads seconds of a time as `--time` does: `90`, `90s`, `3h55m`, `HH:MM:SS`."""

    def read(text: str) -> float:
        from embdc_cli.source.time_spec import parse_time  # beside numpy, which --help must not load

        return float(parse_time(text, option=option))

    return read


def shard(text: str) -> Shard:
    """The shard `i/n`, 0-based."""
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"expected i/n with 0 <= i < n, such as 0/8, found {text!r}")
    return Shard(int(match[1]), int(match[2]))


def jobs(text: str) -> int:
    """A number of threads; `0` means all cores that this process may use."""
    if value := whole(0)(text):
        return value
    # macOS does not tell which cores a process may use
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def whole(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """A reader of whole numbers in [low, high]."""

    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
        if value is None or (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"expected a whole number{_bounds(low, high)}, found {text!r}")
        return value

    return parse


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a number, found {text!r}")
    return value


def amount(text: str) -> float:
    """A number from 0, a whole one where it is above 1: so many of a resource, or a part of one."""
    value = number(text)
    if value < 0 or (value > 1 and not value.is_integer()):
        raise ValueError(f"expected a number from 0 to 1 or a whole number, found {text!r}")
    return value


def share(text: str) -> float:
    """A share from 0 to below 1: `0.1` or `10%`."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+) ?(%?)", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 1.0
    if value >= 1:
        raise ValueError(f"expected a share such as 0.1 or 10%, found {text!r}")
    return value


def count(text: str) -> int:
    """A whole number from 1, perhaps in thousands or millions: `500k`, `2M`."""
    match = re.fullmatch(r"([0-9]+)([kM]?)", text)
    value = int(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]] if match else 0
    if value < 1:
        raise ValueError(f"expected a number such as 500k or 2M, found {text!r}")
    return value


class Names(tuple[str, ...]):
    """Names from a comma-separated list. Its own class: typer would take a plain tuple for several arguments."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Names:
        names = cls(name.strip() for name in text.split(","))
        if not all(names):
            raise ValueError(f"expected names separated by commas, found {text!r}")
        if len(set(names)) < len(names):
            raise ValueError(f"expected every name once, found {text!r}")
        return names


def one_of(choices: Iterable[str], aliases: Iterable[str] = ()) -> Callable[[str], str]:
    """A reader that takes exactly the words of `choices`, and unadvertised, those of `aliases`."""
    known, accepted = tuple(choices), {*choices, *aliases}

    def parse(text: str) -> str:
        if text not in accepted:
            raise ValueError(f"expected {'one of ' if len(known) > 1 else ''}{', '.join(known)}, found {text!r}")
        return text

    return parse


def auto_or_whole(text: str) -> str:
    """`auto` or a whole number from 0, as given."""
    if text != "auto" and not re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"expected auto or a whole number, found {text!r}")
    return text


def _bounds(low: int | None, high: int | None) -> str:
    if low is None:
        return ""
    return f" from {low} to {high}" if high is not None else f" from {low}"
