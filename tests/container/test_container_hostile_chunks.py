"""Chunks made to mislead, and files that are no archives."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace

import numpy as np
import pytest

from embdc_cli.container import framing, landmarks, scan, spec, times, varint
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.framing import apply_mask, content_of, frame, parse_header
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, UnsupportedArchive, UsageError
from tests.container.container_cases import (
    HOSTILE,
    SIGNATURE,
    Plan,
    archive,
    dumped,
    edited,
    forged,
    header_of,
    opened,
    parse,
    split,
    with_head,
)


def test_a_part_of_a_newer_format_is_exit_6() -> None:
    newer = SIGNATURE[:11] + b"\x02\x00" + SIGNATURE[13:]
    with pytest.raises(UnsupportedArchive, match=r"format version 2\.0, this embdc reads versions 0 and 1"):
        opened(newer + b"laid out in some other way" * 20)
    chunks = split(archive(HOSTILE))
    with pytest.raises(UnsupportedArchive, match=r"format version 2\.0"):
        opened(forged([(spec.HEAD, dumped({**parse(chunks[0][1]), "version": [2, 0]}))], signature=newer, seal=False))


@pytest.mark.parametrize("version", spec.MAJORS)
@pytest.mark.parametrize("cut", [0, 200], ids=["whole", "cut"])
def test_the_header_decides_between_versions_a_bit_apart(
    version: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "MAJOR", version)
    good = archive(HOSTILE)
    good = good[: len(good) - cut]
    assert opened(good).header.version == version
    flipped = good[:11] + bytes([1 - version]) + good[12:]
    reader = opened(flipped)
    assert reader.header.version == version
    assert "damaged signature" in {one.what for one in reader.damage}
    assert [one.rows for one in reader.streams] == [one.rows for one in opened(good).streams]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"\x89EMB", "cut after 4 bytes"),
        (SIGNATURE, "no chunks"),
        (SIGNATURE + bytes(100), "header at byte 16"),
        (b"\x93NUMPY" + bytes(100), "expected an embdc signature, found 93 4e"),
        (b"short", "expected an embdc signature"),
        (archive(HOSTILE)[:100], "HEAD chunk is cut"),
    ],
)
def test_what_is_no_archive_is_said_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(CorruptArchive) as caught:
        opened(data)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_large_foreign_file_is_refused_without_reading_all_of_it() -> None:
    class Watched(io.BytesIO):
        given = 0

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self.given += len(found)
            return found

    file = Watched(b"\0\0\0 ftypmp42" + bytes(4_000_000))
    with pytest.raises(CorruptArchive, match="expected an embdc signature"):
        ArchiveReader.open(file)
    assert file.given < 200_000


def test_an_oversized_length_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk header may claim any length; more than the file or the limits is damage, not an allocation."""
    data = archive(HOSTILE)
    entry = opened(data).streams[0].entries[0]
    header = parse_header(data, entry.offset)
    assert header is not None
    for length in (1 << 17, 1 << 62):
        fields = bytearray(data[entry.offset : entry.offset + 36])
        fields[24:32] = length.to_bytes(8, "little")
        lying = bytes(fields) + zlib.crc32(fields).to_bytes(4, "little")
        changed = data[: entry.offset] + lying + data[entry.offset + 40 :]
        with pytest.raises(CorruptArchive, match="the index says"):
            list(opened(changed).fetch([entry]))
        monkeypatch.setattr(landmarks, "SEARCH_BYTES", 0)
        reader = opened(changed[:-1])
        assert reader.streams[0].missing(0, 4) == [(0, 2)]
        assert reader.storage.bytes_read < 4 * len(data)


def test_headers_that_all_claim_long_payloads_do_not_cost_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_MAX_FAILED_BYTES", 0)
    head, payload = frame(spec.HEAD, 1, 0, b"{}")
    claim, _ = frame(b"nOTE", 1, 1, bytes(40_000))
    with pytest.raises(CorruptArchive, match="damaged beyond reading"):
        opened(SIGNATURE + head + payload + claim * 1000 + bytes(40_000))


