"""Error by variance: channels sorted, binned, and every one counted once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embdc_cli.comparison.channels import BINS, by_variance
from embdc_cli.metrics import ChannelMoments, ErrorSums
from tests.comparison.definitions import stream

RNG = np.random.default_rng(0)


def channels(x: np.ndarray, y: np.ndarray) -> dict[str, list[Any]]:
    moments, sums = ChannelMoments(x.shape[1]), ErrorSums(x.shape[1])
    moments.add(x)
    sums.add(x, y)
    return by_variance(sums, moments)


def test_few_channels_are_themselves_the_loudest_first() -> None:
    x = RNG.standard_normal((500, 5)).astype(np.float32) * np.float32([1, 5, 2, 4, 3])
    y = x + RNG.standard_normal(x.shape).astype(np.float32) * np.float32([0.5, 0.1, 0.4, 0.2, 0.3])
    found, order = channels(x, y), [1, 3, 4, 2, 0]
    assert found["rank"] == [0, 1, 2, 3, 4]
    assert found["variance"] == pytest.approx(x.astype(np.float64).var(axis=0)[order])
    assert found["mse"] == pytest.approx(np.square(x.astype(np.float64) - y).mean(axis=0)[order])


@pytest.mark.parametrize("count", [BINS - 1, BINS, BINS + 1, 3 * BINS - 1, 1000])
def test_bins_hold_every_channel_once(count: int) -> None:
    x = RNG.standard_normal((20, count)).astype(np.float32)
    found = channels(x, np.zeros_like(x))
    assert len(found["rank"]) == min(BINS, count)
    lengths = np.diff(found["rank"], append=count)
    assert set(lengths) <= {count // len(lengths), -(-count // len(lengths))}
    assert (lengths * found["mse"]).sum() == pytest.approx(np.square(x.astype(np.float64)).mean(axis=0).sum())
    assert found["variance"] == sorted(found["variance"], reverse=True)


def test_constant_channels_and_no_tokens() -> None:
    zeros = np.zeros((4, 3), np.float32)
    assert channels(zeros, zeros) == {"rank": [0, 1, 2], "variance": [0, 0, 0], "mse": [0, 0, 0]}
    assert channels(zeros[:0], zeros[:0])["variance"] == [0, 0, 0]
    assert channels(zeros[:, :0], zeros[:, :0]) == {"rank": [], "variance": [], "mse": []}


def test_what_is_lost_is_infinite() -> None:
    x = RNG.standard_normal((8, 2, 3)).astype(np.float32)
    y = x.copy()
    y[3, 1, 2] = np.nan
    assert sum(not np.isfinite(float("inf") if one is None else one) for one in stream(x, y)["channels"]["mse"]) == 1
