"""Dependent quantisation: levels along the cheapest path through the states of a track.

The cost of a path is the squared error plus `lagrangian` times the bits, in squared half steps; the half step D' is the
unit of all values here. Only an encoder chooses; a decoder needs `entropy.dependent.points`. `reference.py` is the
definition.
"""

from __future__ import annotations

import math

import numpy as np

from embdc_cli.codec.transform.trellis.reference import Prices
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.dependent import checked_blocks
from embdc_cli.entropy.dependent.tables import direct_magnitudes
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


def choose(
    values: np.ndarray, classes: np.ndarray, blocks: np.ndarray, lagrangian: float, tables: Tables
) -> np.ndarray:
    """The levels (n,) int32 of the least cost, for `entropy.dependent.encode` with the same classes, blocks and tables.

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


def prices(lagrangian: float, tables: Tables) -> Prices:
    """What symbols cost in squared half steps, for the kernels."""
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
