"""Joining archives without decoding: chunks are copied with new places in rows, segments and time.

The result is one ordinary part. Memory is a few chunks, whatever the length.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np

from embdc_cli.container import canonical, spec, times
from embdc_cli.container.chunk import CodebookRecord, DataRecord, ModelsRecord
from embdc_cli.container.contents import Entry, Part
from embdc_cli.container.framing import chunk_bytes
from embdc_cli.container.header import Header, ItemHeader, Limits, StreamHeader
from embdc_cli.container.merging import merge_summaries
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter, Sink
from embdc_cli.errors import IncompleteError, UsageError
from embdc_cli.values import Timeline

Mode = Literal["time", "items"]
_LAST_ROWS: Final = 64
"""From how many rows the distance between rows is taken."""
_LAST_TICK: Final = 1 << 62
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
    """What is added to the numbers in the chunks of one part: per stream for rows and segments, per item for ticks.

    scales: ticks of the joined item in one of the part's, of each item.
    """

    stream: int
    item: int
    rows: list[int]
    segments: list[int]
    times_rows: list[int]
    ticks: list[int]
    scales: list[int]


@dataclass(frozen=True)
class _End:
    """Where an item of the joined archive lies so far, in its ticks; following: where another part of it goes on."""

    first: int
    last: int
    following: int


def join(
    readers: Sequence[ArchiveReader], out: Sink, mode: Mode = "time", *, summarise: Summarise = merge_summaries
) -> dict[str, Any]:
    """The summary of the archive written to `out`: every part of every reader, in order.

    mode "time": stream k of all parts becomes one longer stream. Times of parts of the same input stay what they are,
    where they rise; those of another part go on where the one before ended (`_next_start`).
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
    ends: list[_End | None] = [None] * len(header.items)
    stream = item = 0
    before: _Source | None = None
    for source in sources:
        goes_on = before is not None and _same_input(before, source)
        before = source
        shift = _shift(source, writer, segments, ends, stream, item, keeps_times=goes_on)
        with source.reader.storage.ahead([(source.part.offset, source.part.offset + source.part.length)]):
            _copy(source, writer, shift)
        _advance(source, shift, segments, ends)
        source.reader.forget()
        if mode == "items":
            stream, item = stream + len(source.part.header.streams), item + len(source.part.header.items)
    summary = summarise([_summary(source.part) for source in sources], mode)
    if ends[0] is not None and (mode == "time" or len(header.items) == 1):  # with what lies between the parts
        timebase = Fraction(*(header.items[0].timebase or (1, 1)))
        summary["duration_seconds"] = float((ends[0].last - ends[0].first) * timebase)
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
        _check_fields(first, other, "item", one_item, other_item, ("encoder", "timed", "clock"))
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
        items += [
            one if one.clock is None else replace(one, clock=one.clock + len(items)) for one in source.part.header.items
        ]
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
    """The first with what holds for all: name if they have one, tick, and a digest of all sources where they differ."""
    name = items[0].name if len({item.name for item in items}) == 1 else None
    joined = replace(items[0], name=name, timebase=_common_timebase([item.timebase for item in items]))
    if all(item.source == items[0].source for item in items):
        return joined
    digest = hashlib.sha256()
    for item in items:
        digest.update(canonical.dumps(item.source, "source"))
    return replace(joined, source={"kind": "joined", "sources": len(items), "sources_digest": digest.hexdigest()})


