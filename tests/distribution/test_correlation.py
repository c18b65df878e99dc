"""Neighbours along each axis, and channels with each other."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution import correlation
from tests.distribution.sources import noise, sample_of, walk

AXES = {"time": 0, "vertical": 1, "horizontal": 2, "channel": 3}


@pytest.mark.parametrize("along", AXES)
def test_ar1_along_one_axis(along: str) -> None:
    found = correlation.correlation(sample_of(walk(noise(64, 20, 24, 32), 0.95, AXES[along])))
    for name in AXES:
        assert found[name] == pytest.approx(0.95 if name == along else 0, abs=0.02), name


def test_means_of_channels_are_no_correlation() -> None:
    x = noise(500, 9, 8) + 100 * np.arange(8, dtype=np.float32)
    assert all(abs(value) < 0.05 for value in correlation.correlation(sample_of(x)).values() if value is not None)


def test_tokens_without_a_grid() -> None:
    found = correlation.correlation(sample_of(walk(noise(30, 50, 8), 0.8, 1)))
    assert found["vertical"] is None
    assert found["horizontal"] == pytest.approx(0.8, abs=0.05)


def test_between_channels_is_what_numpy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(300, 6) @ noise(6, 6, seed=1)
    r = np.abs(np.corrcoef(x.T))
    found = correlation.correlation(sample_of(x))["channels"]
    assert found == pytest.approx((r.sum() - 6) / 30, rel=1e-4)
    monkeypatch.setattr(correlation, "MAX_CHANNELS", 3)
    few = np.abs(np.corrcoef(x[:, ::2].T))
    assert correlation.correlation(sample_of(x))["channels"] == pytest.approx((few.sum() - 3) / 6, rel=1e-4)


def test_channels_that_never_vary_have_none() -> None:
    x = noise(300, 3)
    x[:, 1] = 4
    assert correlation.correlation(sample_of(x))["channels"] == pytest.approx(
        abs(np.corrcoef(x[:, 0], x[:, 2])[0, 1]), rel=1e-4
    )
    assert correlation.correlation(sample_of(np.zeros((300, 3), np.float32)))["channels"] is None