def test_chunks_of_another_part_are_not_taken() -> None:
    """The same index, but a chunk of an archive with another header in the place of ours."""
    data, other = archive(HOSTILE), archive(replace(HOSTILE, seed=9))
    ours, theirs = (opened(one).streams[0].entries[0] for one in (data, other))
    assert ours.length == theirs.length
    foreign = other[theirs.offset : theirs.offset + theirs.length]
    changed = data[: ours.offset] + foreign + data[ours.offset + ours.length :]
    with pytest.raises(CorruptArchive):
        list(opened(changed).fetch([ours]))


@pytest.mark.parametrize("other", ["part_id", "seq", "type"])
def test_a_chunk_that_is_right_in_another_place_is_not_taken(other: str) -> None:
    data = archive(HOSTILE)
    entry = opened(data).streams[0].entries[0]
    body = slice(entry.offset + spec.CHUNK_BYTES, entry.offset + entry.length)
    header = parse_header(data, entry.offset)
    assert header is not None
    raw, stored = frame(
        b"dATA" if other == "type" else header.type,
        header.part_id + (other == "part_id"),
        header.seq + (other == "seq"),
        content_of(header, data[body], "test"),
    )
    changed = data[: entry.offset] + raw + stored + data[body.stop :]
    with pytest.raises(CorruptArchive, match="the index says"):
        list(opened(changed).fetch([entry]))


def test_the_part_number_is_that_of_the_header() -> None:
    data = archive(Plan(payload_bytes=30_000))
    chunks = split(data)
    wrong = forged(chunks, part_id=77)
    with pytest.raises(CorruptArchive, match="header and part number disagree"):
        opened(wrong)


def test_models_of_another_segment_are_not_taken() -> None:
    chunks = split(archive(replace(HOSTILE, segment_chunks=1)))
    places = [number for number, (kind, content) in enumerate(chunks) if kind == spec.MODELS and content[:2] == b"\0\0"]
    one, two = places
    chunks[one], chunks[two] = (
        (spec.MODELS, chunks[one][1][:8] + chunks[two][1][8:]),
        (
            spec.MODELS,
            chunks[two][1][:8] + chunks[one][1][8:],
        ),
    )
    reader = opened(forged(chunks))
    with pytest.raises(CorruptArchive, match="other models"):
        list(reader.fetch(reader.streams[0].entries))


def test_the_codebook_is_what_its_digest_says() -> None:
    changed = edited(archive(HOSTILE), spec.CODEBOOK, lambda content: content[:-1] + b"!")
    reader = opened(changed)
    digest = next(iter(reader.codebooks()))
    with pytest.raises(CorruptArchive, match="embedded codebook is not"):
        reader.codebook(digest)
    assert reader.verify()


@pytest.mark.parametrize("marker", [spec.SYNC, spec.MAGIC, SIGNATURE])
@pytest.mark.parametrize("shift", range(4))
def test_markers_never_appear_in_what_is_stored(marker: bytes, shift: int) -> None:
    spoils_mask_1 = apply_mask(bytes(shift) + marker + bytes(-(shift + len(marker)) % 2), 1)
    content = bytes(shift) + marker + bytes(shift % 2 + len(marker) % 2) + spoils_mask_1 + marker[4:] * 3
    raw, stored = frame(spec.DATA, 7, 3, content)
    assert spec.SYNC not in stored
    assert spec.MAGIC not in stored
    header = parse_header(raw)
    assert header is not None
    assert header.mask > 1
    assert content_of(header, stored, "test") == content


