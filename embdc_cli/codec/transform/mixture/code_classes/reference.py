"""The classes of a mixture's codes (`motion`), in numpy: the definition of what `cpu.py` compiles."""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codec.transform.activity import LOWEST
from embdc_cli.entropy.tables import CLASSES

STILL: Final = 0
"""Symbol of a track without motion; others are offsets above LOWEST - 1."""


def spread(planes: np.ndarray, symbols: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """(n,) uint8 classes. planes (p,) uint8, symbols (t,) uint8, shapes (b, 3) int64: as of `motion.ClassParts`."""
    classes = [np.zeros(0, np.uint8)]
    plane = track = 0
    for plane_count, track_count, rank in shapes.tolist():
        base = planes[plane : plane + plane_count, None].astype(np.int64)
        symbol = symbols[None, track : track + track_count].astype(np.int64)
        plane, track = plane + plane_count, track + track_count
        moved = np.where(symbol == STILL, 0, np.clip(base + symbol - 1 + LOWEST, 1, CLASSES - 1))
        stays = (np.arange(plane_count)[:, None] < rank) | (base == 0)
        classes.append(np.where(stays, base, moved).astype(np.uint8).ravel())
    return np.concatenate(classes)
