"""Bars and sparklines of characters: in eighths where the terminal knows them, else in ASCII."""

from __future__ import annotations

import sys
from collections.abc import Sequence

BAR_WIDTH = 30
_SPARK_WIDTH = 56
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=+*%#"


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar for a share from 0 to 1."""
    if not _knows_blocks():
        return "#" * round(share * width)
    full, eighths = divmod(round(share * width * 8), 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[eighths] if eighths else "")


def sparkline(values: Sequence[float], low: float, high: float, *, worst: str) -> str:
    """`values` as heights from `low` to `high`, at most 56 characters wide.

    worst: "min" or "max", what is shown of values that share a character, so that a bad moment is never averaged away.
    """
    levels = _BLOCKS if _knows_blocks() else _ASCII
    width = min(_SPARK_WIDTH, len(values))
    groups = [values[at * len(values) // width : (at + 1) * len(values) // width] for at in range(width)]
    span = high - low
    shown = [(min if worst == "min" else max)(group) for group in groups]
    heights = [(value - low) / span if span > 0 else 0.0 for value in shown]
    return "".join(levels[min(len(levels) - 1, int(height * len(levels)))] for height in heights)


def _knows_blocks() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower().startswith("utf")
