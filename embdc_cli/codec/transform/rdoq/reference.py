"""Rounding by thresholds, in numpy: the definition of what `cpu.py` compiles."""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.transform.parameters import MAX_LEVEL


def quantise(values: np.ndarray, classes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The levels (n,) int32 of values (n,) float32 in steps; classes: (n,) uint8; thresholds: (classes, K) float32.

    The magnitude is the number of thresholds of the class below |v|, and beyond the last one up for every whole step.
    """
    levels = np.zeros(values.size, np.int32)
    magnitudes = np.abs(np.where(np.isnan(values), np.float32(0), values))
    last = thresholds.shape[1]
    for cls in np.unique(classes[classes > 0]):
        own = np.flatnonzero(classes == cls)
        a = magnitudes[own]
        counts = np.searchsorted(thresholds[cls], a, side="left")
        beyond = np.minimum(np.floor(a.astype(np.float64) - thresholds[cls, -1]), MAX_LEVEL - last)
        counts = np.where(counts == last, last + beyond, counts).astype(np.int32)
        levels[own] = np.where(values[own] < 0, -counts, counts)
    return levels
