"""The measures against their formulas, and their independence of how the data is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.metrics import ChannelMoments, ErrorSums, snr_db


def measured(x: np.ndarray, y: np.ndarray, cuts: list[int]) -> tuple[ErrorSums, ChannelMoments]:
    sums, moments = ErrorSums(x.shape[1]), ChannelMoments(x.shape[1])
    for start, stop in zip([0, *cuts], [*cuts, len(x)], strict=True):
        part, part_moments = ErrorSums(x.shape[1]), ChannelMoments(x.shape[1])
        part.add(x[start:stop], y[start:stop])
        part_moments.add(x[start:stop])
        sums.merge(part)
        moments.merge(part_moments)
    return sums, moments


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 1 << 30), st.integers(0, 39))
def test_measures_equal_their_formulas_however_the_data_is_cut(tokens: int, channels: int, seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((tokens, channels)) + 3).astype(np.float32)
    y = (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)
    sums, moments = measured(x, y, [min(cut, tokens)])
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    energy = ((wide_x - wide_x.mean(0)) ** 2).sum()
    error = ((wide_x - wide_y) ** 2).sum()
    assert sums.sse == pytest.approx(error)
    if energy > 1e-9:
        assert sums.nmse(moments) == pytest.approx(error / energy, rel=1e-6)
        variance, mse = wide_x.var(0), ((wide_x - wide_y) ** 2).mean(0)
        assert sums.channel_nmse(moments) == pytest.approx((mse / variance).mean(), rel=1e-6)
    cosine = (wide_x * wide_y).sum(1) / np.linalg.norm(wide_x, axis=1) / np.linalg.norm(wide_y, axis=1)
    assert sums.cosine == pytest.approx(cosine.mean())
    assert sums.cosine_min == pytest.approx(cosine.min())


def test_the_first_percentile_is_within_a_bin_of_the_exact_one() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((5000, 16)).astype(np.float32)
    y = (x + 0.3 * rng.standard_normal(x.shape) * rng.random((5000, 1))).astype(np.float32)
    sums, _ = measured(x, y, [1234])
    cosine = np.sort((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
    exact = cosine[49]  # the 50th worst of 5000
    assert 1 - exact <= (1 - sums.cosine_p1) <= (1 - exact) * 2 ** (1.5 / 64)


@pytest.mark.parametrize(
    ("x", "y", "nmse", "cosine"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]], 0.0, 1.0),
        ([[0.0, 0.0]], [[1.0, 0.0]], math.inf, 0.0),
        ([[2.0, 0.0], [2.0, 0.0]], [[2.0, 0.0], [2.0, 0.0]], 0.0, 1.0),
        ([[math.nan, 1.0], [math.inf, 3.0]], [[9.0, 1.0], [9.0, 3.0]], 0.0, 1.0),
    ],
)
def test_degenerate_tokens(x: list[list[float]], y: list[list[float]], nmse: float, cosine: float) -> None:
    sums, moments = ErrorSums(2), ChannelMoments(2)
    array = np.array(x, np.float32)
    sums.add(array, np.array(y, np.float32))
    moments.add(np.where(np.isfinite(array), array, 0))
    assert sums.nmse(moments) == nmse
    assert sums.cosine == pytest.approx(cosine)


def test_no_values_at_all_is_a_perfect_copy() -> None:
    sums, moments = measured(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), [])
    assert sums.summary(moments) == {"nmse": 0.0, "channel_nmse": 0.0, "cosine": 1.0, "cosine_p1": 1.0}


def test_snr_in_decibels() -> None:
    assert snr_db(0.01) == pytest.approx(20.0)
    assert snr_db(0.0) == math.inf
