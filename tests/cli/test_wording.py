"""Numbers as people read them."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.cli import bars, quantities, wording


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (18_400_000, "18.4 MB"),
        (5_600_000_000, "5.60 GB"),
        (10**12, "1.00 TB"),
        (10**16, "10000 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.004, "0.00 s"),
        (9.99, "9.99 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1m00s"),
        (185, "3m05s"),
        (3723, "1h02m03s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert wording.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0000"),
        (0.97031, "0.9703"),
        (0.99995, "0.99995"),
        (0.99999996, "0.99999996"),
        (1 - 1e-12, "1.000000000"),
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_cosine_is_not_rounded_to_one(value: Any, text: str) -> None:
    assert wording.cosine(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.23621, "0.2362"), (12, "12"), (9999.6, "10000"), (123456.7, "123457"), (None, "-"), (float("nan"), "-")],
)
def test_number(value: Any, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("values", "worst", "line"),
    [
        ([0.0, 0.5, 1.0], "min", "▁▅█"),
        ([0.7, 0.7], "max", "▁▁"),
        ([1.0] * 61 + [0.0] + [1.0] * 58, "min", "█" * 28 + "▁" + "█" * 27),
        ([0.0] * 61 + [1.0] + [0.0] * 58, "max", "▁" * 28 + "█" + "▁" * 27),
    ],
)
def test_sparkline_shows_every_bad_moment(
    values: list[float], worst: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert bars.sparkline(values, min(values), max(values), worst=worst) == line


@pytest.mark.parametrize(
    ("lengths", "text"), [([900, 196, 384], "900 x 196 x 384"), ([5, -1, 8], "5 x * x 8"), ([], "scalar")]
)
def test_shape(lengths: list[int], text: str) -> None:
    assert wording.shape(lengths) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_plural(count: int, text: str) -> None:
    assert wording.plural(count, "row") == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("5B", 5),
        ("500MB", 500 * 10**6),
        ("500 MiB", 500 * 2**20),
        ("1.5gb", 15 * 10**8),
        ("2KB", 2000),
        ("2KiB", 2048),
        ("1TiB", 2**40),
        ("9007199254740993", 2**53 + 1),
        ("0.001KB", 1),
    ],
)
def test_size_is_read_exactly(text: str, count: int) -> None:
    assert quantities.size(text) == count


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e6", "1,5MB", "5M", "5 M B", "1.", "\u0665"])
def test_size_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as 500MB"):
        quantities.size(text)


@given(st.integers(0, 10**20))
def test_size_reads_every_whole_number(count: int) -> None:
    assert quantities.size(str(count)) == count


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("0.1", 0.1), (".25", 0.25), ("10%", 0.1), ("99.9 %", 0.999)])
def test_share(text: str, value: float) -> None:
    assert quantities.share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1", "100%", "-0.1", "x", "%"])
def test_share_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        quantities.share(text)
