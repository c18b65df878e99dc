"""Bits of planes in a table of temporal octaves and groups of basis vectors, whatever tracks and bases were chosen.

Frequency k of a track of n rows is h = 64 k / n half cycles in 64 rows. Octave 0 is h = 0, the means of tracks; octave
b holds 2^(b-1) <= h < 2^b, periods of more than 128 / 2^b and up to 256 / 2^b rows. Vectors, strongest first, are
grouped in octaves too: 1, 2, 3 to 4, 5 to 8, and so on; those of the bases of a mixture are counted together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from embdc_cli.codec.transform.mixture.tracks import LEVELS, SPAN

OCTAVES: Final = LEVELS


def add(table: np.ndarray, planes: Iterable[np.ndarray]) -> np.ndarray:
    """`table` (OCTAVES, groups) with the bits of `planes` (2^level, r) added, as wide as they need."""
    for bits in planes:
        rows, rank = bits.shape
        octaves = [int(k * SPAN // rows).bit_length() for k in range(rows)]
        groups = [int(i).bit_length() for i in range(rank)]
        missing = max(groups, default=-1) + 1 - table.shape[1]
        table = np.pad(table, ((0, 0), (0, max(0, missing))))
        np.add.at(table, np.ix_(octaves, groups), bits)
    return table


def vectors_of(groups: int) -> list[tuple[int, int]]:
    """First and last vector of every group, from 1 on."""
    return [(1, 1) if group == 0 else ((1 << group - 1) + 1, 1 << group) for group in range(groups)]
