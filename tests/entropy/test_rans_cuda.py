"""Interleaved rANS in Triton: the bytes of the definition, many payloads at once, and no access beyond them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from embdc_cli.entropy import rans
from embdc_cli.entropy.rans import cuda, reference
from embdc_cli.entropy.rans.layout import choose_lanes, join_payload
from embdc_cli.entropy.tables import Tables, static_tables
from embdc_cli.errors import CorruptArchive
from tests.entropy.device_cases import DEVICES, INTERPRETED, ON_CPU, elements_in, elements_of, joined, on, watched
from tests.entropy.entropy_cases import drawn_symbols, table_cases

LANES = [1, 2, 4, 8, 16, 32]


@pytest.fixture(autouse=True)
def _many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes as long for one payload of a program as for many."""
    if INTERPRETED:
        monkeypatch.setattr(cuda, "_TOGETHER", 64)


def payload_of(symbols: np.ndarray, rows: np.ndarray, tables: Tables, lanes: int) -> bytes:
    return join_payload(*reference.encode(symbols, rows, tables, lanes)) if symbols.size else b""


def decoded(
    device: str, payloads: list[bytes], rows: list[np.ndarray], tables: Tables
) -> tuple[list[np.ndarray], list[int]]:
    """The symbols and the flag of each payload, in one launch; symbols between them are looked at here."""
    data, ranges = joined(payloads)
    classes, spans = joined([one.tobytes() for one in rows])
    symbols, errors = cuda.decode(
        *(on(device, one) for one in (data, ranges, classes, spans)), cuda.tables_on(tables, torch.device(device))
    )
    assert (symbols.dtype, errors.dtype) == (torch.uint8, torch.int32)
    found = symbols.cpu().numpy()
    parts = [found[start:stop].copy() for start, stop in spans.tolist()]
    for start, stop in spans.tolist():
        found[start:stop] = 0
    assert not found.any()
    return parts, errors.tolist()


def by_cpu(payload: bytes, rows: np.ndarray, tables: Tables) -> np.ndarray | None:
    try:
        return rans.decode(payload, rows, tables)
    except CorruptArchive:
        return None


def check_alike(device: str, payloads: list[bytes], rows: list[np.ndarray], tables: Tables) -> list[int]:
    """Every payload decodes as on the CPU or is refused as there. Gives the flags."""
    expected = [by_cpu(*one, tables) for one in zip(payloads, rows, strict=True)]
    found, errors = decoded(device, payloads, rows, tables)
    assert errors == [int(one is None) for one in expected]
    for one, other in zip(expected, found, strict=True):
        assert one is None or np.array_equal(one, other)
    return errors


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", table_cases())
def test_bytes_are_those_of_the_definition(name: str, device: str) -> None:
    tables, scale = table_cases()[name], 1 if device == "cpu" else 700
    symbols, rows, lanes = [], [], []
    for lane_count in LANES:
        for count in (0, 1, lane_count, 2 * lane_count + 1, 4 * lane_count - 1):
            one, row = drawn_symbols(tables, scale * count, seed=count)
            symbols.append(one)
            rows.append(row)
            lanes.append(lane_count)
    payloads = [payload_of(*one) for one in zip(symbols, rows, [tables] * len(lanes), lanes, strict=True)]
    found, errors = decoded(device, payloads, rows, tables)
    assert not any(errors)
    assert all(np.array_equal(one, other) for one, other in zip(symbols, found, strict=True))

    classes, spans = joined([one.tobytes() for one in rows])
    all_symbols = joined([one.tobytes() for one in symbols])[0]
    data, ranges, flags = cuda.encode(
        *(on(device, one) for one in (all_symbols, classes, spans, np.array(lanes, np.int32))),
        cuda.tables_on(tables, torch.device(device)),
    )
    assert not flags.any()
    assert [bytes(data[start:stop].tolist()) for start, stop in ranges.tolist()] == payloads


