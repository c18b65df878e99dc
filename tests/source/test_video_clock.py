"""Start times where the container gives good, bad or no PTS."""

from __future__ import annotations

import pytest

from embdc_cli.source.video_clock import FrameClock


@pytest.mark.parametrize(
    ("pts", "durations", "starts", "repaired"),
    [
        ([0, 10, 25], [10, 15, 5], [0, 10, 25], 0),
        ([-20, -10, 0], [10, 10, 10], [-20, -10, 0], 0),
        ([None, None, None], [0, 0, 0], [0, 8, 16], 3),
        ([None, None, None], [5, 6, 7], [0, 5, 11], 3),
        ([100, None, 120], [10, 10, 10], [100, 110, 120], 1),
        ([100, 100, 108], [None, None, None], [100, 108, 116], 2),
        ([100, 50, 60], [10, 10, 10], [100, 110, 120], 2),
    ],
)
def test_starts_increase_and_repairs_are_counted(
    pts: list[int | None], durations: list[int | None], starts: list[int], repaired: int
) -> None:
    clock = FrameClock(8)
    assert [clock.start(one, length) for one, length in zip(pts, durations, strict=True)] == starts
    assert clock.repaired == repaired


def test_untrusted_times_are_all_replaced() -> None:
    clock = FrameClock(1, trusted=False)
    assert [clock.start(pts, 1) for pts in (1, 3, 2, 5)] == [0, 1, 2, 3]
    assert clock.repaired == 4


def test_the_last_frame_lasts_as_it_says_or_as_the_one_before_or_nominally() -> None:
    clock = FrameClock(8)
    assert clock.own_duration(None) == 8
    clock.spaced(12)
    assert clock.own_duration(0) == 12
    assert clock.own_duration(5) == 5


@pytest.mark.parametrize(("spacings", "variable"), [([], False), ([42, 41, 42], False), ([40, 42], True), ([7], False)])
def test_rounding_to_the_timebase_is_no_variable_rate(spacings: list[int], variable: bool) -> None:
    clock = FrameClock(1)
    for ticks in spacings:
        clock.spaced(ticks)
    assert clock.variable is variable
