"""Rows to token arrays and back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.layout import Layout, chunk_length
from embdc_cli.errors import CorruptArchive
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import LIMITS, rows_of, spec_of


@pytest.mark.parametrize(
    ("axes", "row_shape", "special", "tokens", "fold"),
    [
        ("t", (), 0, (1,), 1),
        ("t,c", (7,), 0, (1,), 7),
        ("t,n,c", (5, 7), 0, (5,), 7),
        ("t,n,c", (5, 7), 2, (2, 3), 7),
        ("t,n,c", (5, 7), 9, (5, 0), 7),
        ("t,h,w,c", (2, 3, 7), 0, (6,), 7),
        ("t,c,h,w", (7, 2, 3), 0, (6,), 7),
        ("t,x,y", (4, 5), 0, (4,), 5),
        ("c", (9,), 0, (1,), 9),
        ("", (), 0, (1,), 1),
        ("t,n,c", (0, 7), 0, (0,), 7),
        ("t,n,c", (5, 0), 0, (5,), 0),
        ("t,c", (16384,), 0, (16,), 1024),
        ("t,c", (8209,), 0, (8209,), 1),
        ("t,n,c", (3, 9000), 1, (9, 18), 1000),
    ],
)
def test_rows_come_back(
    axes: str, row_shape: tuple[int, ...], special: int, tokens: tuple[int, ...], fold: int
) -> None:
    spec = StreamSpec("data", "float16", axes, row_shape, 4, special)
    layout = Layout.of(spec, 1.0)
    assert (layout.tokens, layout.fold) == (tokens, fold)
    rows = rows_of("noise", (4, *row_shape), "float16")
    groups = layout.split(rows)
    assert [group.shape for group in groups] == [(4, count, fold) for count in tokens]
    assert layout.join(groups).tobytes() == rows.tobytes()
    out = FieldWriter()
    layout.write(out)
    assert Layout.read(FieldReader(out.bytes(), "test"), spec) == layout


def test_special_tokens_come_first() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    special, patches = Layout.of(spec_of(rows.shape, special_tokens=1), 1.0).split(rows)
    np.testing.assert_array_equal(special, rows[:, :1])
    np.testing.assert_array_equal(patches, rows[:, 1:])


def test_channels_first_become_last() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    layout = Layout.of(StreamSpec("data", "float32", "t,c,n", (4, 3), 2), 1.0)
    np.testing.assert_array_equal(layout.split(rows)[0], rows.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("largest", "exponent"), [(0.0, 0), (1.0, 0), (1e12, 0), (1e30, 100), (3e38, 120), (1e-40, -120)]
)
def test_extreme_values_are_scaled_exactly(largest: float, exponent: int) -> None:
    spec = spec_of((3, 2))
    layout = Layout.of(spec, largest)
    assert layout.exponent == exponent
    rows = np.array([[largest, -largest], [0.0, 1e-3 * largest], [largest / 2, 0]], np.float32)
    tokens = layout.split(rows)[0]
    assert np.abs(tokens).max() < 2.0**40
    assert layout.join([tokens]).tobytes() == rows.tobytes()


@pytest.mark.parametrize(("fold", "exponent"), [(0, 0), (5, 0), (14, 0), (7, 121), (7, -128)])
def test_impossible_layouts_are_corrupt(fold: int, exponent: int) -> None:
    out = FieldWriter()
    out.varint(fold)
    out.signed_byte(exponent)
    with pytest.raises(CorruptArchive):
        Layout.read(FieldReader(out.bytes(), "test"), spec_of((2, 7)))


def test_chunk_length_counts_tokens_of_ragged_streams() -> None:
    spec = spec_of((9, 4))
    assert chunk_length(spec, 9, None, LIMITS) == 9
    ragged = dataclasses.replace(spec, ragged=True)
    assert chunk_length(ragged, 2, [3, 4], LIMITS) == 7
    with pytest.raises(CorruptArchive):
        chunk_length(ragged, 2, [-3, 1], LIMITS)
    with pytest.raises(CorruptArchive):
        chunk_length(spec, LIMITS.max_chunk_values // 4 + 1, None, LIMITS)