def test_a_marker_across_header_and_payload_is_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a marker in the header checksum, half in the payload: 2^-32 by chance, so the checksum is set here."""
    crc = framing._CRC
    monkeypatch.setattr(framing, "_CRC", type("Half", (), {"pack": lambda self, _: spec.SYNC[:4]})())
    raw, stored = frame(spec.DATA, 7, 3, spec.SYNC[4:] + b"rest")
    assert raw[-4:] == spec.SYNC[:4]
    assert not stored.startswith(spec.SYNC[4:])
    monkeypatch.setattr(framing, "_CRC", crc)


def test_a_payload_against_all_masks_is_refused_not_miswritten() -> None:
    sync = np.frombuffer(spec.SYNC, "<u2")
    content = (np.arange(1 << 16, dtype=np.uint16)[:, None] ^ sync).astype("<u2").tobytes()
    with pytest.raises(UsageError, match="resist"):
        frame(spec.DATA, 7, 3, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected 40 bytes"),
        (times.to_content(0, 0, np.arange(3), np.arange(3) + 1) + b"x", "after the times"),
        (times.to_content(0, 0, np.array([0, 5, 6]), np.array([5, 6, 9]))[:-1], "ends"),
        (times._TIMES.pack(0, 0, 0, 0, 0, 0), "out of range"),
        (times._TIMES.pack(0, spec.MAX_TIMES_ROWS + 1, 0, 0, 0, 0), "out of range"),
        (times._TIMES.pack(0, 5, spec.MAX_TIMELINE_ROWS, 0, 5, 1), "out of range"),
        (times._TIMES.pack(0, 5, 0, 0, 6, 1), "do not fill"),
        (times._TIMES.pack(0, 1 << 20, 0, 0, 6, 0) + b"\x02\x00\x01", "starts: expected 1048575 values"),
    ],
)
def test_impossible_times_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(CorruptArchive, match=message):
        times.from_content(content, "test")


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"\x80", 1),  # cut
        (b"\x81\x00", 1),  # overlong
        (b"\xff" * 9 + b"\x02", 1),  # over 64 bits
        (b"\xff" * 10 + b"\x01", 1),
        (b"\x00", 1),  # a run without length
        (b"\x00\x00", 1),  # a run of none
        (b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 3),  # a run of 2^64 - 1
        (b"\x01\x01", 3),
        (b"\x00\x03", 2),
        (b"", 1),
    ],
)
def test_impossible_columns_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(CorruptArchive, match="test"):
        varint.unpack(data, count, "test")


@pytest.mark.parametrize(
    ("place", "value", "good"),
    [
        (40, "0000803f", True),
        (40, "0000c07f", True),
        (40, "0100c07f", False),
        (40, "0000807f", False),
        (44, "0040", True),
        (44, "007e", True),
        (44, "0140", False),
        (46, "0080", False),
        (46, "007c", False),
    ],
    ids=["1", "NaN", "another NaN", "infinite", "2", "half NaN", "above 2", "-0", "half infinite"],
)
def test_quality_has_one_form(place: int, value: str, good: bool) -> None:
    content = bytearray(DataRecord(0, 0, 0, 1, 0, 0, 0.5, 0.5, 0.5).to_content(b""))
    changed = bytes.fromhex(value)
    content[place : place + len(changed)] = changed
    if good:
        DataRecord.prefix_of(bytes(content), "test")
    else:
        with pytest.raises(CorruptArchive, match="out of range"):
            DataRecord.prefix_of(bytes(content), "test")


def test_token_counts_are_bounded_when_fetched() -> None:
    out = io.BytesIO()
    header = header_of(Plan(rows=0, bias=False))
    writer = ArchiveWriter(out, header)
    writer.times(0, 0, np.array([0]), np.array([1]))
    writer.data(DataRecord(0, 0, 0, 1, 1, 0, pts1=1), b"x")
    writer.data(DataRecord(1, 0, 0, 1, 1, 0, token_counts=(1000,), pts1=1), b"x")
    writer.finish({})
    assert opened(out.getvalue()).verify() == ()
    reader = opened(with_head(lambda head: head["limits"].update(max_chunk_values=3999), out.getvalue()))
    with pytest.raises(CorruptArchive, match="4000 values"):
        list(reader.fetch(reader.streams[1].entries))
    assert reader.verify()
