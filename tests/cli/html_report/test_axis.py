"""Axes hold their values, and have a few round ticks, whatever the values are."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embdc_cli.cli.html_report import axis

FINITE = st.floats(-1e200, 1e200, allow_subnormal=False)


@given(st.lists(FINITE, max_size=5))
@example([])
@example([1.0])
@example([1.0, 1.0 + 2**-52])
@example([0.97, 0.97])
@example([-0.0, 0.0])
def test_linear(values: list[float]) -> None:
    found = axis.linear("x", values)
    assert all(-1e-5 <= (value - found.low) / (found.high - found.low) <= 1 + 1e-5 for value in values)
    assert 2 <= len(found.ticks) <= 12
    assert sorted(value for value, _ in found.ticks) == [value for value, _ in found.ticks]
    assert all(0 <= found.share(value) <= 1 for value in values)


@given(st.lists(st.floats(0, 1e308, exclude_min=True), max_size=5))
@example([])
@example([1e-323])
@example([1e308])
@example([1e-320, 1e308])
@example([0.1])
@example([0.0583, 0.0583])
def test_logarithmic(values: list[float]) -> None:
    found = axis.logarithmic("x", values)
    assert 0 < found.low < found.high < math.inf
    assert all(found.low <= max(value, 1e-300) * (1 + 1e-6) for value in values)
    assert all(found.high >= min(value, 1e300) * (1 - 1e-6) for value in values)
    assert 2 <= len(found.ticks) <= 14
    assert all(0 <= found.share(value) <= 1 for value in values)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0, 10], ["0", "2", "4", "6", "8", "10"]),
        ([0.951, 0.998], ["0.95", "0.96", "0.97", "0.98", "0.99", "1.00"]),
        ([-1, 1], ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
    ],
)
def test_ticks(values: list[float], ticks: list[str]) -> None:
    assert [text for _, text in axis.linear("x", values).ticks] == ticks


def test_ticks_of_counts() -> None:
    assert [text for _, text in axis.linear("row", [0, 2], whole=True).ticks] == ["0", "1", "2"]
    assert [text for _, text in axis.linear("row", [0], whole=True).ticks] == ["0", "1"]


def test_a_tight_axis_ends_with_its_values() -> None:
    found = axis.linear("row", [0, 63], tight=True, whole=True)
    assert (found.low, found.high) == (0, 63)
    assert [text for _, text in found.ticks] == ["0", "20", "40", "60"]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.03, 0.4], ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ([1, 1e5], ["1", "10", "100", "1000", "10000", "100000"]),
        ([0.1, 0.1], ["0.1", "0.2"]),
    ],
)
def test_ticks_of_a_logarithmic_axis(values: list[float], ticks: list[str]) -> None:
    assert [text for _, text in axis.logarithmic("x", values).ticks] == ticks
