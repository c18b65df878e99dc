"""Coding gains against formulas: of AR(1) sequences, of known covariances, of noise none."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution import forecast
from embdc_cli.distribution.compaction import (
    GROUP,
    dct_matrix,
    dct_variances,
    klt_variances,
    own_klt_variances,
    time_variances,
)
from tests.distribution.sources import noise, sample_of, walk


def ar1_variances(rho: float) -> np.ndarray:
    """Of the DCT of 8 samples of an AR(1) sequence: the diagonal of C R C'."""
    distance = np.abs(np.subtract.outer(np.arange(GROUP), np.arange(GROUP)))
    return np.diagonal(dct_matrix(GROUP) @ rho**distance @ dct_matrix(GROUP).T)


def gain(variances: np.ndarray | None) -> float:
    assert variances is not None
    found = forecast.gain_db(forecast.bits(variances))
    assert found is not None
    return found


def test_dct_is_orthonormal_and_its_gain_is_the_one_in_the_books() -> None:
    assert dct_matrix(8) @ dct_matrix(8).T == pytest.approx(np.eye(8), abs=1e-12)
    v = ar1_variances(0.95)
    # Jayant and Noll, figure 12.16: 8.83 dB of 8 samples at 0.95
    assert 10 * np.log10(v.mean() / np.exp(np.log(v).mean())) == pytest.approx(8.83, abs=0.01)
    assert gain(v) == pytest.approx(8.83, abs=0.01)


def test_time_gain_of_ar1_rows() -> None:
    found = time_variances(sample_of(walk(noise(1024, 4, 64), 0.95, 0)))
    assert found == pytest.approx(ar1_variances(0.95), rel=0.06)
    assert gain(found) == pytest.approx(8.83, abs=0.15)


def test_time_groups_do_not_cross_runs() -> None:
    x = sample_of(noise(16, 4, 8))
    whole = time_variances(x)
    assert whole is not None
    assert whole.sum() == pytest.approx(8 * float(x.variances.mean()), rel=1e-4)
    assert time_variances(sample_of(noise(7, 400, 8))) is None


def test_plane_gain_of_a_separable_field() -> None:
    frames = walk(walk(noise(4, 256, 256), 0.7, 1), 0.7, 2)
    expected = np.outer(ar1_variances(0.7), ar1_variances(0.7))
    found = dct_variances(frames)
    assert found == pytest.approx(expected, rel=0.25)
    assert gain(found) == pytest.approx(gain(expected), abs=0.15)


def test_noise_gains_nothing() -> None:
    assert gain(dct_variances(noise(1, 512, 515))) == pytest.approx(0, abs=0.01)
    assert gain(time_variances(sample_of(noise(800, 64)))) == pytest.approx(0, abs=0.01)
    assert gain(klt_variances(sample_of(noise(4000, 32)))) == pytest.approx(0, abs=0.1)
    few = sample_of(noise(64, 128))
    assert gain(klt_variances(few)) < 1.0
    own = own_klt_variances(few)
    assert gain(own) > 10
    assert own is not None
    assert forecast.gain_db(forecast.bits_with_basis(own, 64)) == pytest.approx(0, abs=1e-9)


def test_klt_finds_the_variances_behind_a_rotation() -> None:
    variances = 2.0 ** -np.arange(8)
    rotation = np.linalg.qr(noise(8, 8, seed=3))[0]
    x = (noise(20000, 8) * np.sqrt(variances)) @ rotation
    for found in (klt_variances(sample_of(x)), own_klt_variances(sample_of(x))):
        assert found == pytest.approx(variances, rel=0.05)
    # arithmetic over geometric mean
    assert gain(klt_variances(sample_of(x))) == pytest.approx(
        10 * np.log10(variances.mean() / np.exp(np.log(variances).mean())), abs=0.1
    )


@pytest.mark.parametrize("shape", [(63, 4), (400, 1), (0, 4)])
def test_too_few_for_a_klt(shape: tuple[int, ...]) -> None:
    assert klt_variances(sample_of(noise(*shape))) is None
    assert own_klt_variances(sample_of(noise(*shape))) is None


@pytest.mark.parametrize("shape", [(1, 7, 4000), (1, 8, 248), (0, 64, 64)])
def test_too_few_blocks(shape: tuple[int, ...]) -> None:
    assert dct_variances(np.zeros(shape, np.float32)) is None
