"""Which frames become rows, against the definition computed the slow way."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.errors import UsageError
from embdc_cli.source.frame_selection import FrameSelection, select

MS = Fraction(1, 1000)


def chosen(times: list[int], fps: str | None, time: str | None = None, timebase: Fraction = MS) -> list[int]:
    return list(select(((pts, 1) for pts in times), FrameSelection.parse(fps, time), timebase))


@pytest.mark.parametrize(
    ("fps", "time", "expected"),
    [
        (None, None, list(range(48))),
        ("native", None, list(range(48))),
        ("1", None, [0, 24]),
        ("2", None, [0, 12, 24, 36]),
        ("8", None, list(range(0, 48, 3))),
        ("24", None, list(range(48))),
        ("1000", None, list(range(48))),
        ("every:1", None, list(range(48))),
        ("every:7", None, [0, 7, 14, 21, 28, 35, 42]),
        ("0.5", None, [0]),
        ("5", None, [0, 5, 10, 15, 20, 24, 29, 34, 39, 44]),
        (None, "0.5s..1s", list(range(12, 24))),
        (None, "1s..", list(range(24, 48))),
        (None, "..0.25s", list(range(6))),
        ("1", "0.5s..", [24]),
        ("5", "1s..1.5s", [24, 29, 34]),
        ("every:7", "1s..", [28, 35, 42]),
        ("1", "5s..", []),
    ],
)
def test_two_seconds_at_24_frames_per_second(fps: str | None, time: str | None, expected: list[int]) -> None:
    assert chosen([512 * n for n in range(48)], fps, time, Fraction(1, 12288)) == expected


def test_rounding_to_the_timebase_does_not_shift_slots() -> None:
    # 29.97 fps in milliseconds: frame 30 starts at 1001 ms; at 30 fps frame 10 starts at 333 ms, just before 10/30
    assert chosen([0, 33, 67, 100, 133, 167, 200, 233, 267, 300, 333], "3") == [0, 10]
    assert chosen([0, 33, 66, 100, 133, 166, 200, 233, 266, 300, 332], "3") == [0]


def test_times_count_from_the_first_frame() -> None:
    times = [7500 + 3750 * n for n in range(48)]
    assert chosen(times, "2", "1s..", Fraction(1, 90000)) == [24, 36]


def test_a_pause_is_one_row_however_many_slots_it_covers() -> None:
    assert chosen([0, 100, 5000, 5100, 6000], "1") == [0, 2, 4]


@settings(deadline=None)
@given(
    gaps=st.lists(st.integers(1, 300), min_size=1, max_size=40),
    first=st.integers(-5000, 5000),
    fps=st.fractions(Fraction(1, 10), 60, max_denominator=1001),
    ticks=st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 24)]),
)
def test_slots_take_the_first_frame_at_or_after_them(
    gaps: list[int], first: int, fps: Fraction, ticks: Fraction
) -> None:
    times = [first]
    for gap in gaps:
        times.append(times[-1] + gap)
    last = (times[-1] - first) * ticks
    expected = set()
    for slot in count():
        if slot / fps > last + ticks / 2 or len(expected) == len(times):
            break
        expected.add(next(n for n, pts in enumerate(times) if (pts - first) * ticks + ticks / 2 >= slot / fps))
    selection = FrameSelection(fps=fps)
    assert list(select(((pts, 0) for pts in times), selection, ticks)) == sorted(expected)


def test_it_stops_asking_for_frames_behind_the_window() -> None:
    asked = []

    def times() -> Iterator[tuple[int, int]]:
        for n in range(100):
            asked.append(n)
            yield n * 1000, 1000

    assert list(select(times(), FrameSelection.parse("native", "2s..4s"), MS)) == [2, 3]
    assert asked == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "fps", ["0", "-1", "0/1", "1/0", "every:0", "every:", "every:-1", "fast", "", "nan", "1e3", "."]
)
def test_what_is_no_rate_is_refused(fps: str) -> None:
    with pytest.raises(UsageError, match=r"--fps: expected a rate such as 1, 2\.5"):
        FrameSelection.parse(fps, None)


@pytest.mark.parametrize(
    ("fps", "recorded"), [(None, "native"), ("every:3", "every:3"), ("2.50", "5/2"), ("30000/1001", "30000/1001")]
)
def test_what_is_recorded_is_canonical(fps: str | None, recorded: str) -> None:
    assert FrameSelection.parse(fps, "1s..01:00").provenance() == {"fps": recorded, "time": "1s..60s"}
