"""Dependent quantisation: levels along the cheapest path through the states of a track, and the points they stand for.

The cost of a path is the squared error plus `lagrangian` times the bits, in squared half steps; the half step D' is the
unit of all values here. Only an encoder chooses; a decoder needs `points`. `reference.py` is the definition.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from embdc_cli.codec.transform.trellis.reference import EXCESS_UNIT, Prices
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.dependent import checked_blocks, quantisers
from embdc_cli.entropy.dependent.tables import direct_magnitudes, paired
from embdc_cli.entropy.tables import (
    CLASSES,
    FINE_COST_UNIT,
    ROWS,
    SYMBOLS,
    Tables,
    class_rows,
    class_shifts,
    escape_orders,
)

OFFSET_UNIT: Final = 1 / 256
MAX_OFFSET: Final = 127
"""Offsets are at most just below 1/2 half step."""


def choose(
    values: np.ndarray, classes: np.ndarray, blocks: np.ndarray, lagrangian: float, tables: Tables | None = None
) -> np.ndarray:
    """The levels (n,) int32 of the least cost, for `entropy.dependent.encode` with the same classes and blocks.

    values: (n,) float32 in half steps, NaN counts as 0; classes: (n,) uint8 below 64, level 0 where 0; blocks: (b, 2)
    integers, planes and tracks; lagrangian: squared half steps per bit, finite and not negative. Levels are within
    +-MAX_LEVEL. Raises ValueError for other arguments.
    """
    if values.dtype != np.float32 or classes.dtype != np.uint8 or values.ndim != 1 or values.shape != classes.shape:
        raise ValueError(
            "trellis: expected (n,) float32 values with (n,) uint8 classes, "
            f"found {values.shape} {values.dtype} with {classes.shape} {classes.dtype}"
        )
    if classes.max(initial=0) >= CLASSES or not (math.isfinite(lagrangian) and lagrangian >= 0):
        raise ValueError(f"trellis: expected classes below {CLASSES}, lagrangian from 0 up, found {lagrangian}")
    values, classes = np.require(values, requirements=("C", "A")), np.ascontiguousarray(classes)
    blocks = checked_blocks(blocks, values.size)
    levels: np.ndarray = kernels(__name__).choose(values, classes, blocks, prices(float(lagrangian), tables))
    return levels


def points(
    levels: np.ndarray,
    classes: np.ndarray,
    blocks: np.ndarray,
    tables: Tables | None = None,
    offsets: np.ndarray | None = None,
) -> np.ndarray:
    """The points (n,) float32 of levels (n,) int32 in half steps: 2k - Q sgn(k), moved away from zero by the offsets.

    offsets: (2, 3) integers -127..127 in 1/256 half step, by quantiser Q and magnitude 1, 2 and 3 upwards, 0 for None.
    Other arguments as for `entropy.dependent.encode`, whose state the points depend on. Raises ValueError.
    """
    moved = np.zeros((2, 3), np.int64) if offsets is None else np.array(offsets, np.int64)
    if moved.shape != (2, 3) or np.abs(moved).max() > MAX_OFFSET:
        raise ValueError(f"trellis: expected (2, 3) offsets up to {MAX_OFFSET}, found {moved.tolist()}")
    chosen = quantisers(levels, classes, blocks, tables)
    result: np.ndarray = kernels(__name__).points(np.require(levels, requirements=("C", "A")), chosen, moved)
    return result


def centroids(
    values: np.ndarray, levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray, tables: Tables | None = None
) -> np.ndarray:
    """The offsets (2, 3) int64 for `points` with which these levels (n,) int32 are nearest to the values (n,) float32.

    That is what values exceed their points by on average, for each quantiser and magnitude 1, 2 and 3 upwards; 0 where
    there is no such level. Arguments as for `choose`. Raises ValueError.
    """
    if values.dtype != np.float32 or values.shape != levels.shape:
        raise ValueError(f"trellis: expected {levels.shape} float32 values, found {values.shape} {values.dtype}")
    chosen = quantisers(levels, classes, blocks, tables)
    values, levels = (np.require(array, requirements=("C", "A")) for array in (values, levels))
    sums, counts = kernels(__name__).excesses(values, levels, chosen)
    means = sums * (EXCESS_UNIT / OFFSET_UNIT) / np.maximum(counts, 1)
    return np.asarray(np.clip(np.rint(means), -MAX_OFFSET, MAX_OFFSET).astype(np.int64))


def prices(lagrangian: float, tables: Tables | None = None) -> Prices:
    """What the symbols of these tables cost in squared half steps, for the kernels."""
    tables = paired(tables)
    rows = class_rows()
    # without the low bits of a class, which every level of it sends
    bits = tables.fine_cost.reshape(2, ROWS, SYMBOLS)[:, rows] / FINE_COST_UNIT
    return Prices(
        zero=np.ascontiguousarray(lagrangian * bits[..., 0]),
        nonzero=np.ascontiguousarray(lagrangian * (bits + 1)),
        lagrangian=lagrangian,
        direct=direct_magnitudes(tables)[rows],
        shifts=class_shifts(),
        orders=escape_orders()[rows],
    )
