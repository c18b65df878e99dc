"""Fits that the rows of a forecast share: they depend on the effort, not on the target.

Each row is told how long its fits took, whoever made them, as an encode of its own would have to make them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from embdc_cli.recent import Recent

T = TypeVar("T")


class SharedFits(Recent):
    """spent: seconds that the present row has waited for fits. seconds: what it would have, had it been alone."""

    def __init__(self, budget_bytes: int) -> None:
        super().__init__(budget_bytes)
        self._taken: dict[Hashable, float] = {}
        self.begin_row()

    def begin_row(self) -> None:
        """From here on another row asks."""
        self._asked: set[Hashable] = set()
        self.spent = self.seconds = 0.0

    def get(self, key: Hashable, make: Callable[[], T], size_bytes: Callable[[T], int]) -> T:
        """As of `Recent`; one thread asks."""
        started = time.perf_counter()
        value = super().get(key, make, size_bytes)
        took = time.perf_counter() - started
        self._taken[key] = max(took, self._taken.get(key, 0.0))
        self.seconds += took if key in self._asked else self._taken[key]
        self.spent += took
        self._asked.add(key)
        return value
