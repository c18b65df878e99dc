"""Matrices of integers: a class per column or per row."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.entropy.integers import column_classes, decode_integers, encode_integers
from embdc_cli.errors import CorruptArchive


def matrix(rows: int, cols: int) -> np.ndarray:
    rng = np.random.default_rng(rows * 100 + cols)
    return np.rint(rng.normal(0, 3.0 ** np.linspace(-1, 8, cols), (rows, cols))).astype(np.int32)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (50, 7), (192, 64)])
def test_matrices_come_back(shape: tuple[int, int]) -> None:
    values = matrix(*shape)
    for order in (values, np.asfortranarray(values)):
        classes = column_classes(order)
        assert np.array_equal(decode_integers(encode_integers(order, classes), classes, shape), values)
    transposed = encode_integers(values.T, column_classes(values)[:, None])
    back = decode_integers(transposed, column_classes(values)[:, None], (shape[1], shape[0]))
    assert np.array_equal(back.T, values)


def test_gaussian_columns_cost_little_over_their_entropy() -> None:
    sigmas = 2.0 ** np.arange(0, 10)
    values = np.rint(np.random.default_rng(0).normal(0, sigmas, (4000, 10))).astype(np.int32)
    ideal_bits = 4000 * np.log2(np.sqrt(2 * np.pi * np.e) * sigmas).sum()
    assert 8 * len(encode_integers(values, column_classes(values))) < 1.03 * ideal_bits


def test_a_zero_column_is_free() -> None:
    values = matrix(40, 5)
    padded = np.insert(values, 2, 0, axis=1)
    assert column_classes(padded)[2] == 0
    assert encode_integers(padded, column_classes(padded)) == encode_integers(values, column_classes(values))


def test_another_shape_is_corrupt() -> None:
    values = matrix(20, 6)
    data = encode_integers(values, column_classes(values))
    with pytest.raises(CorruptArchive):
        decode_integers(data, column_classes(values), (21, 6))
