"""Coding tables from counts: integers throughout, near the optimum for what they have seen, kept only if they pay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embdc_cli.codebook.table_training import codable_counts, saved_cost, symbol_counts, tables_of, trained_tables
from embdc_cli.codec.transform.planes import FLAGGED_CLASSES, Planes
from embdc_cli.entropy.levels import cost_levels
from embdc_cli.entropy.tables import ESCAPE, ROWS, SYMBOLS, TOTAL, UNIT_CLASS, static_tables
from embdc_cli.reporter import Silent
from tests.codebook.codebook_cases import make_codebook
from tests.codebook.sources import gaussian, tensor_of

COUNTS = hnp.arrays(np.int64, (ROWS, SYMBOLS), elements=st.integers(0, 1 << 40))
PEAKED = np.zeros((ROWS, SYMBOLS), np.int64)
PEAKED[22, 3] = 10**6


def test_nothing_seen_gives_the_static_tables() -> None:
    assert tables_of(np.zeros((ROWS, SYMBOLS), np.int64)) == static_tables()


@given(COUNTS)
def test_any_counts_give_tables_that_escape_what_the_static_ones_escape(counts: np.ndarray) -> None:
    tables = tables_of(counts)
    assert np.array_equal(tables.freq > 0, static_tables().freq > 0)
    assert np.array_equal(tables.direct, static_tables().direct)


def test_frequencies_follow_many_counts() -> None:
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.full(SYMBOLS, 2.0), size=ROWS) * (static_tables().freq > 0)
    counts = np.rint(share * 10**9).astype(np.int64)
    expected = TOTAL * counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(tables_of(counts).freq - expected).max() < SYMBOLS


def test_symbols_are_counted_under_the_rows_that_code_them() -> None:
    classes = np.array([[UNIT_CLASS, FLAGGED_CLASSES, 26], [UNIT_CLASS + 1, 0, 30]], np.uint8)
    codes = np.zeros((3, 2, 3), np.int32)  # two rows of a group of 2, one row of a shorter group
    codes[:, :, 0] = [[0, 1], [-2, 40], [1, 14]]
    codes[:, :, 2] = [[5, -6], [71, 120], [0, 1]]
    counts = symbol_counts(codes, Planes(2, classes, static_tables()))
    expected = np.zeros((ROWS, SYMBOLS), np.int64)
    expected[UNIT_CLASS, [0, 14]] = 1
    expected[UNIT_CLASS, 1] = 2
    expected[UNIT_CLASS + 1, [2, ESCAPE]] = 1
    expected[26, [0, 2, 3]] = [2, 1, 1]  # class 26 sends one bit raw
    expected[30, [8, ESCAPE]] = 1  # class 30 sends three
    assert np.array_equal(counts, expected)


def test_counts_foretell_the_cost_of_levels() -> None:
    codes = np.rint(np.random.default_rng(1).laplace(0, 2, (16, 5, 4))).astype(np.int32)
    coder = Planes(1, np.full((1, 4), UNIT_CLASS + 2, np.uint8), static_tables())
    counts = symbol_counts(codes, coder)
    levels, classes = codes.ravel(), np.full(codes.size, UNIT_CLASS + 2, np.uint8)
    trained = tables_of(counts)
    difference = cost_levels(levels, classes) - cost_levels(levels, classes, trained)
    saved = static_tables().fine_cost.astype(np.int64) - trained.fine_cost
    assert difference == pytest.approx(int((codable_counts(counts) * saved).sum()) / 256, abs=2)
    assert difference > 0


@pytest.mark.parametrize(
    ("counts", "sign"),
    [([], 0), ([PEAKED], 0), ([PEAKED, PEAKED], 1), ([PEAKED, np.roll(PEAKED, 5, axis=1)], -1)],
)
def test_tables_are_judged_on_streams_they_have_not_seen(counts: list[np.ndarray], sign: int) -> None:
    assert np.sign(saved_cost(counts)) == sign


def test_tables_of_alike_streams_are_kept_and_of_a_single_one_not() -> None:
    def flat(seed: int) -> np.ndarray:
        """Uniform instead of Gaussian coefficients, which the static tables do not expect."""
        return np.random.default_rng(seed).uniform(-1, 1, (64, 16, 12)).astype(np.float32)

    sample = [(tensor_of(flat(seed)), [(0, 64)]) for seed in range(3)]
    tables = trained_tables(make_codebook(rank=12), sample, Silent())
    assert tables is not None
    assert tables != static_tables()
    assert trained_tables(make_codebook(rank=12), sample[:1], Silent()) is None


def test_a_constant_stream_teaches_nothing() -> None:
    sample = [(tensor_of(np.ones((8, 4, 12), np.float32)), [(0, 8)])] * 2
    assert trained_tables(make_codebook(rank=12), sample, Silent()) is None


def test_training_does_not_depend_on_the_run() -> None:
    sample = [(tensor_of(gaussian(32, channels=12, seed=seed)), [(0, 32)]) for seed in range(3)]
    codebook = make_codebook(rank=12)
    assert trained_tables(codebook, sample, Silent()) == trained_tables(codebook, sample, Silent())
