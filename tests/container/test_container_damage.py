"""Cuts and flipped bits: what is left is read, what is not is said, nothing is ever silently wrong."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest

from embdc_cli.container import landmarks, spec
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.contents import Entry
from embdc_cli.container.framing import chunk_bytes
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, UnsupportedArchive
from tests.container.container_cases import (
    CODEBOOK,
    CODEBOOK_DIGEST,
    Plan,
    archive,
    chunks_of,
    comparable,
    expected_chunks,
    header_of,
    opened,
    split,
    summary_of,
    times_of,
)

SMALL = Plan(rows=4, chunk_rows=2, segment_chunks=1, payload_bytes=9, checkpoint_every=2, bias=False, brief=True)


def chunk_ends(data: bytes) -> list[tuple[bytes, int]]:
    """(type, offset behind it) of every chunk."""
    ends, place = [], spec.SIGNATURE_BYTES
    for kind, content in split(data):
        place += chunk_bytes(len(content))
        ends.append((kind, place))
    return ends


def whole_data_chunks(data: bytes, length: int) -> int:
    return sum(kind == spec.DATA and end <= length for kind, end in chunk_ends(data))


@pytest.mark.parametrize("search_bytes", [0, landmarks.SEARCH_BYTES], ids=["scanned", "from a landmark"])
def test_after_a_cut_at_any_byte_every_whole_chunk_is_there(search_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks, "SEARCH_BYTES", search_bytes)
    data = archive(SMALL)
    expected = expected_chunks(SMALL)
    head_end = chunk_ends(data)[0][1]
    for length in range(0, len(data), 1 if search_bytes else 5):
        if length < head_end:
            with pytest.raises(CorruptArchive):
                opened(data[:length])
            continue
        reader = opened(data[:length])
        assert not reader.complete
        assert reader.damage
        found = chunks_of(reader, reader.items[0])
        for name, chunks in found.items():
            assert comparable(chunks) == comparable(expected[name][: len(chunks)])
        assert sum(map(len, found.values())) == whole_data_chunks(data, length)
        assert sum(reader.report().values()) == length


def test_a_cut_archive_says_which_rows_are_missing() -> None:
    plan = Plan(known_rows=True, bias=False)
    data = archive(plan)
    ends = [end for kind, end in chunk_ends(data) if kind == spec.DATA]
    reader = opened(data[: ends[3]])  # two chunks of 3 rows of each stream
    assert {(one.stream, one.row0, one.stop) for damage in reader.damage for one in damage.lost} == {
        ("patch", 6, 10),
        ("ragged", 6, 10),
    }
    timeline = reader.timeline(reader.items[0])
    assert timeline is not None
    assert np.array_equal(timeline.starts, times_of(plan)[0][:6])


def test_a_damaged_chunk_loses_its_rows_and_no_others() -> None:
    plan = Plan(bias=False)
    data = bytearray(archive(plan))
    start = opened(bytes(data)).streams[0].entries[1].offset
    data[start + 5] ^= 1
    data[-1] ^= 1  # no tail, so that everything is scanned
    reader = opened(bytes(data))
    (lost,) = [one for damage in reader.damage for one in damage.lost]
    starts, _ = times_of(plan)
    seconds = [float((starts[row] - starts[0]) / 90_000) for row in (3, 6)]
    assert (lost.stream, lost.row0, lost.stop) == ("patch", 3, 6)
    assert lost.seconds == pytest.approx(seconds)
    stream = reader.streams[0]
    with pytest.raises(CorruptArchive, match="rows 3 to 5 are lost"):
        stream.locate(2, 7)
    assert [entry.row0 for entry in stream.overlapping(2, 7)] == [0, 6]
    assert stream.missing(4, 9) == [(4, 6)]
    assert len(reader.streams[1].locate(0, 10)) == 4


@pytest.mark.parametrize(("which", "rows"), [(0, "0 to 2"), (1, "3 to 5"), (3, "9 to 9")])
def test_lost_times_are_refused_when_asked_for_and_rows_stay(which: int, rows: str) -> None:
    data = bytearray(archive(Plan(bias=False)))
    times = [end for kind, end in chunk_ends(bytes(data)) if kind == spec.TIMES]
    data[times[which] - 1] ^= 1
    data[-1] ^= 1
    reader = opened(bytes(data))
    with pytest.raises(CorruptArchive, match=f"times of rows {rows} are lost"):
        reader.timeline(reader.items[0])
    found = chunks_of(reader, reader.items[0])
    assert comparable(found["patch"]) == comparable(expected_chunks(Plan(bias=False))["patch"])


def test_a_damaged_chunk_behind_a_good_index_is_found_when_it_is_fetched() -> None:
    data = bytearray(archive(Plan()))
    clean = opened(bytes(data))
    data[clean.streams[0].entries[1].offset + 70] ^= 4
    reader = opened(bytes(data))
    assert reader.complete
    entries = reader.streams[0].locate(0, 10)
    with pytest.raises(CorruptArchive, match="payload checksum"):
        list(reader.fetch(entries))
    skipped: list[Entry] = []
    kept = [entry.row0 for entry, _ in reader.fetch(entries, on_damage=lambda entry, _: skipped.append(entry))]
    assert kept == [0, 6, 9]
    assert [entry.row0 for entry in skipped] == [3]
    (damage,) = reader.verify()
    assert damage.offset == entries[1].offset


@dataclass
class Seen:
    """Everything a user can get out of an archive, and whether something was said to be wrong."""

    said: bool = False
    equal: bool = True
    damaged: list[Entry] = field(default_factory=list)


def look(data: bytes, plan: Plan) -> Seen:
    """Compare all content with what `plan` put in. Chunks that are there must be right even if others are damaged."""
    seen = Seen()
    try:
        reader = opened(data)
    except (CorruptArchive, UnsupportedArchive):
        return Seen(said=True)
    seen.said = not reader.complete or bool(reader.damage)
    assert len(reader.items) == 1
    try:
        timeline = reader.timeline(reader.items[0])
        assert timeline is not None
        rows = len(timeline)
        assert np.array_equal(timeline.starts, times_of(plan)[0][:rows])
        assert np.array_equal(timeline.ends, times_of(plan)[1][:rows])
        assert reader.codebook(CODEBOOK_DIGEST) in ((CODEBOOK, None) if seen.said else (CODEBOOK,))
        found = chunks_of(reader, reader.items[0], seen.damaged)
    except (CorruptArchive, UnsupportedArchive):
        seen.said = True
        return seen
    for name, chunks in expected_chunks(plan).items():
        allowed = comparable(chunks)
        assert all(chunk in allowed for chunk in comparable(found[name]))
        seen.equal &= comparable(found[name]) == allowed
    assert reader.summary in ((summary_of(plan), None) if seen.said else (summary_of(plan),))
    seen.said |= bool(seen.damaged)
    return seen


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def check_flip(data: bytes, bit: int, *, verify: bool) -> None:
    changed = flip(data, bit)
    seen = look(changed, SMALL)
    assert seen.said or seen.equal, f"bit {bit} is silently wrong"
    if verify:
        try:
            reader = opened(changed)
        except (CorruptArchive, UnsupportedArchive):
            return
        assert reader.verify(), f"bit {bit} is not found by verify"


def test_no_flipped_bit_is_silently_wrong() -> None:
    data = archive(SMALL)
    for place in range(0, len(data), 2):  # the slow test below takes all bits of all bytes
        check_flip(data, 8 * place + place // 2 * 5 % 8, verify=place % 14 == 0)


@pytest.mark.slow
def test_no_flipped_bit_at_all_is_silently_wrong_and_verify_finds_each() -> None:
    data = archive(SMALL)
    for bit in range(8 * len(data)):
        check_flip(data, bit, verify=True)


def test_a_flipped_bit_in_the_end_matter_loses_nothing() -> None:
    data = archive(SMALL)
    begin = next(end for kind, end in chunk_ends(data) if kind == spec.DIGESTS)  # opening does not read digests
    for place in range(begin, len(data), 3):
        changed = flip(data, 8 * place + place % 8)
        reader = opened(changed)
        assert reader.damage
        for name, chunks in chunks_of(reader, reader.items[0]).items():
            assert comparable(chunks) == comparable(expected_chunks(SMALL)[name])


def large(plan: Plan) -> bytes:
    """An archive beyond the opening read, whose HEAD and signature are read only by a scan."""
    data = archive(plan)
    assert len(data) > spec.OPENING_BYTES
    return data


@pytest.mark.parametrize("place", [0, 3, 11, 13, 20, 60, 200])
def test_a_damaged_front_of_a_large_archive_costs_nothing(place: int) -> None:
    plan = Plan(payload_bytes=20_000)
    changed = flip(large(plan), 8 * place)
    reader = opened(changed)
    for name, chunks in chunks_of(reader, reader.items[0]).items():
        assert comparable(chunks) == comparable(expected_chunks(plan)[name])
    assert reader.verify()


def test_spliced_chunks_are_noticed() -> None:
    data = archive(Plan(bias=False))
    entry = opened(data).streams[0].entries[1]
    without = data[: entry.offset] + data[entry.offset + entry.length :]
    reader = opened(without)
    assert not reader.complete
    assert any("missing" in damage.what for damage in reader.damage)
    assert [one.row0 for damage in reader.damage for one in damage.lost] == [3]
    twice = data[: entry.offset + entry.length] + data[entry.offset :]
    reader = opened(twice)
    assert reader.damage
    assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(Plan())["patch"])


def test_foreign_bytes_around_an_archive_are_reported() -> None:
    data = archive()
    for changed in (b"0123456789abcdef" * 9 + data, data + b"trailing"):
        reader = opened(changed)
        assert not reader.complete
        assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(Plan())["patch"])
        assert reader.report()["unreadable"] == len(changed) - len(data)
        assert reader.verify()


def test_a_cut_archive_of_many_checkpoints_is_opened_from_the_last_one() -> None:
    plan = Plan(rows=600, chunk_rows=1, payload_bytes=2000, checkpoint_every=16)
    data = archive(plan)
    cut = data[: len(data) * 9 // 10]
    reader = opened(cut)
    assert reader.bytes_read < len(cut) / 2
    assert reader.streams[0].rows > 530
    assert sum(reader.report().values()) == len(cut)
    found = list(reader.fetch(reader.streams[0].entries))
    assert [entry.row0 for entry, _ in found] == list(range(reader.streams[0].rows))
    assert opened(data + cut[:9000]).bytes_read < spec.OPENING_BYTES * 5  # a tail is a place to begin from, too
    scanned = reader.verify()
    assert [damage.what for damage in scanned] == [damage.what for damage in reader.damage]


def test_an_archive_inside_a_payload_is_never_mistaken_for_one() -> None:
    """A lossless payload may hold a whole archive; after damage its chunks must not be taken for ours."""
    inner = archive(Plan(payload_bytes=200, rows=3))
    out = io.BytesIO()
    writer = ArchiveWriter(out, header_of(Plan(rows=0)))
    writer.data(DataRecord(2, 0, 0, 1, 0, 0), inner)
    writer.finish({})
    data = out.getvalue()
    reader = opened(data)
    ((entry, payload),) = reader.fetch(reader.streams[2].entries)
    assert payload == inner
    for place in range(entry.offset, entry.offset + 40):
        changed = opened(flip(data, 8 * place))
        assert len(changed.items) == 1
        assert changed.items[0].streams[2].header.name == "bias"
        with pytest.raises(CorruptArchive):
            list(changed.fetch(changed.streams[2].locate(0, 1)))
        assert changed.verify()[0].offset == entry.offset


def test_times_without_rows_take_no_memory() -> None:
    """A cut archive, or a forged one, may declare millions of times in a few bytes."""
    out = io.BytesIO()
    writer = ArchiveWriter(out, header_of(Plan(rows=0, bias=False)))
    ticks = np.arange(6 << 20, dtype=np.int64)
    writer.times(0, 0, ticks, ticks + 1)
    writer.data(DataRecord(0, 0, 0, 1, 1, 0, pts1=1), b"x")
    del ticks
    tracemalloc.start()
    reader = opened(out.getvalue())
    timeline = reader.timeline(reader.items[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert timeline is not None
    assert timeline.ends.tolist() == [1]
    assert peak < 40 << 20
