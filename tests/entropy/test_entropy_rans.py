"""Interleaved rANS: both kernels give the same words, sizes meet the entropy, damage is noticed, bytes are pinned."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.entropy import rans
from embdc_cli.entropy.rans import cpu, reference
from embdc_cli.entropy.rans.layout import choose_lanes, split_payload
from embdc_cli.entropy.tables import Tables, static_tables
from embdc_cli.errors import CorruptArchive
from tests.entropy.entropy_cases import drawn_symbols, table_cases

COUNTS = [0, 1, 2, 31, 32, 33, 63, 64, 65, 1000, 4099]
LANES = [1, 2, 4, 8, 16, 32]


def decoded_by(
    kernel: ModuleType, states: np.ndarray, words: np.ndarray, rows: np.ndarray, tables: Tables, part: int = 1 << 30
) -> tuple[np.ndarray, bool]:
    """The symbols, read in parts of `part`, and whether states and words come out even."""
    states, position, found = states.copy(), 0, []
    for done in range(0, rows.size, part):
        symbols, position = kernel.decode(states, words, position, rows[done : done + part], tables, done)
        found.append(symbols)
        if position < 0:
            break
    even = position == words.size and bool((states == 1 << 16).all())
    return np.concatenate(found) if found else np.zeros(0, np.uint8), even


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", table_cases())
def test_kernels_agree_and_come_back(name: str, lanes: int) -> None:
    tables = table_cases()[name]
    for count in COUNTS:
        symbols, rows = drawn_symbols(tables, count, seed=count)
        states, words = reference.encode(symbols, rows, tables, lanes)
        fast_states, fast_words = cpu.encode(symbols, rows, tables, lanes)
        assert np.array_equal(states, fast_states)
        assert np.array_equal(words, fast_words)
        assert words.dtype == fast_words.dtype == np.uint16
        for kernel in (reference, cpu):
            decoded, whole = decoded_by(kernel, states, words, rows, tables)
            assert whole
            assert np.array_equal(decoded, symbols)


@pytest.mark.parametrize("lanes", [1, 4, 32])
@pytest.mark.parametrize("part", [1, 3, 32, 33, 500])
def test_a_payload_read_by_parts_is_the_payload(lanes: int, part: int) -> None:
    tables = static_tables()
    symbols, rows = drawn_symbols(tables, 1000, seed=part)
    states, words = reference.encode(symbols, rows, tables, lanes)
    for kernel in (reference, cpu):
        decoded, whole = decoded_by(kernel, states, words, rows, tables, part)
        assert whole
        assert np.array_equal(decoded, symbols)


def test_unlikely_symbols_take_the_long_way() -> None:
    tables = static_tables()
    rows = np.full(500, 16, np.uint8)
    symbols = np.full(500, 14, np.uint8)  # 12 bits each
    states, words = reference.encode(symbols, rows, tables, 4)
    assert words.size >= 500 * 12 // 16 - 8
    assert np.array_equal(words, cpu.encode(symbols, rows, tables, 4)[1])
    assert np.array_equal(cpu.decode(states.copy(), words, 0, rows, tables)[0], symbols)


def test_costs_agree() -> None:
    symbols, rows = drawn_symbols(static_tables(), 5000)
    expected = static_tables().cost[rows, symbols]
    for kernel in (reference, cpu):
        assert kernel.total_cost(symbols, rows, static_tables()) == (expected.sum(), expected.max())


@settings(max_examples=50)
@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_symbols_come_back(raw: bytes, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(16, 32, len(raw)).astype(np.uint8)  # rows that can code every symbol
    symbols = np.frombuffer(raw, np.uint8) & 15
    data = rans.encode(symbols, rows, static_tables())
    assert np.array_equal(rans.decode(data, rows, static_tables()), symbols)
    assert np.array_equal(rans.decode(memoryview(bytearray(data)), rows, static_tables()), symbols)


@pytest.mark.parametrize("rows", [(1, 6), (6, 12), (12, 20), (20, 32), (0, 32)])
def test_size_is_within_half_a_percent_of_the_entropy(rows: tuple[int, int]) -> None:
    tables = static_tables()
    symbols, row = drawn_symbols(tables, 400_000, rows=rows)
    ideal_bytes = tables.fine_cost[row, symbols].sum(dtype=np.int64) / 65536 / 8
    data = rans.encode(symbols, row, tables)
    assert len(data) <= 1.006 * ideal_bytes + 8
    assert np.array_equal(rans.decode(data, row, tables), symbols)


@pytest.mark.parametrize("rows", [(2, 10), (10, 20), (20, 32)])
def test_size_matches_constriction(rows: tuple[int, int]) -> None:
    constriction = pytest.importorskip("constriction")
    tables = static_tables()
    symbols, row = drawn_symbols(tables, 200_000, seed=3, rows=rows)
    coder = constriction.stream.stack.AnsCoder()
    for one in range(*rows):
        model = constriction.stream.model.Categorical(
            np.maximum(tables.freq[one], 1e-6).astype(np.float64) / 4096, perfect=False
        )
        coder.encode_reverse(symbols[row == one].astype(np.int32), model)
    theirs = 4 * coder.num_words()
    data = rans.encode(symbols, row, tables)
    flush = 4 * data[0]
    assert len(data) <= 1.005 * theirs + flush + 1
    assert len(data) >= 0.995 * theirs  # and neither of us cheats


@pytest.mark.parametrize(
    ("cost_bytes", "lanes"), [(0, 1), (799, 1), (800, 2), (1600, 4), (12799, 16), (12800, 32), (10**9, 32)]
)
def test_states_stay_near_one_percent(cost_bytes: int, lanes: int) -> None:
    assert choose_lanes(cost_bytes * 8 * 256) == lanes


def test_payload_is_pinned() -> None:
    """These bytes never change: archives hold them."""
    tables = static_tables()
    rows = np.array([20, 20, 18, 22, 31, 1, 24, 20, 12, 25], np.uint8)
    symbols = np.array([0, 1, 2, 3, 15, 0, 7, 14, 1, 5], np.uint8)
    golden = bytes.fromhex(PINNED_ONE_LANE)
    assert rans.encode(symbols, rows, tables) == golden
    assert np.array_equal(rans.decode(golden, rows, tables), symbols)
    states, words = reference.encode(np.tile(symbols, 5), np.tile(rows, 5), tables, 4)
    assert states.tolist() == PINNED_STATES
    assert words.tolist() == PINNED_WORDS


def payload(count: int = 3000) -> tuple[bytes, np.ndarray, np.ndarray]:
    symbols, rows = drawn_symbols(static_tables(), count, seed=9, rows=(14, 26))
    return rans.encode(symbols, rows, static_tables()), rows, symbols


def test_every_truncation_and_extension_is_corrupt() -> None:
    data, rows, _ = payload(300)
    for length in range(len(data)):
        with pytest.raises(CorruptArchive):
            rans.decode(data[:length], rows, static_tables())
    for extra in (b"\0", b"\0\0"):
        with pytest.raises(CorruptArchive):
            rans.decode(data + extra, rows, static_tables())


def test_states_below_the_lowest_are_corrupt() -> None:
    with pytest.raises(CorruptArchive, match="at least 65536"):
        rans.decode(b"\1" + (65535).to_bytes(4, "little"), np.array([20], np.uint8), static_tables())


@pytest.mark.parametrize("lanes", [0, 3, 24, 33, 64, 255])
def test_other_lane_counts_are_corrupt(lanes: int) -> None:
    with pytest.raises(CorruptArchive, match="lane count"):
        rans.decode(bytes([lanes]) + bytes(1200), np.array([20], np.uint8), static_tables())


def test_wrong_symbol_counts_are_corrupt() -> None:
    data, rows, _ = payload(300)
    for wrong in (rows[:-1], np.append(rows, rows[-1]), rows[:0]):
        with pytest.raises(CorruptArchive):
            rans.decode(data, wrong, static_tables())
    with pytest.raises(CorruptArchive):
        rans.decode(b"", rows, static_tables())
    assert rans.decode(b"", rows[:0], static_tables()).size == 0


def test_bit_flips_are_noticed_and_kernels_fail_alike() -> None:
    data, rows, _ = payload()
    for bit in np.random.default_rng(1).choice(8 * len(data), 300, replace=False).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptArchive):
            rans.decode(bytes(damaged), rows, static_tables())
        if bit >= 8 * (1 + 4 * data[0]) and bit % 16 == 3:
            slow, fast = (decoded_by(k, *split_payload(damaged), rows, static_tables()) for k in (reference, cpu))
            assert not slow[1]
            assert not fast[1]


@given(st.binary(min_size=0, max_size=120), st.integers(0, 400))
def test_hostile_bytes_never_get_out(data: bytes, count: int) -> None:
    rows = (np.arange(count) % 32).astype(np.uint8)
    outcomes = []
    for kernel in (reference, cpu):
        try:
            states, words = split_payload(data)
        except CorruptArchive:
            return
        symbols, whole = decoded_by(kernel, states, words, rows, static_tables())
        outcomes.append(symbols.tolist() if whole else None)
        assert (symbols < 16).all()
    assert outcomes[0] == outcomes[1]


def test_compiled_decoder_stays_in_bounds_under_boundscheck() -> None:
    """The same source, compiled with numba's bounds checks: damaged words raise nothing."""
    numba = pytest.importorskip("numba")
    checked = numba.njit(boundscheck=True)(cpu._decode.py_func)
    data, rows, symbols = payload(700)
    packed, tables = cpu._packed(static_tables()), static_tables()
    rng = np.random.default_rng(2)
    states, words = split_payload(data)
    out = np.zeros(rows.size, np.uint8)
    assert checked(states.copy(), words, 0, 0, rows, packed, tables.slots, out) == words.size
    assert np.array_equal(out, symbols)
    for length in [0, 1, 5, *rng.integers(0, words.size, 40).tolist()]:
        noise = rng.integers(0, 65536, length).astype(np.uint16)
        hostile = rng.integers(65536, 2**32, 1 << rng.integers(0, 6)).astype(np.uint32)
        position = checked(hostile, noise, 0, 0, rows, packed, tables.slots, out)
        assert position < noise.size or (hostile != 1 << 16).any()


@pytest.mark.parametrize(
    ("symbols", "rows"),
    [([16], [0]), ([0], [32]), ([0, 0], [0]), ([14], [3])],
    ids=["symbol", "row", "lengths", "frequency 0"],
)
def test_symbols_without_a_code_are_refused(symbols: list[int], rows: list[int]) -> None:
    with pytest.raises(ValueError, match="rans"):
        rans.encode(np.array(symbols, np.uint8), np.array(rows, np.uint8), static_tables())


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        rans.encode(np.zeros(3, np.int64), np.zeros(3, np.uint8), static_tables())
    with pytest.raises(ValueError, match="uint8"):
        rans.decode(b"", np.zeros((1, 0), np.uint8), static_tables())


def test_rows_beyond_the_tables_are_corrupt() -> None:
    with pytest.raises(CorruptArchive, match="classes below 1"):
        rans.decode(b"\1" + (1 << 16).to_bytes(4, "little"), np.array([1], np.uint8), Tables(np.array([[4096]])))


PINNED_ONE_LANE = "0148f057003f6cd9af"
PINNED_STATES = [532243098, 1763548123, 300588752, 23375019]
PINNED_WORDS = [63617, 23789, 49022, 55604, 47916, 15619, 44881, 3051, 11507]
