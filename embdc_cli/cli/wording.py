"""Numbers as people read them."""

from __future__ import annotations

from typing import Any


def size(count: float) -> str:
    """Bytes in decimal units: `999 B`, `18.4 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.{0 if count >= 99.95 else 1 if count >= 9.995 else 2}f} {unit}"


def seconds(value: float) -> str:
    """A duration: `0.42 s`, `12.3 s`, `3m05s`, `1h02m03s`."""
    if value < 59.95:
        return f"{value:.{2 if value < 9.995 else 1}f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m{rest:02d}s" if hours else f"{minutes}m{rest:02d}s"


def number(value: Any, digits: int = 4) -> str:
    """A measured number with `digits` significant digits, large ones whole; `-` where there is none."""
    if not isinstance(value, int | float) or value != value:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"


def cosine(value: Any) -> str:
    """A cosine: four decimals, and as many more as it takes to tell it from 1."""
    if not isinstance(value, int | float) or value != value:
        return "-"
    for digits in range(4, 10):
        if value == 1 or float(f"{value:.{digits}f}") != 1:
            return f"{value:.{digits}f}"
    return f"{value:.9f}"


def shape(lengths: list[int]) -> str:
    """`900 x 196 x 384`; a length that varies shows as `*`."""
    return " x ".join("*" if length < 0 else str(length) for length in lengths) or "scalar"


def plural(count: int, noun: str) -> str:
    """`1 item`, `3 items`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
