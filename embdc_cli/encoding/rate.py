"""The search for a quantiser step: one bracketed secant in log(step), used on samples, windows and whole archives.

A step is an integer index: step = unit * 2^(index / 256), so that a search is reproducible and can be written down.
Source: regula falsi on log(value) against the index; bits and log-errors are close to linear in log(step).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

INDICES_PER_OCTAVE = 256  # 0.27 % per index: error moves 0.5 %, well inside the 3 % that targets allow
FINEST = -22 * INDICES_PER_OCTAVE
COARSEST = 10 * INDICES_PER_OCTAVE


def step_of(unit: float, index: int) -> float:
    """The quantiser step for `index`, in the units of `unit`."""
    return unit * math.exp2(index / INDICES_PER_OCTAVE)


@dataclass
class StepSearch:
    """Finds the index whose value comes closest to `goal` without exceeding it.

    rising: the value grows with the index (an error); otherwise it falls (a size).
    slack: a value in [goal * (1 - slack), goal] ends the search.
    """

    goal: float
    rising: bool
    slack: float
    start: int = -2 * INDICES_PER_OCTAVE
    tried: dict[int, float] = field(default_factory=dict)

    def record(self, index: int, value: float) -> None:
        """Tell the search what `index` measured."""
        self.tried[index] = value

    def keeps(self, index: int) -> bool:
        return self.tried[index] <= self.goal

    @property
    def best(self) -> int | None:
        """The index that keeps the goal with the least left over; None when none does."""
        keeping = [index for index in self.tried if self.keeps(index)]
        if not keeping:
            return None
        return max(keeping) if self.rising else min(keeping)

    @property
    def failing(self) -> int | None:
        """The failing index nearest to the keeping side."""
        failing = [index for index in self.tried if not self.keeps(index)]
        if not failing:
            return None
        return min(failing) if self.rising else max(failing)

    def next(self) -> int | None:
        """The index to measure next; None when the search is over."""
        if not self.tried:
            return self.start
        best, failing = self.best, self.failing
        if best is not None and self.tried[best] >= self.goal * (1 - self.slack):
            return None
        if best is None or failing is None:
            return self._outwards()
        if abs(best - failing) <= 1:
            return None
        proposal = self._secant(best, failing)
        low, high = min(best, failing) + 1, max(best, failing) - 1
        if len(self.tried) % 4 == 3:  # a curve that bends must not stall the secant
            proposal = (low + high) // 2
        return min(max(proposal, low), high)

    def _outwards(self) -> int | None:
        """Towards the goal from one side: by the last slope, at most four octaves at a time."""
        coarser = (self.best is not None) == self.rising
        edge = max(self.tried) if coarser else min(self.tried)
        limit = COARSEST if coarser else FINEST
        if edge == limit:
            return None
        value = self.tried[edge]
        stride = 2 * INDICES_PER_OCTAVE
        if 0 < value < math.inf and self.goal > 0:
            # errors grow as step^2 at most, sizes fall about one bit per value per octave: aim a little beyond
            octaves = abs(math.log2(self.goal / value)) * (0.6 if self.rising else 1.0) + 0.05
            stride = min(max(round(octaves * INDICES_PER_OCTAVE), 4 * len(self.tried)), 4 * INDICES_PER_OCTAVE)
        moved = edge + stride if coarser else edge - stride
        return min(max(moved, FINEST), COARSEST)

    def _secant(self, best: int, failing: int) -> int:
        kept, missed = self.tried[best], self.tried[failing]
        if kept <= 0 or not math.isfinite(missed):
            return (best + failing) // 2
        aim = math.log(self.goal * (1 - self.slack / 2))
        share = (aim - math.log(kept)) / (math.log(missed) - math.log(kept))
        return best + round(share * (failing - best))
