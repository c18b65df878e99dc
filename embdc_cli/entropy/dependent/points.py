"""Levels and the points they stand for: integers in half steps, even ones under quantiser 0, odd ones and 0 under 1.

    point = 2k - sgn(k) Q        k = sgn(point) ceil(|point| / 2)

A point means the same whatever path led to it; a level does so together with its quantiser only.
"""

from __future__ import annotations

import numpy as np


def points_of(levels: np.ndarray, quantisers: np.ndarray) -> np.ndarray:
    """(n,) int32 points of levels (n,) int32, magnitudes below 2^30, under quantisers (n,) uint8."""
    inwards = np.sign(levels)
    inwards *= quantisers
    points: np.ndarray = 2 * levels
    points -= inwards
    return points


def levels_of(points: np.ndarray) -> np.ndarray:
    """(n,) int32 levels of points (n,) int32, magnitudes below 2^31 - 1, under whichever quantiser has them."""
    levels: np.ndarray = (points + (points > 0)) >> 1  # away from zero: a shift rounds down
    return levels
