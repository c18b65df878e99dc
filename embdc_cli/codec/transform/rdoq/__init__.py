"""Rate-distortion optimised rounding: thresholds between levels that put squared error plus bits at its least.

Where the class of a level depends on its position alone, so do its bits, and each level can be chosen for itself: for
|v| = u the cost u^2 - 2 u p_k + p_k^2 + lagrangian bits_k of level k with its point p_k is a straight line in u but for
u^2, which all share, so the cheapest level only rises with u and a table of thresholds is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.transform.dead_zone import OFFSET_UNIT
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.levels import magnitude_costs
from embdc_cli.entropy.tables import CLASSES, COST_UNIT, Tables

LEVELS: Final = 32
"""Thresholds of a class; from there on every step is as wide as any other, moved as the last one is."""
_AHEAD: Final = 32  # levels beyond, among which the cheapest for the last thresholds may be


def thresholds(lagrangian: float, offsets: Sequence[int], tables: Tables | None = None) -> np.ndarray:
    """(64, LEVELS) float32, rising: entry k of a class is the |v| above which levels from k + 1 on are cheapest.

    lagrangian: squared steps per bit, finite and not negative; offsets: of the points of levels 1, 2 and 3 upwards, in
    1/256 step, as of `dead_zone`; tables: 32 x 16, the static ones by default. Raises ValueError.
    """
    if not (math.isfinite(lagrangian) and lagrangian >= 0) or len(offsets) != 3:
        raise ValueError(f"rdoq: expected a lagrangian from 0 up and three offsets, found {lagrangian}, {offsets}")
    magnitudes = np.arange(LEVELS + _AHEAD + 1)
    points = magnitudes + np.array([0, *offsets])[np.minimum(magnitudes, 3)] * OFFSET_UNIT
    if (np.diff(points) <= 0).any():
        raise ValueError(f"rdoq: expected points that rise with the level, found offsets {offsets}")
    bits = magnitude_costs(tables, magnitudes[-1]) / COST_UNIT
    heights = points**2 + lagrangian * bits
    return np.array([_envelope(points, heights[cls]) for cls in range(CLASSES)], np.float32)


def quantise(values: np.ndarray, classes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The levels (n,) int32 within +-MAX_LEVEL: as many as there are thresholds of the class below |v|, 0 in class 0.

    values: (n,) float32 in steps, NaN counts as 0; classes: (n,) uint8; thresholds: (classes, K) float32 from
    `thresholds`. Raises ValueError for other arguments.
    """
    if values.dtype != np.float32 or classes.dtype != np.uint8 or values.ndim != 1 or values.shape != classes.shape:
        raise ValueError(
            "rdoq: expected (n,) float32 values with (n,) uint8 classes, "
            f"found {values.shape} {values.dtype} with {classes.shape} {classes.dtype}"
        )
    if thresholds.dtype != np.float32 or thresholds.ndim != 2 or not thresholds.size:
        raise ValueError(f"rdoq: expected (classes, K) float32 thresholds, found {thresholds.shape} {thresholds.dtype}")
    if classes.max(initial=0) >= len(thresholds):
        raise ValueError(f"rdoq: expected classes below {len(thresholds)}, found {classes.max()}")
    arrays = np.require(values, requirements=("C", "A")), np.ascontiguousarray(classes)
    levels: np.ndarray = kernels(__name__).quantise(*arrays, np.require(thresholds, requirements=("C", "A")))
    return levels


def _envelope(points: np.ndarray, heights: np.ndarray) -> list[float]:
    """Where in u each level k + 1, k below LEVELS, or a higher one becomes the least of heights - 2 u points.

    The lower envelope of lines of falling slopes, from left to right; 0 at the least.
    """
    hull = [0]
    starts = [0.0]
    for level in range(1, points.size):
        while True:
            top = hull[-1]
            crossing = float((heights[level] - heights[top]) / (2 * (points[level] - points[top])))
            if crossing > starts[-1] or len(hull) == 1:
                break
            hull.pop()
            starts.pop()
        hull.append(level)
        starts.append(max(crossing, 0.0))
    return [
        next((start for k, start in zip(hull, starts, strict=True) if k >= level), starts[-1])
        for level in range(1, LEVELS + 1)
    ]
