"""Checking every byte of an archive: all checksums, the digest tree, and each index and copy against the chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from embdc_cli.container import admission, index, spec, tail, times
from embdc_cli.container.chunk import CodebookRecord, DataRecord
from embdc_cli.container.contents import Damage, Item, Part
from embdc_cli.container.losses import with_losses
from embdc_cli.container.packed_json import unpack
from embdc_cli.container.scan import ScannedChunk, ScannedPart, scan
from embdc_cli.container.storage import Storage
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.tail import Tail
from embdc_cli.errors import CorruptArchive


def verify(
    storage: Storage,
    parts: Sequence[Part],
    items: Sequence[Item],
    opening_damage: Sequence[Damage],
    progress: Callable[[int, int], None] | None = None,
    *,
    digests: bool = True,
) -> tuple[Damage, ...]:
    """Everything wrong with an archive opened as `parts` and `items`, in file order; () when nothing is.

    digests: also the SHA-256 of every chunk, which takes most of the time.
    """

    def on_chunk(chunk: ScannedChunk) -> None:
        _check_chunk(chunk)
        if progress is not None:
            progress(chunk.offset, storage.size)

    result = scan(storage, 0, storage.size, on_chunk, heads=parts, digests=digests)
    damage = result.damage or [one for one in opening_damage if not one.declared]
    if not damage:
        damage = _compare(parts, result.parts)
    if progress is not None:
        progress(storage.size, storage.size)
    return with_losses(damage, parts, items)


def _check_chunk(chunk: ScannedChunk) -> None:
    """Nothing, for a chunk that agrees with those before it in its part. Raises: CorruptArchive."""
    kind, log = chunk.header.type, chunk.part.log
    if kind == spec.DATA and isinstance(chunk.record, DataRecord):
        _check_data(chunk, chunk.record)
        return
    content = chunk.content
    if kind == spec.TIMES:
        times.from_content(content, "times")
    elif kind == spec.CODEBOOK and isinstance(chunk.record, CodebookRecord):
        payload = chunk.record.payload
        if payload is not None and hashlib.sha256(payload).digest() != chunk.record.digest:
            raise CorruptArchive(f"embedded codebook is not {chunk.record.digest.hex()}")
    elif kind == spec.META and unpack(content, "copy of the header") != chunk.part.head:
        raise CorruptArchive("copy of the header differs from it")
    elif kind == spec.DIGESTS and log.digests and chunk.part.first_gap is None and content != b"".join(log.leaves):
        raise CorruptArchive("digests differ from the chunks")
    elif kind == spec.INDEX and chunk.part.first_gap is None:
        found = index.from_content(content, log.offset, "index")
        if found.end != log.offset or not _same(found.table, (log.builder if found.full else log.recent).table()):
            raise CorruptArchive("index differs from the chunks")
    elif kind == spec.TAIL and chunk.part.first_gap is None:
        _check_distances(chunk.part, Tail.from_content(content, chunk.offset + tail.CHUNK_BYTES, "tail"))


def _check_data(chunk: ScannedChunk, short: DataRecord) -> None:
    header, log = chunk.part.log.header, chunk.part.log
    stream = header.streams[short.stream]
    record, _ = DataRecord.from_content(chunk.view, ragged=stream.ragged, where="chunk")
    if record.token_counts is not None:
        values = sum(record.token_counts) * stream.row_values
        if not admission.fits(record.rows, values, len(chunk.view), header.limits):
            raise CorruptArchive(f"{values} values in {len(chunk.view)} bytes exceed the limits")
    if record.models_crc != log.models.get((record.stream, record.segment), 0):
        raise CorruptArchive(f"made with other models than those of segment {record.segment}")
    if stream.timed and record.stop > log.times_rows[stream.item]:
        raise CorruptArchive(f"times of row {record.stop - 1} do not come before it")


def _check_distances(part: ScannedPart, sealed: Tail) -> None:
    chunks = part.log.builder.table().chunks
    for kind, distance in sealed.distances():
        places = chunks["offset"][chunks["code"] == spec.TYPE_CODES[kind]].tolist()
        if places != ([part.log.offset - distance] if distance else []):
            raise CorruptArchive(f"distance of the tail to {kind.decode()} is wrong")
    if int(chunks["offset"][-1]) != part.log.offset - sealed.to_index or chunks["code"][-1] != _INDEX_CODE:
        raise CorruptArchive("distance of the tail to iNDX is wrong")


_INDEX_CODE = spec.TYPE_CODES[spec.INDEX]


def _compare(opened: Sequence[Part], scanned: Sequence[ScannedPart]) -> list[Damage]:
    """What opening showed that is not so: parts, and rows whose times in chunk and timeline differ."""
    if [part.offset for part in opened] != [part.offset for part in scanned]:
        return [Damage(0, 0, "walking back from the end and reading from the front give different parts")]
    damage = []
    for part, found in zip(opened, scanned, strict=True):
        if not _same(part.table, found.log.builder.table()) or part.head != found.head or part.summary != found.summary:
            damage.append(Damage(part.offset, part.length, "end matter and chunks disagree"))
        damage += [Damage(part.offset, part.length, what) for what in _wrong_times(part)]
    return damage


def _wrong_times(part: Part) -> list[str]:
    """Streams whose chunks do not lie within the times of their item."""
    wrong = []
    for number, stream in enumerate(part.header.streams):
        rows = part.table.data[part.table.data["stream"] == number]
        clock = part.table.times[part.table.times["item"] == stream.item]
        if not stream.timed:
            if rows["pts0"].any() or rows["pts1"].any():
                wrong.append(f"stream {stream.name!r} has no times, its chunks have")
            continue
        exact = {int(row): int(tick) for row, tick in zip(clock["row0"], clock["first"], strict=True)}
        for row, tick in zip(rows["row0"].tolist(), rows["pts0"].tolist(), strict=True):
            if exact.get(row, tick) != tick:
                wrong.append(f"stream {stream.name!r}: row {row} begins at {tick}, its times say {exact[row]}")
                break
    return wrong


def _same(one: ChunkTable, other: ChunkTable) -> bool:
    names = ("chunks", "data", "models", "times", "codebooks")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