def _common_timebase(timebases: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """The longest tick of which all others are multiples. Raises: UsageError where it has no place in a header."""
    known = [Fraction(*one) for one in timebases if one is not None]
    if not known:
        return None
    denominator = math.lcm(*(one.denominator for one in known))
    common = Fraction(math.gcd(*(int(one * denominator) for one in known)), denominator)
    if common.denominator >= 1 << 31:
        raise UsageError(
            f"join: timebases {', '.join(map(str, dict.fromkeys(known)))} have no common tick", hint="use --join items"
        )
    return common.numerator, common.denominator


def _rows(source: _Source, stream: int) -> int:
    rows = source.part.table.data[source.part.table.data["stream"] == stream]
    return int((rows["row0"] + rows["rows"]).max()) if len(rows) else 0


def _same_input(before: _Source, source: _Source) -> bool:
    """Whether two parts are known to be of one input, whose times are then those of one clock."""
    digest = source.part.header.input_head_digest
    return bool(digest) and digest == before.part.header.input_head_digest


def _shift(
    source: _Source,
    writer: ArchiveWriter,
    segments: list[int],
    ends: list[_End | None],
    stream: int,
    item: int,
    *,
    keeps_times: bool,
) -> _Shift:
    header, clock = source.part.header, source.part.table.times
    bases = [Fraction(*(writer.header.items[item + local].timebase or (1, 1))) for local in range(len(header.items))]
    scales = [int(Fraction(*(own.timebase or (1, 1))) / base) for own, base in zip(header.items, bases, strict=True)]
    missing: dict[int, list[Fraction]] = {}  # seconds that the items of a clock lack to where they go on, of each clock
    for local, own in enumerate(header.items):
        first = clock["first"][clock["item"] == local]
        end = ends[item + local]
        if end is not None and len(first):
            begin = int(first[0]) * scales[local]
            needed = 0 if keeps_times and begin >= end.last else end.following - begin
            missing.setdefault(local if own.clock is None else own.clock, []).append(needed * bases[local])
    ticks = []
    for local, own in enumerate(header.items):
        seconds = missing.get(local if own.clock is None else own.clock, [Fraction(0)])
        ticks.append(round(max(seconds) / bases[local]))
    return _Shift(
        stream=stream,
        item=item,
        rows=[writer.rows(stream + number) for number in range(len(header.streams))],
        segments=segments[stream : stream + len(header.streams)],
        times_rows=[writer.times_rows(item + number) for number in range(len(header.items))],
        ticks=ticks,
        scales=scales,
    )


def _next_start(timeline: Timeline) -> int:
    """The tick at which a row that follows would start: where the last one ends.

    Where rows leave time between them, as those of `--fps 1` do, they also leave as much behind the last one.
    """
    rows = range(max(0, len(timeline) - _LAST_ROWS), len(timeline))
    starts = np.array([timeline.start(row) for row in rows])
    gaps = starts[1:] - np.array([timeline.end(row) for row in rows])[:-1]
    end = timeline.end(rows[-1])
    if not len(gaps) or np.median(gaps) <= 0:
        return end
    return max(end, int(starts[-1]) + int(np.median(np.diff(starts))))


def _advance(source: _Source, shift: _Shift, segments: list[int], ends: list[_End | None]) -> None:
    """Note where the next part goes on, after `source` was copied."""
    listed = source.part.table
    for number in range(len(source.part.header.streams)):
        used = [rows["segment"][rows["stream"] == number] for rows in (listed.data, listed.models)]
        segments[shift.stream + number] += max((int(one.max()) + 1 for one in used if len(one)), default=0)
    first_item = source.part.first_item
    for item in source.reader.items[first_item : first_item + len(source.part.header.items)]:
        timeline = source.reader.timeline(item)
        if timeline is not None and len(timeline):
            number = item.local
            before = ends[shift.item + number]
            places = timeline.start(0), timeline.end(len(timeline) - 1), _next_start(timeline)
            first, last, following = (place * shift.scales[number] + shift.ticks[number] for place in places)
            ends[shift.item + number] = _End(first if before is None else before.first, last, following)


def _copy(source: _Source, writer: ArchiveWriter, shift: _Shift) -> None:
    """Copy codebooks, models, times and chunks of a part in file order."""
    chunks = source.part.table.chunks
    fetched = source.reader.fetch(file_entries(source.part))
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
        row0 = shift.times_rows[record.item] + record.row0
        scale, ticks = shift.scales[record.item], shift.ticks[record.item]
        if max(abs(record.first), abs(record.last)) * scale + abs(ticks) > _LAST_TICK:
            raise UsageError(f"join: {where}: times that the common tick has no numbers for", hint="use --join items")
        writer.times(shift.item + record.item, row0, starts * scale + ticks, ends * scale + ticks)
    else:
        codebook = CodebookRecord.from_content(content, where)
        if not writer.has_codebook(codebook.digest, embedded=codebook.payload is not None):
            writer.codebook(codebook.digest, codebook.payload, codebook.size)


def file_entries(part: Part, wanted: np.ndarray | None = None) -> Iterator[Entry]:
    """The DATA chunks of a part in file order; wanted: bool, which rows of its table."""
    places = part.table.data["chunk"]
    for row in range(len(places)) if wanted is None else np.flatnonzero(wanted).tolist():
        place = int(places[row])
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
    scale, ticks = (shift.scales[stream.item], shift.ticks[stream.item]) if stream.timed else (1, 0)
    return replace(
        record,
        stream=shift.stream + record.stream,
        segment=shift.segments[record.stream] + record.segment,
        row0=shift.rows[record.stream] + record.row0,
        pts0=record.pts0 * scale + ticks,
        pts1=record.pts1 * scale + ticks,
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
