"""Cuts as bytes: whatever the cut, it comes back; whatever the bytes, they are a cut or corrupt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.mixture.cutting import (
    TrackTables,
    adapted,
    read_tables,
    read_tracks,
    write_tables,
    write_tracks,
)
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.entropy import rans
from embdc_cli.entropy.tables import TOTAL, Tables
from embdc_cli.errors import CorruptArchive
from tests.codec.mixture.mixture_cases import ROWS, bit_flips, drawn_maps, maps

FIELDS = ("rows", "tokens", "starts", "token", "level", "mode")
PLAIN = TrackTables.of([])


def written(tracks: Tracks, tables: TrackTables | None, modes: int) -> bytes:
    out = FieldWriter()
    write_tracks(out, tracks, tables, modes)
    return out.bytes()


def reread(data: bytes, tables: TrackTables | None, modes: int) -> Tracks:
    fields = FieldReader(data, "tracks")
    found = read_tracks(fields, tables, modes)
    fields.end()
    return found


def assert_same(mine: Tracks, other: Tracks) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(mine, name), getattr(other, name), err_msg=name)


def assert_sound(tracks: Tracks, modes: int) -> None:
    index = np.concatenate([np.zeros(0, int), *(block.token_index.T.ravel() for block in tracks.blocks)])
    np.testing.assert_array_equal(tracks.order, index)
    assert sorted(index.tolist()) == list(range(tracks.rows * tracks.tokens))
    for block in tracks.blocks:
        first = tracks.starts[block.tracks] * tracks.tokens + tracks.token[block.tracks]
        np.testing.assert_array_equal(block.token_index, first[:, None] + np.arange(block.rows) * tracks.tokens)
        assert set(tracks.mode[block.tracks]) == {block.mode}
        assert set(tracks.level[block.tracks]) == {block.level}
    assert not len(index) or 0 <= tracks.mode.min() <= tracks.mode.max() < modes


@settings(max_examples=80, deadline=None)
@given(maps(), maps())
def test_cuts_come_back_under_any_tables(
    found: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> None:
    tracks, strange = Tracks.of_maps(*found), Tracks.of_maps(*other)
    modes = int(found[1].max(initial=0)) + 1
    for tables in (PLAIN, TrackTables.of([tracks]), TrackTables.of([strange, strange])):
        data = written(tracks, tables, modes)
        assert_same(reread(data, tables, modes), tracks)
        out = FieldWriter()
        write_tables(out, tables)
        assert read_tables(FieldReader(out.bytes(), "tables")) == tables


@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (130, 3), (0, 4)])
def test_single_rows_need_no_tables(rows: int, tokens: int) -> None:
    tracks, out = Tracks.single_rows(rows, tokens), FieldWriter()
    write_tables(out, None)
    assert read_tables(FieldReader(out.bytes(), "tables")) is None
    data = written(tracks, None, 1)
    assert len(out.bytes() + data) <= 4
    assert_same(reread(data, None, 1), tracks)
    assert_sound(tracks, 1)
    assert not tracks.level.any()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("tokens", [1, 2, 7])
@pytest.mark.parametrize("modes", [1, 2, 64])
def test_chunks_of_any_length_come_back(rows: int, tokens: int, modes: int) -> None:
    tracks = Tracks.of_maps(*drawn_maps(rows, tokens, modes, seed=rows))
    assert_same(reread(written(tracks, PLAIN, modes), PLAIN, modes), tracks)


CASES = [
    (shape, modes, written(Tracks.of_maps(*drawn_maps(*shape, modes, seed=5)), PLAIN, modes))
    for shape, modes in (((65, 2), 3), ((3, 9), 64), ((64, 1), 1), ((12, 4), 1))
]


@pytest.mark.parametrize(("shape", "modes", "data"), CASES)
def test_every_prefix_and_bit_flip_is_corrupt_or_a_cut(shape: tuple[int, int], modes: int, data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(CorruptArchive):
            reread(data[:end], PLAIN, modes)
    with pytest.raises(CorruptArchive):
        reread(data + b"\0", PLAIN, modes)
    refused = 0
    for changed in bit_flips(data, start=2):  # rows and tokens are checked against the chunk's: see test_stage
        try:
            found = reread(changed, PLAIN, modes)
        except CorruptArchive:
            refused += 1
            continue
        assert (found.rows, found.tokens) == shape
        assert_sound(found, modes)
    assert refused > 0.5 * 8 * len(data[2:])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 70), st.integers(0, 9), st.integers(1, 64))
def test_bytes_from_nowhere_are_corrupt_or_a_cut(raw: bytes, rows: int, tokens: int, modes: int) -> None:
    try:
        found = reread(bytes([rows, tokens]) + raw, PLAIN, modes)
    except CorruptArchive:
        return
    assert_sound(found, modes)


def test_more_tracks_than_tokens_are_refused_before_they_are_read() -> None:
    out = FieldWriter()
    for number in (2, 3, 7):
        out.varint(number)
    with pytest.raises(CorruptArchive, match="expected at most 6, found 7"):
        reread(out.bytes(), PLAIN, 1)


def test_modes_beyond_those_there_are_corrupt() -> None:
    levels, modes = drawn_maps(16, 9, 8, seed=1)
    data = written(Tracks.of_maps(levels, modes), PLAIN, 8)
    with pytest.raises(CorruptArchive, match="expected modes below 5, found 7"):
        reread(data, PLAIN, 5)  # three bits a number, as with eight


@pytest.mark.parametrize("match", [0, 1, 2])
def test_a_mode_of_no_neighbour_is_corrupt(match: int) -> None:
    out = FieldWriter()
    for number in (1, 1, 1):
        out.varint(number)
    for symbol, tables in ((LEVELS - 1, PLAIN.shifts), (match, PLAIN.matches)):
        out.blob(rans.encode(np.array([symbol], np.uint8), np.zeros(1, np.uint8), tables))
    with pytest.raises(CorruptArchive, match="a neighbour that is not there"):
        reread(out.bytes(), PLAIN, 2)


@pytest.mark.parametrize("counts", [(4, 13), (13, 5), (12, 4)])
def test_tables_of_other_symbols_are_refused(counts: tuple[int, int]) -> None:
    out = FieldWriter()
    for count in counts:
        out.blob(adapted(np.ones(count, np.int64)).to_bytes())
    with pytest.raises(CorruptArchive, match="wrong number of symbols"):
        read_tables(FieldReader(out.bytes(), "tables"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5) | st.integers(0, 1 << 40), min_size=2, max_size=13))
def test_every_symbol_stays_possible_and_likely_ones_are_cheap(counts: list[int]) -> None:
    tables = adapted(np.array(counts, np.int64))
    assert tables.freq.sum() == TOTAL
    assert tables.freq.min() >= 1
    assert tables == Tables.from_bytes(tables.to_bytes())
    total = sum(counts)
    if total:
        share = np.array(counts) / total
        ideal = -(share[share > 0] * np.log2(share[share > 0])).sum()
        # an eighth of an octave each way, 12 bits, and never a probability of 0
        assert share @ tables.cost[0] / 256 <= ideal + 0.2


def test_still_scenes_and_neighbours_alike_cost_next_to_nothing() -> None:
    rows, tokens = 128, 196
    still = np.full((rows, tokens), LEVELS - 1)
    patches = np.arange(tokens) // 14 // 7 * 2 + np.arange(tokens) % 14 // 7  # four quarters of the picture
    quarters = np.tile(patches, (rows, 1))
    mixed = np.tile(np.random.default_rng(0).integers(0, 4, tokens), (rows, 1))
    sizes = {}
    for name, modes in (("one", np.zeros_like(still)), ("quarters", quarters), ("mixed", mixed)):
        tracks = Tracks.of_maps(still, modes)
        sizes[name] = len(written(tracks, TrackTables.of([tracks]), 4))
    assert sizes["one"] < 40
    assert sizes["quarters"] < 60
    assert sizes["mixed"] > 2 * sizes["quarters"]
