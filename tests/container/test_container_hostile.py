"""Archives made to mislead: checksums are right, what they protect is not."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from container_cases import (
    Plan,
    archive,
    chunks_of,
    comparable,
    dumped,
    edited,
    expected_chunks,
    forged,
    header_of,
    opened,
    parse,
    split,
)

from embdc_cli.container import canonical, framing, index, landmarks, scan, spec, times, varint
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.framing import SIGNATURE, apply_mask, content_of, frame, parse_header
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.tail import Tail
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, UnsupportedArchive, UsageError

PLAN = Plan(rows=4, chunk_rows=2, segment_chunks=1, payload_bytes=9, bias=False)


def with_head(edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The archive of PLAN whose header JSON was edited."""
    chunks = split(archive(PLAN))
    head = parse(chunks[0][1])
    edit(head)
    chunks[0] = (spec.HEAD, dumped(head))
    return forged([(kind, reindexed(kind, content, len(chunks[0][1]))) for kind, content in chunks])


def reindexed(kind: bytes, content: bytes, head_bytes: int) -> bytes:
    """An index content that agrees with a header of another length; other contents as they are."""
    if kind != spec.INDEX:
        return content
    found = index.from_content(content, 1 << 40, "test")
    if found.first_seq == 0:
        found.table.chunks["content"][0] = head_bytes
    return index.to_content(found.table, full=found.full)


def test_forging_nothing_changes_nothing() -> None:
    data = archive(Plan(payload_bytes=30_000))
    assert forged(split(data)) == data
    assert with_head(lambda head: None) == archive(PLAN)