@pytest.mark.parametrize("device", DEVICES)
def test_more_payloads_than_a_program_has(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_TOGETHER", 2)
    tables = static_tables()
    drawn = [drawn_symbols(tables, count, seed=count) for count in (5, 9, 0, 1, 8)]
    payloads = [rans.encode(*one, tables) for one in drawn]
    assert check_alike(device, payloads, [rows for _, rows in drawn], tables) == [0] * 5


@pytest.mark.parametrize("device", DEVICES)
def test_unlikely_symbols_take_the_long_way(device: str) -> None:
    tables, count = static_tables(), 150
    rows, symbols = np.full(count, 16, np.uint8), np.full(count, 14, np.uint8)  # 12 bits each
    payloads = [payload_of(symbols, rows, tables, lanes) for lanes in (8, 32)]
    found, errors = decoded(device, payloads, [rows, rows], tables)
    assert errors == [0, 0]
    assert all(np.array_equal(one, symbols) for one in found)


@pytest.mark.parametrize("device", DEVICES)
def test_damage_is_found_as_on_the_cpu(device: str) -> None:
    """Every truncation, longer payloads, wrong heads and rows, and flipped bits, all in one batch."""
    tables = static_tables()
    symbols, rows = drawn_symbols(tables, 40, seed=9, rows=(14, 26))
    whole = payload_of(symbols, rows, tables, 4)
    cases = [(whole[:length], rows) for length in range(len(whole) + 1)]
    cases += [(whole + extra, rows) for extra in (b"\0", b"\0\0", bytes(400))]
    cases += [(bytes([lanes]) + whole[1:], rows) for lanes in (0, 1, 2, 3, 5, 8, 16, 32, 33, 64, 128, 255)]
    cases += [(whole, rows[:-1]), (whole, np.append(rows, rows[-1])), (whole, rows[:0]), (b"", rows), (b"", rows[:0])]
    cases += [(b"\1", rows[:0]), (b"\1" + (1 << 16).to_bytes(4, "little"), rows[:0])]
    for bit in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        cases.append((bytes(flipped), rows))
    flags = check_alike(device, [payload for payload, _ in cases], [row for _, row in cases], tables)
    assert flags.count(0) == 2  # the whole one, and nothing for nothing


@pytest.mark.parametrize("device", DEVICES)
def test_states_below_the_lowest_are_flagged(device: str) -> None:
    """Where nothing else is wrong: a sure symbol leaves 1 as it is, and with the word 0 that is a state at its end."""
    rows = [np.zeros(1, np.uint8)] * 2
    low, good = (b"\1" + state.to_bytes(4, "little") + words for state, words in ((1, b"\0\0"), (1 << 16, b"")))
    assert check_alike(device, [low, good], rows, table_cases()["sure"]) == [1, 0]


@pytest.mark.parametrize("device", DEVICES)
def test_rows_beyond_the_tables_are_flagged(device: str) -> None:
    tables = Tables(np.array([[2048, 2048], [1, 4095]]))
    symbols, rows = drawn_symbols(tables, 50)
    payload = payload_of(symbols, rows, tables, 2)
    wrong = [rows.copy() for _ in range(3)]
    for one, at in zip(wrong, (0, 7, 49), strict=True):
        one[at] = 2 + at  # counts as row 1, which it may have been, and is told apart all the same
    flags = check_alike(device, [payload] * 4, [*wrong, rows], tables)
    assert flags == [1, 1, 1, 0]


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=4, phases=[Phase.explicit, Phase.generate])  # to shrink takes minutes
@given(payloads=st.lists(st.tuples(st.binary(max_size=150), st.integers(0, 20)), min_size=1, max_size=20))
def test_hostile_bytes_decode_as_on_the_cpu(device: str, payloads: list[tuple[bytes, int]]) -> None:
    named = [head + data for head in (b"", b"\1", b"\x08") for data, _ in payloads]
    rows = [(np.arange(count) % 32).astype(np.uint8) for _, count in payloads]
    check_alike(device, named, 3 * rows, static_tables())


