"""Indexes and tails made to mislead: checksums are right, what they say is not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from embdc_cli.container import index, spec
from embdc_cli.container.framing import frame
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.tail import Tail
from embdc_cli.errors import CorruptArchive, UnsupportedArchive
from tests.container.container_cases import (
    HOSTILE,
    archive,
    chunks_of,
    comparable,
    edited,
    expected_chunks,
    forged,
    opened,
    split,
)


def edited_index(edit: Callable[[ChunkTable], object]) -> bytes:
    def change(content: bytes) -> bytes:
        table = index.from_content(content, 1 << 40, "test").table
        edit(table)
        return index.to_content(table, full=True)

    return edited(archive(HOSTILE), spec.INDEX, change)


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
        assert comparable(chunks) == comparable(expected_chunks(HOSTILE)[stream.name])
    if case == "times":
        with pytest.raises(CorruptArchive, match="disagree"):
            reader.timeline(reader.items[0])
        told.append(case)
    assert told or case == "codebook"  # its size is only ever shown
    assert reader.verify()


def test_a_lying_checkpoint_is_found_by_verify() -> None:
    chunks = split(archive(HOSTILE))
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
    chunks = split(archive(HOSTILE))
    place = next(number for number, (kind, _) in enumerate(chunks) if kind == spec.INDEX)
    found = index.from_content(chunks[place][1], 1 << 40, "test")
    found.table.chunks[column][0] += change
    cut = forged([*chunks[:place], (spec.INDEX, index.to_content(found.table, full=False))], seal=False)
    reader = opened(cut)
    assert not reader.complete
    for name, rows in chunks_of(reader, reader.items[0]).items():
        assert comparable(rows) == comparable(expected_chunks(HOSTILE)[name])[: len(rows)]
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
    reader = opened(edited(archive(HOSTILE), spec.INDEX, edit_index_bytes(change)))
    assert reader.damage
    assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(HOSTILE)["patch"])


def test_a_newer_index_layout_needs_a_newer_reader() -> None:
    with pytest.raises(UnsupportedArchive, match="layout 9"):
        opened(edited(archive(HOSTILE), spec.INDEX, edit_index_bytes(lambda content: content.__setitem__(1, 9))))


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
    chunks = split(archive(HOSTILE))
    tail = Tail.from_content(chunks[-1][1], 1 << 40, "test")
    reader = opened(forged([*chunks[:-1], (spec.TAIL, LYING_TAILS[case](tail).to_content())], seal=False))
    assert reader.damage or case == "root"  # opening does not compute the root
    for name, found in chunks_of(reader, reader.items[0]).items():
        assert comparable(found) == comparable(expected_chunks(HOSTILE)[name])
    assert reader.verify()


def test_a_large_part_must_repeat_its_header() -> None:
    sealed = Tail(spec.OPENING_BYTES + 8, 200, 400, 0, 600, 9, bytes(32), spec.MAJOR)
    with pytest.raises(CorruptArchive, match="without a copy of its header"):
        Tail.from_content(sealed.to_content(), 1 << 40, "test")
    small = replace(sealed, part_bytes=spec.OPENING_BYTES)
    assert Tail.from_content(small.to_content(), 1 << 40, "test") == small


def test_a_tail_that_asks_for_a_terabyte_of_end_matter_gets_none() -> None:
    size, far = 1 << 41, 1 << 40
    sealed = Tail(size, far, far + 8, far + 16, far + 24, 9, bytes(32), spec.MAJOR)
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
