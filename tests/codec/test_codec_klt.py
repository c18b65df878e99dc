"""The coded bases: orthonormal whatever the integers, and as close to what was asked as their precision allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform.basis import COARSEST_EXPONENT, FINEST_EXPONENT, entry_class, exponents_for
from embdc_cli.codec.transform.free_klt import FreeKlt, least_squares
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.entropy.tables import class_of_mean


def orthonormal(rank: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(channels, rank)))[0].T


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.data())
def test_any_integers_are_an_orthonormal_basis(channels: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, channels))
    codes = []
    for i in range(rank):
        row = data.draw(st.lists(st.integers(-(2**30), 2**30), min_size=channels - i, max_size=channels - i))
        codes += row if any(row) else [1, *row[1:]]
    exponents = np.sort(np.array(data.draw(st.lists(st.integers(-26, -2), min_size=rank, max_size=rank)), np.int64))
    basis = ReflectedKlt(np.array(codes, np.int32), exponents, channels).synthesis
    np.testing.assert_allclose(basis.astype(np.float64) @ basis.T, np.eye(rank), atol=1e-6)


def test_reflections_are_the_definition() -> None:
    """The closed form against the product of the reflections, one after the other."""
    stage = ReflectedKlt.fit(orthonormal(4, 9), np.full(4, -5))
    product = np.eye(9)
    end = 0
    for i in range(4):
        start, end = end, end + 9 - i
        v = np.zeros(9)
        v[i:] = stage.codes[start:end]
        v[i] += np.copysign(np.linalg.norm(v), v[i])
        product = product @ (np.eye(9) - 2 * np.outer(v, v) / (v @ v))
    np.testing.assert_allclose(stage.synthesis, product[:, :4].T, atol=1e-6)


@pytest.mark.parametrize("exponent", [-4, -8, -12, -20])
def test_precision_decides_the_error_of_the_basis(exponent: int) -> None:
    wanted = orthonormal(30, 48)
    basis = ReflectedKlt.fit(wanted, np.full(30, exponent)).synthesis.astype(np.float64)
    aligned = basis * np.sign((basis * wanted).sum(axis=1))[:, None]
    # each of 48 entries is off by at most half a step, and what earlier vectors took cannot come back
    assert np.linalg.norm(aligned - wanted, axis=1).max() < 2**exponent * np.sqrt(48) * 0.6 + 1e-6


def test_a_vector_too_weak_for_its_precision_is_still_a_vector() -> None:
    wanted = np.full((1, 1024), 1 / 32)
    assert np.linalg.norm(ReflectedKlt.fit(wanted, np.array([-2])).synthesis) == pytest.approx(1.0, abs=1e-6)


def test_exponents_follow_the_variances_and_never_fall() -> None:
    variances = np.array([4.0, 1.0, 0.25, 1e-9, 0.0])
    exponents = exponents_for(variances, 2.0**-3.4, 16.0)
    assert exponents.tolist() == [-6, -5, -4, COARSEST_EXPONENT, COARSEST_EXPONENT]
    assert exponents_for(variances, 1e-12, 1e9).min() == FINEST_EXPONENT
    assert exponents_for(np.zeros(0), 1.0, 1.0).size == 0


@pytest.mark.parametrize("exponent", [-3, -7, -12, -26])
@pytest.mark.parametrize("dimensions", [1, 40, 1000])
def test_entry_class_is_that_of_a_random_unit_vector(exponent: int, dimensions: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(4000 // dimensions + 3, dimensions)) / np.sqrt(dimensions)
    magnitudes = np.abs(vectors) / 2.0**exponent
    measured = class_of_mean(int(magnitudes.sum() * 1000), magnitudes.size * 1000)
    assert abs(measured - entry_class(exponent, dimensions)) <= 1


def test_least_squares_is_best_in_its_metric() -> None:
    rng = np.random.default_rng(2)
    synthesis = rng.normal(size=(3, 7))
    root = rng.normal(size=(7, 7))
    metric = root.T @ root
    x = rng.normal(size=(50, 7))

    def error(analysis: np.ndarray) -> float:
        difference = (x - x @ analysis @ synthesis) @ root.T
        return float((difference**2).sum())

    best = least_squares(synthesis, metric).astype(np.float64)
    plain = least_squares(synthesis, None).astype(np.float64)
    assert error(best) < error(plain)
    for _ in range(20):
        assert error(best) <= error(best + 0.01 * rng.normal(size=best.shape)) * (1 + 1e-9)


def test_free_klt_rounds_to_its_precision() -> None:
    wanted = np.random.default_rng(3).normal(size=(4, 6))
    exponents = np.array([-9, -6, -6, -2])
    error = np.abs(FreeKlt.fit(wanted, exponents, None).synthesis - wanted).max(axis=1)
    assert (error <= 2.0**exponents / 2 + 1e-6).all()