HEADERS: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception], str]] = {
    "major": (lambda head: head.update(version=[1, 0]), UnsupportedArchive, "format version 1.0"),
    "reader": (lambda head: head.update(min_reader=9), UnsupportedArchive, "reader level 9"),
    "feature": (lambda head: head.update(features=["warp"]), UnsupportedArchive, "feature 'warp'"),
    "dtype": (lambda head: head["streams"][0].update(dtype="float4"), UnsupportedArchive, "float4"),
    "limit": (lambda head: head["limits"].update(max_rank=1 << 40), UnsupportedArchive, "max_rank"),
    "limit gone": (lambda head: head["limits"].pop("max_rank"), CorruptArchive, "max_rank"),
    "no items": (lambda head: head.update(items=[]), CorruptArchive, "items"),
    "item unknown": (lambda head: head["streams"][0].update(item=7), CorruptArchive, "item"),
    "same names": (lambda head: head["streams"][0].update(name="ragged"), CorruptArchive, "same name"),
    "no name": (lambda head: head["streams"][0].update(name=""), CorruptArchive, "name"),
    "long name": (lambda head: head["streams"][0].update(name="n" * 5000), CorruptArchive, "name"),
    "negative": (lambda head: head["streams"][0].update(row_shape=[-1]), CorruptArchive, "row_shape"),
    "many axes": (lambda head: head["streams"][0].update(row_shape=[1] * 33), CorruptArchive, "33"),
    "true is no number": (lambda head: head["streams"][0].update(rows=True), CorruptArchive, "rows"),
    "float rows": (lambda head: head["streams"][0].update(rows=4.0), CorruptArchive, "rows"),
    "text flag": (lambda head: head["streams"][0].update(ragged="yes"), CorruptArchive, "ragged"),
    "promised rows": (lambda head: head["streams"][0].update(rows=5), CorruptArchive, "expected 5 rows, found 4"),
    "timebase": (lambda head: head["items"][0].update(timebase=[1, 0]), CorruptArchive, "timebase"),
    "no timebase": (lambda head: head["items"][0].pop("timebase"), CorruptArchive, "times"),
    "fewer streams": (lambda head: head["streams"].pop(), CorruptArchive, "stream"),
    "small rows": (lambda head: head["limits"].update(max_chunk_rows=1), CorruptArchive, "limits"),
    "small values": (lambda head: head["limits"].update(max_chunk_values=9), CorruptArchive, "limits"),
    "small bytes": (lambda head: head["limits"].update(max_chunk_bytes=60), CorruptArchive, "limit"),
    "huge rows": (lambda head: head["streams"][0].update(row_shape=[1 << 31] * 9), CorruptArchive, "limits"),
    "streams as text": (lambda head: head.update(streams="none"), CorruptArchive, "list of objects"),
    "recipe as list": (lambda head: head.update(recipe=[]), CorruptArchive, "recipe"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_wrong_header_is_refused(case: str) -> None:
    edit, kind, message = HEADERS[case]
    found, words = complaint(with_head(edit))
    assert found is kind
    assert message in words


def complaint(data: bytes) -> tuple[type[Exception], str]:
    """What opening raises; what only chunks contradict is read as far as it is right, and reported as damage."""
    try:
        reader = opened(data)
    except (CorruptArchive, UnsupportedArchive) as error:
        return type(error), error.message
    return CorruptArchive, " ".join(damage.what for damage in reader.damage)


def test_unknown_keys_and_unknown_ancillary_chunks_are_ignored() -> None:
    assert opened(with_head(lambda head: head.update(new={"a": [1]}))).verify() == ()
    chunks = split(archive(PLAN))
    seek = next(number for number, (kind, _) in enumerate(chunks) if kind == spec.DIGESTS)
    chunks.insert(seek, (b"nOTE", b"a note"))
    cut = forged(chunks[: seek + 1], seal=False)  # without an index, so that it need not list the note
    reader = opened(cut)
    assert [damage.what for damage in reader.damage] == ["the part ends without a tail"]
    assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(PLAN)["patch"])
    assert reader.report()["other"] == 6


def test_an_unknown_critical_chunk_stops_the_reader() -> None:
    chunks = split(archive(PLAN))
    with pytest.raises(UnsupportedArchive, match="ENCR"):
        opened(forged([*chunks[:3], (b"ENCR", b"secret")], seal=False))


JSON_BOMBS = {
    "deep": b"[" * 100_000,
    "deep in objects": b'{"a":' * 20 + b"1" + b"}" * 20,
    "twice": b'{"a":1,"a":2}',
    "NaN": b'{"a":NaN}',
    "infinite": b'{"a":1e999}',
    "huge integer": b'{"a":' + b"9" * 5000 + b"}",
    "integer over 64 bits": b'{"a":18446744073709551616}',
    "spaces": b'{"a": 1}',
    "unsorted": b'{"b":1,"a":2}',
    "long float": b'{"a":1.50}',
    "not an object": b"[1]",
    "not UTF-8": b'{"a":"\xff"}',
    "escaped letter": b'{"a":"\\u0061"}',
    "half a surrogate": b'{"a":"\\ud800"}',
    "cut": b'{"a":"',
    "empty": b"",
    "large": b'{"a":"' + b"x" * spec.MAX_JSON_BYTES + b'"}',
}


@pytest.mark.parametrize("case", JSON_BOMBS)
def test_json_bombs_are_refused(case: str) -> None:
    with pytest.raises(CorruptArchive, match="test: "):
        canonical.loads(JSON_BOMBS[case], "test")


def test_a_repeated_key_is_named_as_such() -> None:
    with pytest.raises(CorruptArchive, match="a key is there twice"):
        canonical.loads(JSON_BOMBS["twice"], "test")


def test_a_bracket_inside_a_string_is_no_depth() -> None:
    value = {"a": "[" * 99 + '"\\', "b": -0.5, "c": (1 << 64) - 1, "ä": [None, True, 1e-07]}
    assert canonical.loads(canonical.dumps(value, "test"), "test") == value


def edited_index(edit: Callable[[ChunkTable], object]) -> bytes:
    def change(content: bytes) -> bytes:
        table = index.from_content(content, 1 << 40, "test").table
        edit(table)
        return index.to_content(table, full=True)

    return edited(archive(PLAN), spec.INDEX, change)


def put(rows: np.ndarray, name: str, value: int) -> None:
    rows[name][0] = value


LYING_INDEXES: dict[str, Callable[[ChunkTable], object]] = {
    "kind": lambda table: put(table.data, "kind", 9),
    "quality": lambda table: put(table.data, "mse", 9),
    "time": lambda table: put(table.data, "pts0", 9),
    "segment": lambda table: put(table.data, "segment", 1),
    "streams swapped": lambda table: table.data["stream"].__setitem__(slice(None), 1 - table.data["stream"]),
    "models swapped": lambda table: table.models["stream"].__setitem__(slice(None), 1 - table.models["stream"]),
    "row order": lambda table: table.data.__setitem__(slice(None), table.data[[2, 3, 0, 1]]),
    "row": lambda table: put(table.data, "row0", 1),
    "rows": lambda table: put(table.data, "rows", 3),
    "times": lambda table: put(table.times, "first", 4),
    "codebook": lambda table: put(table.codebooks, "size", 4),
    "length": lambda table: put(table.chunks, "content", 4000),
    "shorter by a word": lambda table: put(table.chunks, "content", int(table.chunks["content"][0]) - 8),
    "type": lambda table: put(table.chunks, "code", spec.OTHER_CODE),
}


@pytest.mark.parametrize("case", LYING_INDEXES)
def test_a_lying_index_never_changes_what_is_read(case: str) -> None:
    reader = opened(edited_index(LYING_INDEXES[case]))
    told: list[object] = list(reader.damage)
    for stream in reader.streams:
        try:
            found = list(reader.fetch(stream.entries))
        except CorruptArchive as error:
            told.append(error)
            continue
        models = [reader.models(stream, entry.record.segment) for entry, _ in found]
        chunks = [(entry.record, payload, one) for (entry, payload), one in zip(found, models, strict=True)]
        assert comparable(chunks) == comparable(expected_chunks(PLAN)[stream.name])
    if case == "times":
        with pytest.raises(CorruptArchive, match="disagree"):
            reader.timeline(reader.items[0])
        told.append(case)
    assert told or case == "codebook"  # its size is only ever shown
    assert reader.verify()


def test_a_lying_checkpoint_is_found_by_verify() -> None:
    chunks = split(archive(PLAN))
    place = next(number for number, (kind, _) in enumerate(chunks) if kind == spec.INDEX)
    found = index.from_content(chunks[place][1], 1 << 40, "test")
    assert not found.full
    found.table.data["row0"][0] = 1
    chunks[place] = (spec.INDEX, index.to_content(found.table, full=False))
    reader = opened(forged(chunks))
    assert reader.complete
    assert [damage.what for damage in reader.verify()] == ["index differs from the chunks"]


@pytest.mark.parametrize(("column", "change"), [("content", 8000), ("content", 8), ("offset", 1 << 40), ("seq", 3)])
def test_a_lying_checkpoint_is_no_place_to_begin_from(column: str, change: int) -> None:
    chunks = split(archive(PLAN))
    place = next(number for number, (kind, _) in enumerate(chunks) if kind == spec.INDEX)
    found = index.from_content(chunks[place][1], 1 << 40, "test")
    found.table.chunks[column][0] += change
    cut = forged([*chunks[:place], (spec.INDEX, index.to_content(found.table, full=False))], seal=False)
    reader = opened(cut)
    assert not reader.complete
    for name, rows in chunks_of(reader, reader.items[0]).items():
        assert comparable(rows) == comparable(expected_chunks(PLAN)[name])[: len(rows)]
    assert sum(stream.rows for stream in reader.streams) == 6


def edit_index_bytes(change: Callable[[bytearray], None]) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        changed = bytearray(content)
        change(changed)
        return bytes(changed)

    return edit


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.__setitem__(slice(4, 8), b"\xff\xff\xff\xff"),  # 2^32 chunks
        lambda content: content.__setitem__(slice(4, 8), bytes(4)),
        lambda content: content.__setitem__(0, 7),
        lambda content: content.__setitem__(slice(16, 24), b"\xff" * 8),
        lambda content: content.__setitem__(24, 0x7F),
        lambda content: content.__setitem__(slice(24, 40), b"\xff" * 16),
        lambda content: content.__delitem__(slice(30, None)),
        lambda content: content.extend(bytes(9)),
    ],
)
def test_an_impossible_index_is_refused_and_the_chunks_are_scanned(change: Callable[[bytearray], None]) -> None:
    reader = opened(edited(archive(PLAN), spec.INDEX, edit_index_bytes(change)))
    assert reader.damage
    assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(PLAN)["patch"])


