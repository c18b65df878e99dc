"""The definition of the sums over codes, in numpy; `cpu.py` adds in another order, so last bits differ."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from embdc_cli.codec.vq.search import Packed, lookup


def inner(codes: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """As the package's."""
    found = np.zeros((len(codes), tables.shape[2]))
    for level, table in enumerate(tables):
        found += table[codes[:, level]]
    return found


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
    return np.asarray(lookup(codes[None].astype(np.int32), packed, rank)[0], np.float64)
