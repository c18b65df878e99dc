"""The definition of the sums over codes, in numpy; `cpu.py` adds in another order, so last bits differ."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from embdc_cli.codec.vq import gain
from embdc_cli.codec.vq.search import Packed, lookup


def inner(codes: np.ndarray, tables: np.ndarray, gain_level: int) -> np.ndarray:
    """(n, Q) float64: sums of tables (L, 1 + K, Q), those after the level of gains times the token's."""
    learnt, after = np.zeros((2, len(codes), tables.shape[2]))
    for level, table in enumerate(tables):
        if level < gain_level:
            learnt += table[codes[:, level]]
        elif level > gain_level:
            after += table[codes[:, level]]
    if gain_level < len(tables):
        learnt += after * np.array(gain.GAINS)[codes[:, gain_level]][:, None]
    return np.asarray(learnt)


def squares(codes: np.ndarray, packed: Packed, quadratic: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """As the package's."""
    y = coefficients(codes, packed, len(linear))
    return np.asarray(((quadratic * y + linear) * y).sum(axis=1))


def added(codes: np.ndarray, packed: Packed, rank: int, edges: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """As the package's."""
    found = np.zeros((len(edges) - 1, rank))
    for row, (start, stop) in enumerate(pairwise(edges)):
        found[row] = factors[start:stop] @ coefficients(codes[start:stop], packed, rank)
    return found


def coefficients(codes: np.ndarray, packed: Packed, rank: int) -> np.ndarray:
    """As the package's."""
    return np.asarray(lookup(codes[None].astype(np.int32), packed, rank)[0])