def test_a_newer_index_layout_needs_a_newer_reader() -> None:
    with pytest.raises(UnsupportedArchive, match="layout 9"):
        opened(edited(archive(PLAN), spec.INDEX, edit_index_bytes(lambda content: content.__setitem__(1, 9))))


LYING_TAILS: dict[str, Callable[[Tail], Tail]] = {
    "short part": lambda tail: replace(tail, part_bytes=tail.part_bytes - 8),
    "long part": lambda tail: replace(tail, part_bytes=tail.part_bytes + 8),
    "huge part": lambda tail: replace(tail, part_bytes=(1 << 64) - 1),
    "index": lambda tail: replace(tail, to_index=tail.to_index + 8),
    "no index": lambda tail: replace(tail, to_index=0),
    "far index": lambda tail: replace(tail, to_index=(1 << 64) - 1),
    "summary": lambda tail: replace(tail, to_summary=tail.to_digests),
    "digests": lambda tail: replace(tail, to_digests=tail.to_digests + 40),
    "header copy": lambda tail: replace(tail, to_meta=tail.to_summary),
    "chunks": lambda tail: replace(tail, chunks=tail.chunks + 1),
    "root": lambda tail: replace(tail, root=bytes(32)),
}


@pytest.mark.parametrize("case", LYING_TAILS)
def test_a_lying_tail_never_changes_what_is_read(case: str) -> None:
    chunks = split(archive(PLAN))
    tail = Tail.from_content(chunks[-1][1], 1 << 40, "test")
    reader = opened(forged([*chunks[:-1], (spec.TAIL, LYING_TAILS[case](tail).to_content())], seal=False))
    assert reader.damage or case == "root"  # opening does not compute the root
    for name, found in chunks_of(reader, reader.items[0]).items():
        assert comparable(found) == comparable(expected_chunks(PLAN)[name])
    assert reader.verify()


