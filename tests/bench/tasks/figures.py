"""What a task found: by name, the share of answers that are right with the original and with the decoded tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Shares from 0 to 1, or another measure if `is_share` is false."""

    original: float
    decoded: float
    is_share: bool = True

    @property
    def points_lost(self) -> float:
        """Percentage points; NaN for what is not a share."""
        return 100 * (self.original - self.decoded) if self.is_share else float("nan")


Figures = dict[str, Figure]
