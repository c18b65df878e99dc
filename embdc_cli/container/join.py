"""Joining archives without decoding: chunks are copied with new places in rows, segments and time.

The result is one ordinary part. Memory is a few chunks, whatever the length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from embdc_cli.container import canonical, spec, times
from embdc_cli.container.chunk import CodebookRecord, DataRecord, ModelsRecord
from embdc_cli.container.contents import Entry, Part
from embdc_cli.container.framing import chunk_bytes
from embdc_cli.container.header import Header, ItemHeader, Limits, StreamHeader
from embdc_cli.container.merging import merge_summaries
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter, Sink
from embdc_cli.errors import IncompleteError, UsageError

Mode = Literal["time", "items"]
Summarise = Callable[[Sequence[dict[str, Any]], Mode], dict[str, Any]]


@dataclass(frozen=True)
class _Source:
    reader: ArchiveReader
    part: Part

    @property
    def name(self) -> str:
        return self.reader.storage.name


@dataclass
class _Shift:
    """What is added to the numbers in the chunks of one part: per stream for rows and segments, per item for ticks."""

    stream: int
    item: int
    rows: list[int]
    segments: list[int]
    times_rows: list[int]
    ticks: list[int]


def join(
    readers: Sequence[ArchiveReader], out: Sink, mode: Mode = "time", *, summarise: Summarise = merge_summaries
) -> dict[str, Any]:
    """The summary of the archive written to `out`: every part of every reader, in order.

    mode "time": stream k of all parts becomes one longer stream, times go on where the part before ended;
    "items": all items side by side. summarise: makes the summary out of those of the parts.
    Raises: UsageError when the parts do not fit together, IncompleteError, CorruptArchive.
    """
    sources = [_Source(reader, part) for reader in readers for part in reader.parts]
    if not sources:
        raise UsageError("join: expected at least one archive")
    for source in sources:
        if not source.reader.complete or source.part.lost.any():
            raise IncompleteError(
                f"join: {source.name} is incomplete or has lost rows",
                hint="decode and encode what is readable of it instead",
            )
        _check_recipe(sources[0], source)
    header = _joined_in_time(sources) if mode == "time" else _side_by_side(sources)
    writer = ArchiveWriter(out, header)
    segments = [0] * len(header.streams)
    ends: list[int | None] = [None] * len(header.items)
    stream = item = 0
    for source in sources:
        shift = _shift(source, writer, segments, ends, stream, item)
        with source.reader.storage.ahead([(source.part.offset, source.part.offset + source.part.length)]):
            _copy(source, writer, shift)
        _advance(source, shift, segments, ends)
        if mode == "items":
            stream, item = stream + len(source.part.header.streams), item + len(source.part.header.items)
    summary = summarise([_summary(source.part) for source in sources], mode)
    writer.finish(summary)
    return summary


def _summary(part: Part) -> dict[str, Any]:
    """The summary of a part with what it says of each item."""
    return {**(part.summary or {}), "items": [part.item_summary(number) for number in range(len(part.header.items))]}


def _check_recipe(first: _Source, other: _Source) -> None:
    one, two = first.part.header, other.part.header
    for what, here, there in (
        ("recipe", one.recipe_digest, two.recipe_digest),
        ("codec", one.codec, two.codec),
        ("target", one.target, two.target),
        ("features", one.features, two.features),
    ):
        if here != there:
            raise UsageError(
                f"join: {other.name}: {what}, expected {_short(here)} as in {first.name}, found {_short(there)}",
                hint="raw concatenation (`cat a b > c`) keeps archives of different recipes as items",
            )


def _joined_in_time(sources: Sequence[_Source]) -> Header:
    first = sources[0]
    for source in sources:
        _check_layout(first, source)
    header = first.part.header
    streams = []
    for number, stream in enumerate(header.streams):
        if not stream.axes.startswith("t") and len(sources) > 1:
            raise UsageError(
                f"join: stream {stream.name!r} has axes {stream.axes!r} and no rows to join", hint="use --join items"
            )
        streams.append(replace(stream, rows=sum(_rows(source, number) for source in sources)))
    items = [
        _joined_item([source.part.header.items[number] for source in sources]) for number in range(len(header.items))
    ]
    return replace(_merged_header(sources), streams=tuple(streams), items=tuple(items))


def _check_layout(first: _Source, other: _Source) -> None:
    one, two = first.part.header, other.part.header
    if (len(one.items), len(one.streams)) != (len(two.items), len(two.streams)):
        raise UsageError(
            f"join: {other.name}: expected {len(one.items)} items with {len(one.streams)} streams as in {first.name}, "
            f"found {len(two.items)} with {len(two.streams)}",
            hint="use --join items",
        )
    for one_item, other_item in zip(one.items, two.items, strict=True):
        _check_fields(first, other, "item", one_item, other_item, ("encoder", "timebase"))
    names = ("item", "name", "dtype", "axes", "row_shape", "codec", "special_tokens", "ragged", "timed")
    for one_stream, other_stream in zip(one.streams, two.streams, strict=True):
        _check_fields(first, other, "stream", one_stream, other_stream, names)


def _check_fields(
    first: _Source,
    other: _Source,
    kind: str,
    one: ItemHeader | StreamHeader,
    two: ItemHeader | StreamHeader,
    names: tuple[str, ...],
) -> None:
    for name in names:
        here, there = getattr(one, name), getattr(two, name)
        if here != there:
            raise UsageError(
                f"join: {other.name}: {kind} {one.name!r}, {name}, expected {_short(here)} as in {first.name}, "
                f"found {_short(there)}",
                hint="use --join items",
            )


def _side_by_side(sources: Sequence[_Source]) -> Header:
    items: list[ItemHeader] = []
    streams = []
    for source in sources:
        for number, stream in enumerate(source.part.header.streams):
            streams.append(replace(stream, item=stream.item + len(items), rows=_rows(source, number)))
        items += source.part.header.items
    if len(streams) > spec.MAX_STREAMS:
        raise UsageError(f"join: expected at most {spec.MAX_STREAMS} streams, found {len(streams)}")
    return replace(_merged_header(sources), streams=tuple(streams), items=tuple(items))


def _merged_header(sources: Sequence[_Source]) -> Header:
    """The first header with limits that hold for all parts and a digest of all input digests."""
    headers = [source.part.header for source in sources]
    limits = {one.name: max(getattr(header.limits, one.name) for header in headers) for one in fields(Limits)}
    heads = [header.input_head_digest for header in headers]
    head = heads[0] if len(heads) == 1 else hashlib.sha256("".join(heads).encode()).hexdigest()
    return replace(headers[0], limits=Limits(**limits), input_head_digest=head)


def _joined_item(items: Sequence[ItemHeader]) -> ItemHeader:
    """The first with what holds for all: a name that all have, and a digest of all sources where they differ."""
    first = replace(items[0], name=items[0].name if len({item.name for item in items}) == 1 else None)
    if all(item.source == first.source for item in items):
        return first
    digest = hashlib.sha256()
    for item in items:
        digest.update(canonical.dumps(item.source, "source"))
    return replace(first, source={"kind": "joined", "sources": len(items), "sources_digest": digest.hexdigest()})


def _rows(source: _Source, stream: int) -> int:
    rows = source.part.table.data[source.part.table.data["stream"] == stream]
    return int((rows["row0"] + rows["rows"]).max()) if len(rows) else 0


def _shift(
    source: _Source, writer: ArchiveWriter, segments: list[int], ends: list[int | None], stream: int, item: int
) -> _Shift:
    header, clock = source.part.header, source.part.table.times
    ticks = []
    for local in range(len(header.items)):
        first = clock["first"][clock["item"] == local]
        end = ends[item + local]
        ticks.append(0 if end is None or not len(first) else end - int(first[0]))
    return _Shift(
        stream=stream,
        item=item,
        rows=[writer.rows(stream + number) for number in range(len(header.streams))],
        segments=segments[stream : stream + len(header.streams)],
        times_rows=[writer.times_rows(item + number) for number in range(len(header.items))],
        ticks=ticks,
    )


def _advance(source: _Source, shift: _Shift, segments: list[int], ends: list[int | None]) -> None:
    """Note where the next part goes on, after `source` was copied."""
    listed = source.part.table
    for number in range(len(source.part.header.streams)):
        used = [rows["segment"][rows["stream"] == number] for rows in (listed.data, listed.models)]
        segments[shift.stream + number] += max((int(one.max()) + 1 for one in used if len(one)), default=0)
    for number in range(len(source.part.header.items)):
        last = listed.times["last"][listed.times["item"] == number]
        if len(last):
            ends[shift.item + number] = int(last[-1]) + shift.ticks[number]


def _copy(source: _Source, writer: ArchiveWriter, shift: _Shift) -> None:
    """Copy codebooks, models, times and chunks of a part in file order."""
    chunks = source.part.table.chunks
    fetched = source.reader.fetch(_entries(source.part))
    kept = {spec.TYPE_CODES[kind]: kind for kind in (spec.DATA, spec.MODELS, spec.TIMES, spec.CODEBOOK)}
    for place, code in enumerate(chunks["code"].tolist()):
        kind = kept.get(code)
        if kind == spec.DATA:
            entry, payload = next(fetched)
            writer.data(_moved(entry.record, source.part.header, shift), payload)
        elif kind is not None:
            _copy_other(kind, source.reader.content(source.part, place), source.name, writer, shift)


def _copy_other(kind: bytes, content: bytes, where: str, writer: ArchiveWriter, shift: _Shift) -> None:
    if kind == spec.MODELS:
        models = ModelsRecord.from_content(content, where)
        stream, segment = shift.stream + models.stream, shift.segments[models.stream] + models.segment
        writer.models(stream, segment, models.payload)
    elif kind == spec.TIMES:
        record, starts, ends = times.from_content(content, where)
        row0, ticks = shift.times_rows[record.item] + record.row0, shift.ticks[record.item]
        writer.times(shift.item + record.item, row0, starts + ticks, ends + ticks)
    else:
        codebook = CodebookRecord.from_content(content, where)
        if not writer.has_codebook(codebook.digest, embedded=codebook.payload is not None):
            writer.codebook(codebook.digest, codebook.payload, codebook.size)


def _entries(part: Part) -> Iterator[Entry]:
    """The DATA chunks of a part in file order."""
    for row, place in enumerate(part.table.data["chunk"].tolist()):
        chunk = part.table.chunks[place]
        yield Entry(
            record=part.table.data_record(row),
            part=part.number,
            seq=int(chunk["seq"]),
            offset=part.offset + int(chunk["offset"]),
            length=chunk_bytes(int(chunk["content"])),
        )


def _moved(record: DataRecord, header: Header, shift: _Shift) -> DataRecord:
    stream = header.streams[record.stream]
    ticks = shift.ticks[stream.item] if stream.timed else 0
    return replace(
        record,
        stream=shift.stream + record.stream,
        segment=shift.segments[record.stream] + record.segment,
        row0=shift.rows[record.stream] + record.row0,
        pts0=record.pts0 + ticks,
        pts1=record.pts1 + ticks,
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
