"""Cutting an archive in time without decoding: chunks are copied as they are, and each part opens alone.

A part begins at the first chunk boundary at or after its time, of all streams of the item together. Times stay what
they are; rows and segments count from 0. Memory is a few chunks, whatever the length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np

from embdc_cli.container import times
from embdc_cli.container.contents import Item, Part
from embdc_cli.container.header import Header
from embdc_cli.container.join import file_entries
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter, Sink
from embdc_cli.errors import IncompleteError, UsageError

_STATED: Final = ("source", "target")
"""What the summary of the whole says that is so of every part."""


@dataclass(frozen=True)
class Span:
    """What one part holds: rows [start, stop) of each item; their time in seconds after the first row of the item."""

    rows: tuple[tuple[int, int], ...]
    seconds: tuple[float, float]


def spans(reader: ArchiveReader, every: Fraction) -> list[Span]:
    """How an archive is cut each `every` seconds, at least one span.

    Raises: UsageError for one of several parts, or of rows without times; IncompleteError; CorruptArchive.
    """
    name = reader.storage.name
    if len(reader.parts) > 1:
        raise UsageError(
            f"split: {name}: expected one part, found {len(reader.parts)}", hint="join them first with `embdc cat`"
        )
    if not reader.complete or reader.parts[0].lost.any():
        raise IncompleteError(f"split: {name} is incomplete or has lost rows", hint="`embdc repair` makes it whole")
    by_item = [_cuts(reader, item, every) for item in reader.items]
    count = max(len(cuts) - 1 for cuts in by_item)
    found = []
    for number in range(count):
        rows = tuple((cuts[min(number, len(cuts) - 1)], cuts[min(number + 1, len(cuts) - 1)]) for cuts in by_item)
        if number == 0 or any(start < stop for start, stop in rows):
            found.append(Span(rows, _seconds(reader, rows)))
    return found


def _cuts(reader: ArchiveReader, item: Item, every: Fraction) -> list[int]:
    """The rows at which the parts of an item begin, and its end; several are equal where chunks are long."""
    timeline = reader.timeline(item)
    untimed = [stream.name for stream in item.streams if not stream.header.timed]
    if timeline is None or untimed:
        which = f"stream {untimed[0]!r}" if untimed else f"item {item.number}"
        raise UsageError(
            f"split: {reader.storage.name}: {which} keeps no times to cut by",
            hint="of a dump, `embdc encode --key NAME` takes the rows that have times alone",
        )
    rows = len(timeline)
    if not rows:
        return [0, 0]
    boundaries = np.array([rows], np.int64)
    for number, stream in enumerate(item.streams):
        starts = stream.entries.starts
        boundaries = np.append(starts, rows) if not number else np.intersect1d(boundaries, np.append(starts, rows))
    cuts = [0]
    ticks = every / timeline.timebase
    while cuts[-1] < rows:
        wanted = timeline.rows_before(math.ceil(timeline.zero + ticks * len(cuts)))
        cuts.append(int(boundaries[np.searchsorted(boundaries, wanted)]))
    return cuts


def _seconds(reader: ArchiveReader, rows: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """From the first start to the last end, of the first item that has rows in a part."""
    for item, (start, stop) in zip(reader.items, rows, strict=True):
        timeline = reader.timeline(item)
        if timeline is not None and start < stop:
            end = (timeline.end(stop - 1) - timeline.zero) * timeline.timebase
            return timeline.seconds(start), float(end)
    return 0.0, 0.0


def write_span(reader: ArchiveReader, span: Span, out: Sink) -> None:
    """One part, written to `out` with all that it needs. Raises: CorruptArchive."""
    part = reader.parts[0]
    limits = [span.rows[stream.item] for stream in part.header.streams]
    writer = ArchiveWriter(out, _header(part.header, span, limits))
    for digest, size in reader.codebooks().items():
        writer.codebook(digest, reader.codebook(digest), size)
    _copy_times(reader, part, span, writer)
    sums = _copy_data(reader, part, limits, writer)
    writer.finish(_summary(part, limits, sums, span.seconds))


def _header(header: Header, span: Span, limits: Sequence[tuple[int, int]]) -> Header:
    """The header of a part: the source of an item says which of its rows these are."""
    streams = [replace(one, rows=stop - start) for one, (start, stop) in zip(header.streams, limits, strict=True)]
    items = []
    for item, rows in zip(header.items, span.rows, strict=True):
        before = _first_row(item.source)
        items.append(replace(item, source={**item.source, "rows": [before + row for row in rows]}))
    return replace(header, streams=tuple(streams), items=tuple(items))


def _first_row(source: dict[str, Any]) -> int:
    """Where the rows of an item that is a part already begin in the whole."""
    rows = source.get("rows")
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], int) else 0


def _copy_times(reader: ArchiveReader, part: Part, span: Span, writer: ArchiveWriter) -> None:
    clock = part.table.times
    for row in range(len(clock)):
        known = part.table.times_record(row)
        first, behind = span.rows[known.item]
        start, stop = max(known.row0, first), min(known.stop, behind)
        if start < stop:
            content = reader.content(part, int(clock["chunk"][row]))
            record, starts, ends = times.from_content(content, reader.storage.name)
            inside = slice(start - record.row0, stop - record.row0)
            writer.times(record.item, start - first, starts[inside], ends[inside])


def _copy_data(
    reader: ArchiveReader, part: Part, limits: Sequence[tuple[int, int]], writer: ArchiveWriter
) -> list[dict[str, float]]:
    """Copy the chunks within `limits` with the models of their segments; returns what is known of each stream."""
    data = part.table.data
    edges = np.array(limits, np.int64).reshape(-1, 2)[data["stream"]]
    wanted = (data["row0"] >= edges[:, 0]) & (data["row0"] < edges[:, 1])
    first_segments = _first_segments(data[wanted], len(limits))
    sums = [{"values": 0, "tokens": 0, "sse": 0.0, "cosine_sum": 0.0} for _ in limits]
    streams = {stream.number: stream for stream in reader.streams}
    for entry, payload in reader.fetch(file_entries(part, wanted)):
        record = entry.record
        segment = record.segment - first_segments[record.stream]
        models = reader.models(streams[record.stream], record.segment)
        if models and not writer.has_models(record.stream, segment):
            writer.models(record.stream, segment, models)
        writer.data(replace(record, segment=segment, row0=record.row0 - limits[record.stream][0]), payload)
        header = part.header.streams[record.stream]
        units = record.rows if record.token_counts is None else sum(record.token_counts)
        values = units * header.row_values
        tokens = values // max(1, streams[record.stream].spec.channels)
        for name, value in (
            ("values", values),
            ("tokens", tokens),
            ("sse", record.mse * values),
            ("cosine_sum", record.cosine_mean * tokens),
        ):
            sums[record.stream][name] += value
    return sums


def _first_segments(data: np.ndarray, streams: int) -> list[int]:
    found = [data["segment"][data["stream"] == number] for number in range(streams)]
    return [int(one.min()) if len(one) else 0 for one in found]


def _summary(
    part: Part, limits: Sequence[tuple[int, int]], sums: Sequence[dict[str, float]], seconds: tuple[float, float]
) -> dict[str, Any]:
    """What is known of a part without decoding: counts, and quality as its chunks have it; not the energy."""
    whole = part.summary or {}
    known = whole.get("streams", [])
    streams = []
    for number, ((start, stop), found) in enumerate(zip(limits, sums, strict=True)):
        header = part.header.streams[number]
        codec = known[number].get("codec", header.codec) if number < len(known) else header.codec
        told = {name: value for name, value in found.items() if math.isfinite(value)}
        streams.append({"rows": stop - start, "codec": codec, "sums": told})
    summary: dict[str, Any] = {"streams": streams, "duration_seconds": seconds[1] - seconds[0]}
    return summary | {name: whole[name] for name in _STATED if name in whole}
