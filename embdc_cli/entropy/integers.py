"""Matrices of small signed integers, such as a coded basis or means, through the level coder with a class per column.

The class of a column or row is the half octave of its mean magnitude. A column of Gaussian integers of standard
deviation sigma has a mean magnitude of 0.8 sigma. The classes themselves are the caller's to send or to derive.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy.levels import decode_levels, encode_levels
from embdc_cli.entropy.tables import Tables, classes_of_means


def encode_integers(values: np.ndarray, classes: np.ndarray, tables: Tables | None = None) -> bytes:
    """The matrix as bytes, row by row.

    values: (rows, cols) int32; classes: uint8, anything that broadcasts to it: (cols,) one per column, (rows, 1) one
    per row. Raises ValueError as `encode_levels` does.
    """
    return encode_levels(np.ascontiguousarray(values).ravel(), _flat(classes, values.shape), tables)


def decode_integers(
    data: bytes | memoryview, classes: np.ndarray, shape: tuple[int, int], tables: Tables | None = None
) -> np.ndarray:
    """The matrix (rows, cols) int32 that `encode_integers` wrote with these classes. Raises CorruptArchive.

    `shape` is allocated: the caller bounds it first.
    """
    return decode_levels(data, _flat(classes, shape), tables).reshape(shape)


def column_classes(values: np.ndarray) -> np.ndarray:
    """(cols,) uint8: the class that fits each column of (rows, cols) integers; 0 for a column of zeros."""
    return classes_of_means(np.abs(values.astype(np.int64)).sum(axis=0), max(values.shape[0], 1))


def _flat(classes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(classes, shape), np.uint8).ravel()
