"""Which tokens and rows are looked at where all would be too many: the same for the same numbers."""

from __future__ import annotations

import numpy as np


def stratified(total: int, count: int) -> np.ndarray:
    """At most `count` of the numbers 0..total-1, int64 rising: one drawn from each of as many equal strata, or all.

    Strata spread the sample over time; drawing within them keeps it from always meeting the same token of a frame.
    """
    if count >= total or count == 0:
        return np.arange(min(count, total))
    edges = np.arange(count + 1) * total // count
    return edges[:-1] + np.random.default_rng(0).integers(0, np.diff(edges))


def inside(chosen: np.ndarray, start: int, count: int) -> np.ndarray:
    """Those of `chosen` (rising) in [start, start + count), counted from `start`."""
    first, last = np.searchsorted(chosen, [start, start + count])
    return chosen[first:last] - start
