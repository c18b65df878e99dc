"""Rounding by thresholds: kernels agree, and no other level is cheaper."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform import rdoq
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.codec.transform.rdoq import cpu, reference
from embdc_cli.entropy.levels import magnitude_costs
from embdc_cli.entropy.tables import Tables, static_tables

WILD = [np.nan, np.inf, -np.inf, 3e38, -1e20, -0.0, 1e-45, 31.999, 32.5, -33.0]


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 64, count).astype(np.uint8)
    values = rng.laplace(0, 2.0 ** ((classes - 20.0) / 2) + 0.5)
    values = np.where(rng.random(count) < 0.05, rng.choice(WILD, count), values)
    return values.astype(np.float32), classes


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0, 1, 2, 7, 1000]),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.1, 0.25, 5.0]),
    st.tuples(*3 * [st.integers(-127, 127)]),
)
def test_kernels_agree(count: int, seed: int, lagrangian: float, offsets: tuple[int, int, int]) -> None:
    values, classes = drawn(count, seed)
    thresholds = rdoq.thresholds(lagrangian, offsets)
    assert thresholds.shape == (64, rdoq.LEVELS)
    assert thresholds.dtype == np.float32
    assert (np.diff(thresholds, axis=1) >= 0).all()
    assert (thresholds >= 0).all()
    slow, fast = (kernel.quantise(values, classes, thresholds) for kernel in (reference, cpu))
    assert slow.dtype == fast.dtype == np.int32
    assert np.array_equal(slow, fast)
    assert not fast[(classes == 0) | np.isnan(values)].any()
    assert np.abs(fast).max(initial=0) <= MAX_LEVEL
    assert (fast * np.where(np.isnan(values), 0, np.sign(values)) >= 0).all()


@pytest.mark.parametrize("lagrangian", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("offsets", [(0, 0, 0), (9, 4, 1), (-20, -7, 3)])
def test_no_other_level_is_cheaper(lagrangian: float, offsets: tuple[int, int, int]) -> None:
    u = np.linspace(0, 28, 3001, dtype=np.float32)
    magnitudes = np.arange(64)
    points = magnitudes + np.array([0, *offsets])[np.minimum(magnitudes, 3)] / 256
    errors = (u[:, None].astype(np.float64) - points) ** 2
    bits = magnitude_costs(largest=63) / 256
    thresholds = rdoq.thresholds(lagrangian, offsets)
    for cls in range(1, 64):
        levels = rdoq.quantise(-u, np.full(u.size, cls, np.uint8), thresholds)
        costs = errors + lagrangian * bits[cls]
        assert (costs[np.arange(u.size), -levels] <= costs.min(axis=1) + 1e-4).all()


def test_a_value_on_a_threshold_takes_the_lower_level() -> None:
    thresholds = rdoq.thresholds(0.1, (5, 0, 0))
    classes = np.repeat(np.arange(1, 64), rdoq.LEVELS).astype(np.uint8)
    values = thresholds[1:].ravel()
    expected = np.tile(np.arange(rdoq.LEVELS), 63)
    for kernel in (reference, cpu):
        assert np.array_equal(kernel.quantise(values, classes, thresholds), expected)
        above = kernel.quantise(np.nextafter(values, np.float32(99)), classes, thresholds)
        assert np.array_equal(above, expected + 1)


def test_a_zero_dearer_than_other_levels_is_only_for_zero() -> None:
    freq = static_tables().freq.astype(int)
    freq[20] = [1, 4081, *[1] * 14]
    thresholds = rdoq.thresholds(0.5, (0, 0, 0), Tables(freq))
    assert thresholds[20, 0] == 0
    values, classes = np.array([0.0, 1e-6, -1e-6, 0.9], np.float32), np.full(4, 20, np.uint8)
    assert rdoq.quantise(values, classes, thresholds).tolist() == [0, 1, -1, 1]


def test_free_bits_round_to_the_nearest() -> None:
    values, classes = drawn(5000, 1)
    values = np.where(np.isfinite(values) & (np.abs(values) < 1e6), values, 0).astype(np.float32)
    levels = rdoq.quantise(values, classes, rdoq.thresholds(0.0, (0, 0, 0)))
    assert np.abs(values - levels)[classes > 0].max() <= 0.5
    assert np.abs(levels).max() > 10_000


def test_dearer_bits_never_raise_a_level_of_a_falling_law() -> None:
    values, _ = drawn(5000, 2)
    classes = np.full(values.size, 16, np.uint8)
    smaller = [np.abs(rdoq.quantise(values, classes, rdoq.thresholds(price, (0, 0, 0)))) for price in (0, 0.1, 0.3, 2)]
    assert all((b <= a).all() and (b < a).any() for a, b in pairwise(smaller))


def test_tables_matter() -> None:
    assert np.array_equal(rdoq.thresholds(0.2, (0, 0, 0), static_tables()), rdoq.thresholds(0.2, (0, 0, 0)))
    # a rare one is dearer than a frequent one
    assert rdoq.thresholds(0.2, (0, 0, 0))[8, 0] > rdoq.thresholds(0.2, (0, 0, 0))[18, 0] > 0.5


@pytest.mark.parametrize(
    ("lagrangian", "offsets"), [(-1.0, (0, 0, 0)), (np.nan, (0, 0, 0)), (0.1, (0, 0)), (0.1, (-999,) * 3)]
)
def test_other_prices_are_refused(lagrangian: float, offsets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rdoq"):
        rdoq.thresholds(lagrangian, offsets)


@pytest.mark.parametrize(
    ("values", "classes", "thresholds"),
    [
        (np.zeros(2), np.zeros(2, np.uint8), np.zeros((64, 4), np.float32)),
        (np.zeros(2, np.float32), np.zeros(3, np.uint8), np.zeros((64, 4), np.float32)),
        (np.zeros(2, np.float32), np.full(2, 64, np.uint8), np.zeros((64, 4), np.float32)),
        (np.zeros(2, np.float32), np.zeros(2, np.uint8), np.zeros((64, 4))),
        (np.zeros(2, np.float32), np.zeros(2, np.uint8), np.zeros((64, 0), np.float32)),
    ],
)
def test_other_arguments_are_refused(values: np.ndarray, classes: np.ndarray, thresholds: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rdoq"):
        rdoq.quantise(values, classes, thresholds)
