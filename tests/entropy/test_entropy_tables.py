"""Tables: what is valid, costs, the coded form, the shipped integers, and the meaning of classes."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.entropy.tables import (
    CLASSES,
    IMPOSSIBLE,
    ROWS,
    SYMBOLS,
    Tables,
    class_of_mean,
    class_rows,
    class_shifts,
    classes_of_means,
    escape_orders,
    shift_of_class,
    static_tables,
    table_row_of_class,
)
from embdc_cli.errors import CorruptArchive
from tests.entropy.entropy_cases import table_cases


@pytest.mark.parametrize(
    "freq",
    [
        np.array([[4095]]),
        np.array([[2048, 2049]]),
        np.array([[4097, -1]]),
        np.array([[2048.0, 2048.0]]),
        np.array([4096]),
        np.zeros((0, 2), np.int64),
        np.full((257, 1), 4096),
        np.concatenate([np.full((1, 257), 0), np.full((0, 257), 0)]),
        np.array([[65536 + 4096, 0]]),
    ],
)
def test_tables_refuse_what_does_not_sum_to_4096(freq: np.ndarray) -> None:
    with pytest.raises(ValueError, match="tables"):
        Tables(freq)


def test_tables_are_values() -> None:
    source = np.full((1, 2), 2048)
    tables = Tables(source)
    source[0, 0] = 7
    assert tables == Tables(np.full((1, 2), 2048))
    assert hash(tables) == hash(Tables(np.full((1, 2), 2048)))
    assert tables != static_tables()
    with pytest.raises(ValueError, match="read-only"):
        tables.freq[0, 0] = 1


@pytest.mark.parametrize("tables", table_cases().values(), ids=table_cases())
def test_slots_and_cumulative_frequencies_agree(tables: Tables) -> None:
    for row, freq in enumerate(tables.freq):
        assert np.array_equal(np.bincount(tables.slots[row], minlength=freq.size), freq)
        for symbol in np.flatnonzero(freq):
            assert tables.slots[row, tables.cum[row, symbol]] == symbol
            assert tables.slots[row, tables.cum[row, symbol + 1] - 1] == symbol


def test_costs_are_the_logarithm() -> None:
    freq = np.arange(1, 4096)
    tables = [Tables(np.stack([freq[i : i + 256], 4096 - freq[i : i + 256]], axis=1)) for i in range(0, 4095, 256)]
    fine = np.concatenate([one.fine_cost[:, 0] for one in tables])
    coarse = np.concatenate([one.cost[:, 0] for one in tables])
    exact = np.log2(4096 / freq)
    assert np.abs(fine - 65536 * exact).max() < 0.502
    assert np.abs(coarse - 256 * exact).max() < 0.502
    assert table_cases()["gaps"].cost.tolist() == [[IMPOSSIBLE, 0, IMPOSSIBLE, 3072], [3072, IMPOSSIBLE, 0, IMPOSSIBLE]]


@pytest.mark.parametrize("tables", table_cases().values(), ids=table_cases())
def test_tables_survive_their_bytes(tables: Tables) -> None:
    assert Tables.from_bytes(tables.to_bytes()) == tables


def test_static_tables_take_few_bytes() -> None:
    assert len(static_tables().to_bytes()) < 450


@pytest.mark.parametrize("tables", table_cases().values(), ids=table_cases())
def test_every_truncation_of_tables_is_corrupt(tables: Tables) -> None:
    data = tables.to_bytes()
    for length in range(len(data)):
        with pytest.raises(CorruptArchive):
            Tables.from_bytes(data[:length])
    with pytest.raises(CorruptArchive):
        Tables.from_bytes(data + b"\0")


@given(st.binary(max_size=60))
def test_any_bytes_are_tables_or_corrupt(data: bytes) -> None:
    try:
        tables = Tables.from_bytes(data)
    except CorruptArchive:
        return
    assert tables.to_bytes() == data


def test_static_tables_are_32_by_16_and_can_code_everything() -> None:
    freq = static_tables().freq.astype(int)
    assert freq.shape == (ROWS, SYMBOLS)
    assert (freq.sum(axis=1) == 4096).all()
    assert (freq[:, [0, 1, -1]] >= 1).all()
    # a frequency of 0 only where the escape takes over: none after the first
    assert ((freq[:, :-1] > 0) == (np.arange(SYMBOLS - 1) < static_tables().direct[:, None])).all()


def test_static_tables_are_pinned() -> None:
    """These integers never change: archives are coded with them."""
    digest = hashlib.sha256(static_tables().freq.astype("<u2").tobytes()).hexdigest()
    assert digest == "1a851d0805d56b19e376fa46a215da59ca6c5a2005475bafedd410f3bee493d5"


def test_static_rows_grow_by_half_octaves() -> None:
    freq = static_tables().freq[:26].astype(float)
    magnitudes = np.tile(np.arange(float(SYMBOLS)), (26, 1))
    magnitudes[:, -1] = static_tables().direct[:26] + 0.3  # what an escape stands for, about
    means = (freq * magnitudes).sum(axis=1) / 4096
    for cls in range(6, 22):  # rows with few escapes, whose mean the table shows
        assert abs(2 * math.log2(means[cls]) + 20 - cls) < 0.5, cls
    assert (np.diff(freq[1:, 0]) < 0).sum() == 24
    assert np.all(freq[1, 0] >= freq[2:, 0])


@given(st.integers(0, 2**52), st.integers(1, 2**30))
def test_class_of_mean_is_the_rounded_logarithm(sum_abs: int, count: int) -> None:
    cls = class_of_mean(sum_abs, count)
    if sum_abs == 0:
        assert cls == 0
        return
    exact = 2 * math.log2(sum_abs / count) + 20
    assert 1 <= cls < CLASSES
    assert abs(min(max(exact, 1), CLASSES - 1) - cls) <= 0.5 + 1e-9
    assert classes_of_means(np.array([sum_abs]), np.array([count]))[0] == cls or abs(exact % 1 - 0.5) < 1e-9


@pytest.mark.parametrize(
    ("sum_abs", "count", "cls"),
    [
        (0, 5, 0),
        (1, 1 << 30, 1),
        (1, 1, 20),
        (2, 1, 22),
        (1, 2, 18),
        (1189, 1000, 20),
        (1190, 1000, 21),
        (1 << 40, 1, 63),
    ],
)
def test_classes_by_hand(sum_abs: int, count: int, cls: int) -> None:
    assert class_of_mean(sum_abs, count) == cls
    assert classes_of_means(np.array([sum_abs, 0]), count).tolist() == [cls, 0]


def test_escape_orders() -> None:
    assert escape_orders().tolist() == 21 * [0] + 3 * [1] + 8 * [2]


def test_rows_and_shifts_of_classes() -> None:
    assert [shift_of_class(c) for c in (0, 20, 25, 26, 27, 28, 31, 32, 33, 34, 63)] == [
        0,
        0,
        0,
        1,
        1,
        2,
        3,
        4,
        4,
        5,
        19,
    ]
    assert [table_row_of_class(c) for c in (0, 25, 31, 32, 33, 34, 63)] == [0, 25, 31, 30, 31, 30, 31]
    assert class_rows().tolist() == [table_row_of_class(c) for c in range(CLASSES)]
    assert class_shifts().tolist() == [shift_of_class(c) for c in range(CLASSES)]