@pytest.mark.skipif(not INTERPRETED, reason="accesses are seen in the interpreter")
@pytest.mark.parametrize("seed", range(2))
def test_nothing_beyond_the_ranges_is_touched(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise that states and words may be, in payloads that end anywhere; every access is looked at."""
    rng = np.random.default_rng(seed)
    tables = cuda.tables_on(static_tables(), torch.device("cpu"))
    lanes = np.repeat(LANES, 6).tolist()
    beyond_head = 6 * (-3, 0, 2, 6, 7, 12)
    payloads = [bytes((one,)) + rng.bytes(4 * one + more) for one, more in zip(lanes, beyond_head, strict=True)]
    data, ranges = joined([b"", *payloads])
    classes, spans = joined([rng.bytes(rng.integers(0, 14 * one)) for one in (1, *lanes)])
    arguments = [torch.from_numpy(one) for one in (data, ranges, classes, spans)]
    with watched(monkeypatch) as seen:
        symbols, _ = cuda.decode(*arguments, tables)
    assert elements_of(arguments[0], seen.reads) <= elements_in(ranges)
    assert elements_of(arguments[2], seen.reads) <= elements_in(spans)
    assert set() < elements_of(symbols, seen.writes) <= elements_in(spans)


@pytest.mark.skipif(not INTERPRETED, reason="accesses are seen in the interpreter")
def test_encoding_touches_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols and rows of every kind, codes or none; what is written lies in each payload's own room."""
    rng = np.random.default_rng(4)
    tables = cuda.tables_on(table_cases()["gaps"], torch.device("cpu"))
    symbols, spans = joined([(rng.integers(0, 6, count) % 5).astype(np.uint8).tobytes() for count in range(0, 60, 3)])
    classes = (rng.integers(0, 9, symbols.size) % 3).astype(np.uint8)
    lanes = np.resize(np.array([1, 32, 8, 0, 5, 64, -4], np.int32), len(spans))
    arguments = [torch.from_numpy(one) for one in (symbols, classes, spans, lanes)]
    with watched(monkeypatch) as seen:
        cuda.lane_counts(*arguments[:3], tables)
        _, ranges, errors = cuda.encode(*arguments, tables)
    assert elements_of(arguments[0], seen.reads) == elements_of(arguments[1], seen.reads) == elements_in(spans)
    assert ((errors == 0) | (ranges[:, 0] == ranges[:, 1])).all()
    assert int(errors.sum()) > 15


@pytest.mark.parametrize("device", DEVICES)
def test_lanes_are_those_of_the_layout(device: str) -> None:
    tables, counts = static_tables(), [0, 1, 533, 534, 1066, 1067, 1300, 4266, 4267, 8533, 8534]
    symbols, rows = (np.full(max(counts), value, np.uint8) for value in (14, 16))  # 12 bits each
    spans = np.array([[0, count] for count in counts])
    wrong = symbols.copy()
    wrong[1000] = 16  # beyond the tables
    for one, last in ((symbols, 32), (wrong, 0)):
        lanes = cuda.lane_counts(
            *(on(device, array) for array in (one, rows, spans)), cuda.tables_on(tables, torch.device(device))
        ).tolist()
        ideal = [
            choose_lanes(reference.total_cost(symbols[:count], rows[:count], tables)[0]) if count else 1
            for count in counts
        ]
        assert lanes == [
            found if one is symbols or count <= 1000 else 0 for found, count in zip(ideal, counts, strict=True)
        ]
        assert lanes[-1] == last
    assert set(ideal) == set(LANES)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("symbol", "row"), [(16, 20), (0, 32), (14, 3), (255, 255)])
def test_symbols_without_a_code_are_flagged(symbol: int, row: int, device: str) -> None:
    tables = cuda.tables_on(static_tables(), torch.device(device))
    symbols, rows = np.zeros((2, 40), np.uint8)
    symbols[27], rows[27] = symbol, row
    spans = on(device, [[0, 27], [27, 40]])
    arrays = on(device, symbols), on(device, rows), spans
    assert cuda.lane_counts(*arrays, tables).tolist() == [1, 0]
    for lanes in (2, 0, 3, 64):
        data, ranges, errors = cuda.encode(*arrays, on(device, np.array([4, lanes], np.int32)), tables)
        assert errors.tolist() == [0, 1]
        assert (ranges[:, 1] > ranges[:, 0]).tolist() == [True, False]
        start, stop = ranges[0].tolist()
        assert bytes(data[start:stop].tolist()) == payload_of(symbols[:27], rows[:27], static_tables(), 4)


@pytest.mark.parametrize("device", DEVICES)
def test_no_payloads_at_all(device: str) -> None:
    tables = cuda.tables_on(static_tables(), torch.device(device))
    nothing, ranges = on(device, np.zeros(0, np.uint8)), on(device, np.zeros((0, 2), np.int64))
    assert [one.numel() for one in cuda.decode(nothing, ranges, nothing, ranges, tables)] == [0, 0]
    lanes = cuda.lane_counts(nothing, nothing, ranges, tables)
    assert [one.numel() for one in cuda.encode(nothing, nothing, ranges, lanes, tables)] == [0, 0, 0]


@pytest.mark.parametrize("device", [ON_CPU])
def test_other_types_are_refused(device: str) -> None:
    tables = cuda.tables_on(static_tables(), torch.device(device))
    data, ranges = torch.zeros(9, dtype=torch.uint8), torch.zeros((1, 2), dtype=torch.int64)
    others = (data.int(), ranges, data, ranges), (data, ranges.int(), data, ranges), (data, ranges, data[::2], ranges)
    for wrong in others:
        with pytest.raises(ValueError, match="rans"):
            cuda.decode(*wrong, tables)
    with pytest.raises(ValueError, match="as many of each"):
        cuda.decode(data, ranges, data, ranges.repeat(2, 1), tables)
