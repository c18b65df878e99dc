"""Rows by position and by time."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.errors import UsageError
from embdc_cli.slicing import row_at, rows_between, rows_of
from embdc_cli.values import Timeline

TEN = Timeline(np.arange(10) * 1001 + 77, np.arange(10) * 1001 + 77 + 1001, Fraction(1, 30000))


@pytest.mark.parametrize("text", ["0:3", ":", "2:", ":-1", "-3:", "1:9:4", "::3", "5:2", "0:99"])
def test_frames_are_python_slices(text: str) -> None:
    parts = [int(part) if part else None for part in text.split(":")]
    assert list(rows_of(text, None, 10, None)) == list(range(10))[slice(*parts)]


@pytest.mark.parametrize("text", ["", "3", "a:b", "1:2:0", "::-1", "1:2:3:4", "1.5:2"])
def test_what_is_no_slice_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--frames"):
        rows_of(text, None, 10, None)


@given(st.integers(0, 400), st.integers(0, 400))
def test_time_takes_rows_that_start_inside(low_ms: int, high_ms: int) -> None:
    low, high = min(low_ms, high_ms), max(low_ms, high_ms) + 1
    chosen = rows_of(None, f"{low / 1000:.3f}s..{high / 1000:.3f}s", 10, TEN)
    starts = [(int(start) - 77) * TEN.timebase for start in TEN.starts]
    expected = [row for row, start in enumerate(starts) if Fraction(low, 1000) <= start < Fraction(high, 1000)]
    assert list(chosen) == expected


def test_frames_then_count_within_the_time() -> None:
    assert list(rows_of("1:", "0.05s..", 10, TEN)) == [3, 4, 5, 6, 7, 8, 9]


def test_a_stream_without_times_has_no_rows_by_time() -> None:
    with pytest.raises(UsageError, match="keeps no times"):
        rows_of(None, "0s..1s", 10, None)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf"), None, "5s", []])
def test_seconds_that_are_no_number_are_a_usage_error(seconds: Any) -> None:
    with pytest.raises(UsageError, match=r"^at: expected a number, found"):
        row_at(TEN, seconds)
    for ends in ((seconds, 1), (0, seconds)):
        with pytest.raises(UsageError, match=r"^between: expected a number, found"):
            rows_between(TEN, *ends)
