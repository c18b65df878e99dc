"""Times and ranges as users write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.errors import UsageError
from embdc_cli.source.time_spec import TimeRange, parse_range, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4s", Fraction(4)),
        ("4", Fraction(4)),
        ("0", Fraction(0)),
        ("0.1s", Fraction(1, 10)),
        ("2.5", Fraction(5, 2)),
        ("500ms", Fraction(1, 2)),
        ("1h02m", Fraction(3720)),
        ("1h02m3.5s", Fraction(7447, 2)),
        ("90m", Fraction(5400)),
        ("1s250ms", Fraction(5, 4)),
        (" 4s ", Fraction(4)),
        ("01:02:03.004", Fraction(3723004, 1000)),
        ("1:30", Fraction(90)),
        ("90:00", Fraction(5400)),
    ],
)
def test_a_time_is_exact(text: str, seconds: Fraction) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "4x", "-4", "-4s", "1s2m", "1m1h", "4 s", "1e3", "1:60", "1:60:00", "1::2", "nan", "4s..", "٤s"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--time: expected a time such as 4s"):
        parse_time(text)


def test_an_endless_number_is_refused_rather_than_computed() -> None:
    with pytest.raises(UsageError):
        parse_time("9" * 5000)


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("4s..8s", Fraction(4), Fraction(8)),
        ("..8s", Fraction(0), Fraction(8)),
        ("4s..", Fraction(4), None),
        ("..", Fraction(0), None),
        ("1h02m..01:02:30", Fraction(3720), Fraction(3750)),
        ("0.5..1.5", Fraction(1, 2), Fraction(3, 2)),
    ],
)
def test_a_range_may_be_open(text: str, start: Fraction, stop: Fraction | None) -> None:
    assert parse_range(text) == TimeRange(start, stop)


@pytest.mark.parametrize("text", ["4s", "8s..4s", "4s..4s", "a..b", "1..2..3", ""])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--time: expected"):
        parse_range(text)


def test_a_range_holds_its_start_and_not_its_end() -> None:
    window = parse_range("1s..2s")
    inside = [Fraction(999, 1000), Fraction(1), Fraction(1999, 1000), Fraction(2)]
    assert [window.holds(seconds) for seconds in inside] == [False, True, True, False]
    assert parse_range("1s..").holds(Fraction(10**9))


@settings(deadline=None)
@given(st.integers(0, 10**9), st.one_of(st.none(), st.integers(1, 10**9)))
def test_a_range_reads_what_it_writes(start_ms: int, length_ms: int | None) -> None:
    start = Fraction(start_ms, 1000)
    window = TimeRange(start, None if length_ms is None else start + Fraction(length_ms, 1000))
    assert parse_range(str(window)) == window
