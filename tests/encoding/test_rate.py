"""The step search ends at the right place for every monotone curve, in few measurements."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.encoding.rate import COARSEST, FINEST, StepSearch


def run(search: StepSearch, curve: Callable[[int], float]) -> int:
    while (index := search.next()) is not None:
        assert index not in search.tried, "nothing is measured twice"
        search.record(index, curve(index))
        assert len(search.tried) < 60
    return len(search.tried)


@given(
    goal=st.floats(-6, -0.5).map(lambda e: 10**e),
    slope=st.floats(0.5, 2.0),
    knee=st.integers(-2000, 1000),
    slack=st.sampled_from([0.02, 0.03]),
)
def test_errors_end_just_below_the_goal(goal: float, slope: float, knee: int, slack: float) -> None:
    def error(index: int) -> float:
        return min(1.0, 2.0 ** (slope * (index - knee) / 256) * 1e-2)

    search = StepSearch(goal, rising=True, slack=slack)
    assert run(search, error) < 40
    best = search.best
    if error(FINEST) > goal:
        assert best is None
    else:
        assert best is not None
        assert error(best) <= goal
        assert error(best) >= goal * (1 - slack) or error(best + 1) > goal or best == COARSEST


@given(goal=st.integers(300, 10**7), bits=st.floats(1e4, 1e8), overhead=st.integers(0, 2000))
def test_sizes_end_just_below_the_goal(goal: int, bits: float, overhead: int) -> None:
    def size(index: int) -> float:
        return overhead + bits * math.log2(1 + 2.0 ** (-index / 256)) / 8

    search = StepSearch(goal, rising=False, slack=0.02)
    assert run(search, size) < 40
    best = search.best
    if size(COARSEST) > goal:
        assert best is None
    else:
        assert best is not None
        assert size(best) <= goal
        assert size(best) >= goal * 0.98 or size(best - 1) > goal or best == FINEST


@pytest.mark.parametrize("rising", [True, False])
def test_a_curve_with_noise_still_ends_on_the_good_side(rising: bool) -> None:
    def curve(index: int) -> float:
        value = 2.0 ** (index / 256) if rising else 2.0 ** (-index / 256)
        return value * (1 + 0.01 * math.sin(index * 12.9898))

    search = StepSearch(0.05, rising=rising, slack=0.02)
    run(search, curve)
    assert search.best is not None
    assert curve(search.best) <= 0.05


def test_a_plateau_above_the_goal_is_given_up() -> None:
    search = StepSearch(10.0, rising=False, slack=0.02)
    run(search, lambda index: 500.0)
    assert search.best is None
