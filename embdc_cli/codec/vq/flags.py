"""Yes-or-no decisions about every token of a chunk, each under a context that the decoder knows.

Tokens are sites (row t, place n) of a grid, coloured like a chess board in time and space. Sites of the first colour
are coded first, under how many of their six neighbours (row before and after, left, right, above, below) were set at
the level before; then those of the second colour, under how many of theirs, all of the first, are set at this level.
So each half is known or unknown as a whole, and decodes in parallel. What a context means is a probability class:
flag 1 has a frequency of FREQUENCIES[class] / 4096, thirds of an octave of odds apart.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from embdc_cli.entropy.tables import COST_UNIT, TOTAL, Tables

NEIGHBOURS: Final = 6
COLOURS: Final = 2
CONTEXTS: Final = COLOURS * (NEIGHBOURS + 1)
FREQUENCIES: Final = (
    *(3, 4, 5, 6, 7, 9, 11, 14, 18, 23, 28, 36, 45, 56, 71, 89),
    *(111, 139, 173, 216, 269, 333, 410, 504, 615, 746, 898, 1070, 1262, 1472, 1697, 1930),
    *(2166, 2399, 2624, 2834, 3026, 3198, 3350, 3481, 3592, 3686, 3763, 3827, 3880, 3923, 3957, 3985),
    *(4007, 4025, 4040, 4051, 4060, 4068, 4073, 4078, 4082, 4085, 4087, 4089, 4090, 4091, 4092, 4093),
)
CLASSES: Final = len(FREQUENCIES)
INDEX_ROW: Final = CLASSES
"""Row of an index out of 2; that of one out of 2^b is b - 1 further on."""
_INDEX_BITS: Final = 8


@cache
def tables() -> Tables:
    """(72, 256): a row for each probability class, then one for indices of each number of bits, all equally likely."""
    freq = np.zeros((CLASSES + _INDEX_BITS, 1 << _INDEX_BITS), np.int64)
    freq[:CLASSES, 1] = FREQUENCIES
    freq[:CLASSES, 0] = TOTAL - freq[:CLASSES, 1]
    for bits in range(1, _INDEX_BITS + 1):
        freq[INDEX_ROW + bits - 1, : 1 << bits] = TOTAL >> bits
    return Tables(freq)


def colours(shape: tuple[int, int], width: int) -> np.ndarray:
    """(F, N) int64, 0 or 1. width: tokens in a row of the grid."""
    rows, count = shape
    place = np.arange(count)
    return np.asarray((np.arange(rows)[:, None] + (place // width + place % width)[None]) % COLOURS)


def set_around(flags: np.ndarray, width: int) -> np.ndarray:
    """(F, N) uint8: how many of the neighbours of each site are set; beyond the edges none is. flags: (F, N) bool."""
    rows, count = flags.shape
    found = np.zeros((rows, count), np.uint8)
    found[1:] += flags[:-1]
    found[:-1] += flags[1:]
    inner = np.arange(1, count)
    inner = inner[inner % width != 0]
    found[:, inner] += flags[:, inner - 1]
    found[:, inner - 1] += flags[:, inner]
    found[:, width:] += flags[:, :-width] if width < count else 0
    found[:, :-width] += flags[:, width:] if width < count else 0
    return found


def fitting_classes(ones: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """uint8 classes for contexts in which `ones` of `counts` flags were set; unseen ones are taken for even."""
    shares = (ones + 0.5) / (counts + 1.0)
    middles = (np.array(FREQUENCIES[:-1]) + np.array(FREQUENCIES[1:])) / (2 * TOTAL)
    return np.searchsorted(middles, shares).astype(np.uint8)


def bits_of(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bits of a flag that is not set, bits of one that is) in each of the classes."""
    cost = tables().cost[:CLASSES, :2] / COST_UNIT
    return cost[classes, 0], cost[classes, 1]
