"""What the probability of a code depends on: bucket of the code before it, and scores of everything around it.

A feature is a magnitude m seen through 8 log2(1 + m). Sixteen features describe code q(t, n, c):
    0 own at t - 2 (at t = 1 again t - 1); 1..8 the eight tokens around at t - 1, in raster order; 9..12 left, above,
    above left and above right at t; 13 own at t - 1; 14 how often it changed, 15 how high it was lately:
    change trace += (256 [q(t) != q(t - 1)] - trace) >> 2, from 0;   level trace += (4 feature - trace) >> 2, from 4
    times the first feature
Beyond the edges of the grid a feature is 0; in the first row of a chunk the nearest of left and above stands for those
that are missing. Tokens carry a class 0..8, half the codes changed down to none: class 0 is not coded at all.
With bucket b of m = |q(t-1, n, c)| (0..8; 9 in the first row of a chunk) and class k, in 1/256 of a table row,
    change = change_weights[b] . features + change_biases[b, k],   level likewise,
name the row: one of 32 after a zero, one of 32 in a first row, one of 8 x 16 x 8 (b, change, level) after another code.
Each table row starts from the counts of other maps; between rows of a chunk, once RENEW_AFTER symbols have passed, the
symbols coded so far in the chunk become part of the frequencies (10 % of the bits, against fixed tables). Within a row
of a chunk all is known beforehand but the tokens before. All of it is integers: every decoder finds the same tables.

Source: Weinberger, Seroussi, Sapiro, "The LOCO-I lossless image compression algorithm", IEEE T-IP 9, 2000, for contexts
from quantised neighbourhoods. Not here: frequencies that change with every symbol, or mixtures of several models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np

PROBABILITY_BITS: Final = 15
TOTAL: Final = 1 << PROBABILITY_BITS
COST_UNIT: Final = 256  # costs are in 1/256 bit
SYMBOLS: Final = 16
ESCAPE: Final = SYMBOLS - 1

FEATURES: Final = 16
BUCKETS: Final = 10
FIRST: Final = 9  # the bucket of the first row of a chunk
SCORE_BITS: Final = 8

QUIET_ROWS: Final = 32
FIRST_ROW: Final = QUIET_ROWS
ACTIVE_ROW: Final = 2 * QUIET_ROWS
CHANGE_STEPS: Final = 16
LEVEL_STEPS: Final = 8
CLASS_ROW: Final = ACTIVE_ROW + 8 * CHANGE_STEPS * LEVEL_STEPS
TOKEN_CLASSES: Final = 9
ROWS: Final = CLASS_ROW + TOKEN_CLASSES**2

RENEW_AFTER: Final = 1 << 13
"""Symbols, at least, between two renewals of the tables: renewing all of them costs about as much as coding these."""
COUNT: Final = 256
"""What one symbol adds to the counts of its row; rows start from 16 symbols' worth."""
RELATIVE_FROM: Final = 6
"""Magnitudes from here on are followed by a difference: symbol 8 + d for -7 <= d <= 6, symbol 0 for a zero."""
ABSENT_AT: Final = 256
"""Magnitudes from here on are all seen as the last one."""


def _mapped() -> np.ndarray:
    """(256,) int16: round(8 log2(1 + m)), by integers alone: the largest f with 2^f <= (1 + m)^8 sqrt(2)."""
    return np.array([(2 * (1 + m) ** 16).bit_length() - 1 >> 1 for m in range(ABSENT_AT)], np.int16)


def _buckets() -> np.ndarray:
    """(256,) uint8: 1..5 for themselves, then 6-7, 8-11 and 12 upwards."""
    limits = np.array([1, 2, 3, 4, 5, 6, 8, 12])
    return np.searchsorted(limits, np.arange(ABSENT_AT), side="right").astype(np.uint8)


FEATURE: Final = _mapped()
BUCKET: Final = _buckets()


@dataclass(frozen=True, eq=False)
class ContextModel:
    """The numbers of the model. Weights: (10, 16) int32; biases: (10, 9) int32; counts: (ROWS, 16) int32 in 1/256."""

    change_weights: np.ndarray
    change_biases: np.ndarray
    level_weights: np.ndarray
    level_biases: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        """Raises ValueError for counts that no coder can use."""
        sums = self.counts.sum(axis=1, dtype=np.int64)
        if self.counts.shape != (ROWS, SYMBOLS) or self.counts.min() < 0 or sums.min() < 1 or sums.max() > 1 << 16:
            raise ValueError(f"context model: expected {ROWS} rows of counts, found {self.counts.shape}")

    @cached_property
    def freq(self) -> np.ndarray:
        """(ROWS, 16) int32: the frequencies that a chunk starts with."""
        return frequencies(self.counts.astype(np.int64))


def frequencies(counts: np.ndarray) -> np.ndarray:
    """(rows, 16) int32 frequencies, each at least 1, sums 2^15, of counts (rows, 16) int64 with sums above 0.

    f = 1 + floor(count (2^15 - 16) / sum); what is missing goes to the first of the largest.
    """
    freq = 1 + counts * (TOTAL - SYMBOLS) // counts.sum(axis=1, keepdims=True)
    freq[np.arange(len(freq)), freq.argmax(axis=1)] += TOTAL - freq.sum(axis=1)
    return np.asarray(freq.astype(np.int32))


@cache
def costs() -> np.ndarray:
    """(2^15 + 1,) int32: 256 log2(2^15 / f), rounded; entry 0 is not used."""
    found = COST_UNIT * (PROBABILITY_BITS - np.log2(np.maximum(np.arange(TOTAL + 1), 1)))
    return np.asarray(np.rint(found).astype(np.int32))


def class_of_changes(changed: int, channels: int) -> int:
    """The class of a token of which `changed` of `channels` codes differ from those a row before: 0 when none does."""
    if changed == 0:
        return 0
    return min(1 + (256 * changed // channels).bit_length(), TOKEN_CLASSES - 1)


@cache
def static_model() -> ContextModel:
    """The model that ships with embdc."""
    from embdc_cli.codec.transform.time_context import tables

    return ContextModel(
        np.array(tables.CHANGE_WEIGHTS, np.int32),
        np.array(tables.CHANGE_BIASES, np.int32),
        np.array(tables.LEVEL_WEIGHTS, np.int32),
        np.array(tables.LEVEL_BIASES, np.int32),
        tables.counts(),
    )
