"""Coding tables from counts: integers throughout, near the optimum for what they have seen, kept only if they pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embdc_cli.codebook import table_training
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import Chunk, chunks_of
from embdc_cli.codebook.report import size_at
from embdc_cli.codebook.symbol_counts import TableKind, chain_counts, symbol_counts
from embdc_cli.codebook.table_training import KINDS, LESSONS, saved_cost, tables_of, trained_kinds, trained_tables
from embdc_cli.codebook.trial import StreamTrial
from embdc_cli.codec.chain import Chain
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.entropy.coding_tables import CodingTables, fixed_tables
from embdc_cli.entropy.tables import ESCAPE, FINE_COST_UNIT, ROWS, SYMBOLS, TOTAL, UNIT_CLASS, Tables, static_tables
from embdc_cli.reporter import Silent
from embdc_cli.values import ArrayTensor, StreamSpec, Tensor
from tests.codebook.sources import CHANNELS, gaussian, tensor_of, true_codebook

PEAKED = np.zeros((ROWS, SYMBOLS), np.int64)
PEAKED[22, 3] = 10**6


def fixed(kind: TableKind) -> Tables:
    tables: Tables = getattr(fixed_tables(), kind)
    return tables


def sampled(*arrays: np.ndarray) -> list[tuple[Tensor, list[Chunk]]]:
    """All chunks of every array as a stream."""
    tensors = [tensor_of(array) for array in arrays]
    return [(tensor, chunks_of(tensor)) for tensor in tensors]


def flat(seed: int) -> np.ndarray:
    """Uniform instead of Gaussian coefficients, which no fixed table expects."""
    return np.random.default_rng(seed).uniform(-1, 1, (64, 16, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_seen_gives_the_fixed_tables(kind: TableKind) -> None:
    assert tables_of(np.zeros(fixed(kind).freq.shape, np.int64), fixed(kind)) == fixed(kind)


@given(st.sampled_from(KINDS), st.data())
def test_any_counts_give_tables_that_code_what_the_fixed_ones_code(kind: TableKind, data: st.DataObject) -> None:
    shape = fixed(kind).freq.shape
    tables = tables_of(data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1 << 40))), fixed(kind))
    assert np.array_equal(tables.freq > 0, fixed(kind).freq > 0)
    assert np.array_equal(tables.direct, fixed(kind).direct)
    assert getattr(replace(fixed_tables(), **{kind: tables}), kind) is tables


@pytest.mark.parametrize("kind", KINDS)
def test_frequencies_follow_many_counts(kind: TableKind) -> None:
    shape = fixed(kind).freq.shape
    share = np.random.default_rng(0).dirichlet(np.full(SYMBOLS, 2.0), size=shape[0]) * (fixed(kind).freq > 0)
    counts = np.rint(share * 10**9).astype(np.int64)
    expected = TOTAL * counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(tables_of(counts, fixed(kind)).freq - expected).max() < SYMBOLS


def test_symbols_are_counted_under_the_rows_that_code_them() -> None:
    levels = np.array([0, 1, -2, 40, 0, 5, -71, 120, -7], np.int32)
    classes = np.array([20, 20, 21, 21, 0, 26, 26, 30, 30], np.uint8)
    expected = np.zeros((ROWS, SYMBOLS), np.int64)
    expected[UNIT_CLASS, [0, 1]] = 1
    expected[21, [2, ESCAPE]] = 1
    expected[26, [2, ESCAPE]] = 1  # class 26 sends one bit raw
    expected[30, [0, ESCAPE]] = 1  # class 30 sends three
    assert np.array_equal(symbol_counts(levels, classes, static_tables()), expected)


def test_symbols_on_paths_are_escaped_where_either_half_escapes_them() -> None:
    freq = np.full((2 * ROWS, SYMBOLS), TOTAL // SYMBOLS)
    freq[ROWS + 20, 8:ESCAPE] = 0
    freq[ROWS + 20, 0] += TOTAL - freq[ROWS + 20].sum()
    levels, classes = np.array([7, 8, 7, 8, 8], np.int32), np.array([20, 20, 20, 20, 0], np.uint8)
    counts = symbol_counts(levels, classes, Tables(freq), np.array([0, 0, 1, 1, 0], np.uint8))
    expected = np.zeros((2 * ROWS, SYMBOLS), np.int64)
    for row in (20, ROWS + 20):
        expected[row, [7, ESCAPE]] = 1
    assert np.array_equal(counts, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_foretell_the_bytes_of_a_chunk(kind: TableKind) -> None:
    tensor = tensor_of(gaussian(100, tokens=16))
    fit = Fit(tensor.spec, [tensor.array], None, FitOptions(effort=LESSONS[kind][0]))
    models = fit.models(fit.rms / 3)
    chain = models.groups[0].chain
    coded = chain.encode(models.layout.split(tensor.array)[0])
    counted = chain_counts(chain, coded)
    assert counted is not None
    assert counted[0] == kind
    trained = tables_of(counted[1], fixed(kind))
    assert isinstance(chain.coder, Planes | TrackPlanes | TrackPaths)
    with_trained = Chain([*chain.links, replace(chain.coder, tables=trained)])
    saved = 8 * (len(chain.pack(coded)) - len(with_trained.pack(coded)))
    foretold = (counted[1] * (fixed(kind).fine_cost.astype(np.int64) - trained.fine_cost)).sum() / FINE_COST_UNIT
    assert saved == pytest.approx(foretold, abs=32)
    assert saved > 64


@pytest.mark.parametrize(
    ("counts", "sign"),
    [([], 0), ([PEAKED], 0), ([PEAKED, PEAKED], 1), ([PEAKED, np.roll(PEAKED, 5, axis=1)], -1)],
)
def test_tables_are_judged_on_streams_they_have_not_seen(counts: list[np.ndarray], sign: int) -> None:
    assert np.sign(saved_cost(counts, fixed("planes"))) == sign


def test_tables_of_alike_streams_are_kept_and_of_a_single_one_not() -> None:
    sample = sampled(*map(flat, range(3)))
    assert trained_kinds(trained_tables(true_codebook(), sample, Silent())) == list(KINDS)
    assert trained_tables(true_codebook(), sample[:1], Silent()) is None


def test_a_kind_that_saves_nothing_keeps_its_fixed_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(codebook: Codebook, tensor: Tensor, chunks: Sequence[Chunk], kind: TableKind) -> np.ndarray:
        if kind == "planes":
            return PEAKED
        found = np.zeros(fixed(kind).freq.shape, np.int64)
        if kind == "rounded":
            found[22, 3 if tensor is sample[0][0] else 8] = 10**6
        return found

    sample = sampled(flat(0), flat(1))
    monkeypatch.setattr(table_training, "_stream_counts", counts)
    tables = trained_tables(true_codebook(), sample, Silent())
    assert tables == replace(fixed_tables(), planes=tables_of(2 * PEAKED, fixed("planes")))
    assert trained_kinds(tables) == ["planes"]
    assert trained_kinds(None) == trained_kinds(fixed_tables()) == []


def test_a_constant_stream_teaches_nothing() -> None:
    constant = np.ones((8, 4, CHANNELS), np.float32)
    assert trained_tables(true_codebook(), sampled(constant, constant), Silent()) is None


def test_training_does_not_depend_on_the_run() -> None:
    made = [trained_tables(true_codebook(), sampled(*map(flat, range(2))), Silent()) for _ in range(2)]
    assert made[0] is not None
    first, again = (replace(true_codebook(), tables=tables).file_bytes for tables in made)
    assert first == again


def test_ragged_streams_teach_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = gaussian(60, tokens=5).reshape(-1, CHANNELS)
    counts = np.resize([3, 7], 60)
    tensor = ArrayTensor(StreamSpec("data", "float32", "tnc", (CHANNELS,), 60, ragged=True), rows, counts)
    seen: list[list[int]] = []

    def fitted(spec: StreamSpec, rows: Sequence[np.ndarray], counts: Sequence[np.ndarray], options: FitOptions) -> Fit:
        assert [len(one) for one in rows] == [one.sum() for one in counts]
        seen.append([len(one) for one in counts])
        return Fit(spec, rows, counts, options)

    monkeypatch.setattr(table_training, "Fit", fitted)
    monkeypatch.setattr(table_training, "MAX_STREAM_VALUES", 1000)
    for kind in KINDS:
        assert table_training._stream_counts(true_codebook(), tensor, [(0, 20), (20, 60)], kind).sum() > 500
    assert seen == [[12]] * len(KINDS)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (10**9, [(0, 64), (64, 128), (128, 192), (192, 200)]),
        (100 * 9 * CHANNELS, [(0, 64), (128, 192)]),
        (30 * 9 * CHANNELS, [(0, 30)]),
        (1, [(0, table_training.MIN_ROWS)]),
    ],
)
def test_long_streams_are_thinned_and_then_cut(
    limit: int, expected: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_training, "MAX_STREAM_VALUES", limit)
    chunks = [(0, 64), (64, 128), (128, 192), (192, 200)]
    assert table_training._within(tensor_of(gaussian(200)), chunks) == expected


def test_trained_paths_save_bits_on_unseen_gaussian_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embdc_cli.codebook.trial.EFFORT", 3)
    plain = true_codebook()
    tables = trained_tables(plain, sampled(*(gaussian(64, tokens=64, seed=seed) for seed in range(3))), Silent())
    assert tables is not None

    def sizes(tables: CodingTables) -> np.ndarray:
        unseen = StreamTrial(tensor_of(gaussian(64, tokens=64, seed=7)), replace(plain, tables=tables))
        curve = sorted(unseen.measure(step) for step in (0.5, 0.7, 1.0, 1.4, 2.0))
        return np.array([size_at(nmse, curve) for nmse in (0.01, 0.02, 0.04)])

    assert (sizes(tables) < 0.9965 * sizes(fixed_tables())).all()
