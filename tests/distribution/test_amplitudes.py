"""Entropy and tails against formulas."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution.amplitudes import amplitudes, entropy, histogram
from tests.distribution.sources import noise, sample_of


def test_entropy_of_gaussian_noise() -> None:
    x = noise(4000, 64)
    found = amplitudes(sample_of(x))
    # differential entropy log2(s sqrt(2 pi e)) less log2 of the step
    step = float(np.ptp(x)) / 255
    assert found["entropy"]["tensor"] == pytest.approx(np.log2(x.std() * np.sqrt(2 * np.pi * np.e) / step), abs=0.01)
    assert abs(found["kurtosis"]) < 0.05
    assert abs(found["channel_kurtosis"]) < 0.05
    assert found["outliers"] == 0
    assert found["massive"] == pytest.approx(1 / 64, rel=0.1)


def test_uniform_levels_take_eight_bits_and_kurtosis_is_that_of_the_uniform() -> None:
    x = np.tile(np.arange(256, dtype=np.float32), (4, 1)).T
    found = amplitudes(sample_of(x))
    assert found["entropy"] == {"tensor": 8.0, "channels": 8.0}
    assert found["kurtosis"] == pytest.approx(-1.2, abs=1e-3)
    assert (found["least"], found["greatest"], found["mean"]) == (0, 255, 127.5)


def test_levels_are_rounded_to_nearest() -> None:
    counts = histogram(sample_of(np.float32([[0], [0.49], [0.51], [255]])), np.float32(0), np.float32(255))
    assert [counts[level] for level in (0, 1, 255)] == [2, 1, 1]
    assert entropy(counts) == 1.5


def test_one_massive_channel() -> None:
    x = noise(2000, 100)
    x[:, 41] *= 100
    found = amplitudes(sample_of(x))
    assert found["massive"] == pytest.approx(10_000 / 10_099, rel=0.01)
    assert found["kurtosis"] > 100
    assert abs(found["channel_kurtosis"]) < 0.1
    assert found["entropy"]["tensor"] < 2 < 6 < found["entropy"]["channels"]


def test_outliers_are_counted() -> None:
    x = noise(1000, 10)
    x[0, :3] = 50
    assert amplitudes(sample_of(x))["outliers"] == pytest.approx(3e-4)


def test_deviation_is_that_of_all_values() -> None:
    x = noise(100, 7) * np.arange(1, 8, dtype=np.float32) + np.arange(7, dtype=np.float32) * 10
    found = amplitudes(sample_of(x))
    assert (found["mean"], found["deviation"]) == (pytest.approx(x.mean(), rel=1e-5), pytest.approx(x.std(), rel=1e-5))