def test_a_large_part_must_repeat_its_header() -> None:
    sealed = Tail(spec.OPENING_BYTES + 8, 200, 400, 0, 600, 9, bytes(32))
    with pytest.raises(CorruptArchive, match="without a copy of its header"):
        Tail.from_content(sealed.to_content(), 1 << 40, "test")
    small = replace(sealed, part_bytes=spec.OPENING_BYTES)
    assert Tail.from_content(small.to_content(), 1 << 40, "test") == small


def test_a_tail_that_asks_for_a_terabyte_of_end_matter_gets_none() -> None:
    size, far = 1 << 41, 1 << 40
    sealed = Tail(size, far, far + 8, far + 16, far + 24, 9, bytes(32))
    end = b"".join(frame(spec.TAIL, 1, 8, sealed.to_content()))

    class Sparse(io.RawIOBase):
        """Two terabytes of zeros and a tail."""

        place = given = 0

        def seek(self, offset: int, whence: int = 0) -> int:
            self.place = size if whence == 2 else offset
            return self.place

        def read(self, count: int = -1) -> bytes:
            assert count <= 1 << 20
            self.given += count
            zeros = max(0, min(count, size - len(end) - self.place))
            return bytes(zeros) + end[max(0, self.place - size + len(end)) :][: count - zeros]

    file = Sparse()
    with pytest.raises(CorruptArchive):
        ArchiveReader.open(file)  # type: ignore[arg-type]  # a file object
    assert file.given < 1 << 20


def test_a_part_of_a_newer_format_is_exit_6() -> None:
    newer = SIGNATURE[:11] + b"\x01\x00" + SIGNATURE[13:]
    with pytest.raises(UnsupportedArchive, match=r"format version 1\.0, this embdc reads version 0"):
        opened(newer + b"laid out in some other way" * 20)
    chunks = split(archive(PLAN))
    with pytest.raises(UnsupportedArchive, match="format version 1"):
        opened(forged([(spec.HEAD, dumped({**parse(chunks[0][1]), "version": [1, 0]}))], signature=newer, seal=False))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"\x89EMB", "cut after 4 bytes"),
        (SIGNATURE, "no chunks"),
        (SIGNATURE + bytes(100), "header at byte 16"),
        (b"\x93NUMPY" + bytes(100), "expected an embdc signature, found 93 4e"),
        (b"short", "expected an embdc signature"),
        (archive(PLAN)[:200], "HEAD chunk is cut"),
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
    data = archive(PLAN)
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
    data, other = archive(PLAN), archive(replace(PLAN, seed=9))
    ours, theirs = (opened(one).streams[0].entries[0] for one in (data, other))
    assert ours.length == theirs.length
    foreign = other[theirs.offset : theirs.offset + theirs.length]
    changed = data[: ours.offset] + foreign + data[ours.offset + ours.length :]
    with pytest.raises(CorruptArchive):
        list(opened(changed).fetch([ours]))


@pytest.mark.parametrize("other", ["part_id", "seq", "type"])
def test_a_chunk_that_is_right_in_another_place_is_not_taken(other: str) -> None:
    data = archive(PLAN)
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
    chunks = split(archive(replace(PLAN, segment_chunks=1)))
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
    changed = edited(archive(PLAN), spec.CODEBOOK, lambda content: content[:-1] + b"!")
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


def test_token_counts_are_bounded_when_fetched() -> None:
    out = io.BytesIO()
    header = header_of(Plan(rows=0, bias=False))
    writer = ArchiveWriter(out, header)
    writer.times(0, 0, np.array([0]), np.array([1]))
    writer.data(DataRecord(0, 0, 0, 1, 1, 0, pts1=1), b"x")
    writer.data(DataRecord(1, 0, 0, 1, 1, 0, token_counts=(1000,), pts1=1), b"x")
    writer.finish({})
    assert opened(out.getvalue()).verify() == ()
    chunks = split(out.getvalue())
    head = parse(chunks[0][1])
    head["limits"]["max_chunk_values"] = 3999
    reader = opened(forged([(spec.HEAD, dumped(head)), *chunks[1:]]))
    with pytest.raises(CorruptArchive, match="4000 values"):
        list(reader.fetch(reader.streams[1].entries))
    assert reader.verify()
