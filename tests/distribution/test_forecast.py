"""Reverse water-filling against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution.forecast import NMSE, PLAIN, bits, bits_with_basis


def by_bisection(variances: np.ndarray, counts: np.ndarray, allowed: float) -> float:
    low, high = 0.0, float(variances.max())
    for _ in range(200):
        level = (low + high) / 2
        spent = (np.minimum(variances, level) * counts).sum()
        low, high = (level, high) if spent < allowed else (low, level)
    return float((0.5 * np.log2(np.maximum(variances / level, 1)) * counts).sum())


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_bits(spread: float) -> None:
    v = np.exp(spread * np.random.default_rng(0).standard_normal(50))
    assert bits(v) == pytest.approx(by_bisection(v, np.ones(50), NMSE * v.sum()) / 50, rel=1e-9)
    assert bits(v.reshape(5, 10)) == bits(v)


def test_alike_components_and_none() -> None:
    assert bits(np.full(7, 3.0)) == pytest.approx(PLAIN)
    assert bits(np.zeros(7)) is None
    assert bits(np.zeros(0)) is None
    assert bits_with_basis(np.zeros(7), 10) is None
    # one component of four: half its error is not 1 % of all
    assert bits(np.array([0.0, 4.0, 0.0, 0.0])) == pytest.approx(PLAIN / 4)


def test_a_basis_is_paid_for() -> None:
    v, tokens = np.concatenate([np.full(4, 100.0), np.full(60, 1e-3)]), 1000
    paid = bits_with_basis(v, tokens)
    counts = np.concatenate([np.full(64, tokens), np.full(4, 64)])
    rotated = by_bisection(np.concatenate([v, v[:4] * tokens / 64]), counts, NMSE * tokens * v.sum())
    assert paid == pytest.approx(rotated / (64 * tokens), rel=1e-6)
    free = bits(v)
    assert free is not None
    assert paid is not None
    assert free < paid < PLAIN
    # of countless tokens it costs nothing, of very few it does not pay
    assert bits_with_basis(v, 10**9) == pytest.approx(free, rel=1e-3)
    assert bits_with_basis(v, 2) == pytest.approx(PLAIN)
