"""What of a damaged video is left out, in a line, however many gaps a day of it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

_NAMED: Final = 3


@dataclass
class Losses:
    """Gaps between frames as they come, of which only the first few are kept; and where frames ended, if too early.

    All times are seconds after the first frame.
    """

    gaps: int = 0
    open_end: Fraction | None = None
    _first: list[tuple[Fraction, Fraction]] = field(default_factory=list)

    def gap(self, start: Fraction, stop: Fraction) -> None:
        """Frames between `start` and `stop` are lost."""
        self.gaps += 1
        if len(self._first) < _NAMED:
            self._first.append((start, stop))

    def words(self, damage: str | None) -> str | None:
        """All that was lost, and `damage`, the last reason; None where nothing was."""
        shown = [f"frames between {float(start):.3f} s and {float(stop):.3f} s" for start, stop in self._first]
        if self.gaps > len(shown):
            shown.append(f"{self.gaps - len(shown)} more gaps")
        if self.open_end is not None:
            shown.append(f"everything after {float(self.open_end):.3f} s")
        return f"damaged video, left out: {'; '.join(shown)}; last reason: {damage}" if shown else None
