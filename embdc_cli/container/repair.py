"""Making a damaged archive whole again: every chunk that can be used, behind a header, with index and tail.

Parts without damage are copied as they are. In others every row keeps its number and its time: rows that are lost are
stood for by chunks that `stand_in` makes, and the summary declares them under `lost`, so that no reader takes them for
values. A part that was cut ends where its last usable row does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np

from embdc_cli.container import admission, spec, times
from embdc_cli.container.chunk import CodebookRecord, DataRecord, ModelsRecord
from embdc_cli.container.contents import Damage, LostRows, Part
from embdc_cli.container.framing import ChunkHeader, content_of, parse_header
from embdc_cli.container.header import StreamHeader
from embdc_cli.container.partlog import PartLog, Record
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.scan import ScannedChunk, scan
from embdc_cli.container.storage import Storage
from embdc_cli.container.times import TimesRecord
from embdc_cli.container.writer import ArchiveWriter, Sink
from embdc_cli.errors import CorruptArchive
from embdc_cli.values import Timeline

StandIn = Callable[[StreamHeader, int], tuple[bytes, int]]
"""(payload, symbol CRC) of a chunk of so many rows that are not there, coded without models by kind 0."""

_COPY_BYTES: Final = 1 << 20
_STAND_IN_VALUES: Final = 1 << 20
_MAX_STAND_INS: Final = 1 << 16
"""Chunks that stand for lost rows; a forged chunk may claim any row as its first."""

_STATED: Final = ("source", "items", "target", "duration_seconds")
"""What a summary says of the input: still so when rows are lost, as achieved quality is not."""


@dataclass(frozen=True)
class _Chunk:
    """A whole chunk with its record, and what came before it in its part."""

    record: Record
    content: bytes
    log: PartLog


@dataclass
class Repaired:
    """What a repair wrote. chunks: DATA chunks kept. lost: rows that are gone. lost_times: (item, first row, row after
    the last) of rows whose times are gone; theirs are spread evenly between the times around them. summaries: whether
    every part has the one it was written with, apart from the quality of what is lost."""

    parts: int = 0
    chunks: int = 0
    lost: list[LostRows] = field(default_factory=list)
    lost_times: list[tuple[int, int, int]] = field(default_factory=list)
    summaries: bool = True


def repair(reader: ArchiveReader, out: Sink, stand_in: StandIn) -> Repaired:
    """Write what is usable of an archive to `out`. Raises: CorruptArchive when nothing is."""
    problems = [one for one in reader.verify() if not one.declared]
    strays = _strays(reader) if problems else {}
    result = Repaired(parts=len(reader.parts))
    for part in reader.parts:
        with reader.storage.ahead([(part.offset, part.offset + part.length)]):
            if part.complete and not any(_touches(one, part) for one in problems):
                _copy(reader.storage, part, out)
                result.chunks += len(part.table.data)
                continue
            places = _places(reader.storage, part, strays.get(part.part_id, {}))
            rebuilt = _Rebuilt(part, _final_rows(part, _chunks(reader.storage, part, places)), out, stand_in, result)
            for chunk in _chunks(reader.storage, part, places):
                rebuilt.take(chunk)
            rebuilt.finish()
    return result


def _strays(reader: ArchiveReader) -> dict[int, dict[int, int]]:
    """Offset by `seq` by `part_id` of the chunks that reading from the front finds, of parts that are there once."""
    ids = [part.part_id for part in reader.parts]
    found: dict[int, dict[int, int]] = {}

    def note(chunk: ScannedChunk) -> None:
        if ids.count(chunk.part.part_id) == 1:
            found.setdefault(chunk.part.part_id, {})[chunk.header.seq] = chunk.offset

    scan(reader.storage, 0, reader.storage.size, note, heads=reader.parts)
    return found


def _places(storage: Storage, part: Part, strays: dict[int, int]) -> list[int]:
    """File offsets of the whole chunks of a part: where its table says, and where that is wrong, where one strayed."""
    listed = {seq: part.offset + offset for seq, offset in part.table.chunks[["seq", "offset"]].tolist()}
    good = {seq: at for seq, at in listed.items() if _whole(storage, part, at, seq)}
    return [at for _, at in sorted((strays | good).items())]


def _whole(storage: Storage, part: Part, at: int, seq: int) -> bool:
    try:
        header, _, _ = _read(storage, part, at)
    except CorruptArchive:
        return False
    return header.seq == seq


def _read(storage: Storage, part: Part, at: int) -> tuple[ChunkHeader, bytes, bytes]:
    """(header, stored payload, content) of the chunk of `part` at file offset `at`. Raises: CorruptArchive."""
    header = parse_header(storage.read(at, at + spec.CHUNK_BYTES))
    if header is None or header.part_id != part.part_id or header.length > storage.size - at:
        raise CorruptArchive(f"{storage.name}: byte {at}: no chunk of its part")
    stored = storage.read(at + spec.CHUNK_BYTES, at + spec.CHUNK_BYTES + header.length)
    return header, stored, content_of(header, stored, f"{storage.name}: byte {at}")


def _chunks(storage: Storage, part: Part, places: Sequence[int]) -> Iterator[_Chunk]:
    """The whole chunks of a part whose records may follow each other."""
    log = PartLog(part.header, digests=False)
    for at in places:
        header, stored, content = _read(storage, part, at)
        try:
            record = log.admit(header, content, f"{storage.name}: byte {at}")
        except CorruptArchive:
            continue
        yield _Chunk(record, content, log)
        log.add(header, b"", stored, len(content), record)


def _touches(damage: Damage, part: Part) -> bool:
    return damage.offset < part.offset + part.length and part.offset < damage.offset + max(damage.length, 1)


def _copy(storage: Storage, part: Part, out: Sink) -> None:
    for start in range(part.offset, part.offset + part.length, _COPY_BYTES):
        out.write(storage.read(start, min(start + _COPY_BYTES, part.offset + part.length)))


def _final_rows(part: Part, chunks: Iterator[_Chunk]) -> list[int]:
    """Rows of each stream of the repaired part; streams of one clock have the same number."""
    found = [0] * len(part.header.streams)
    for chunk in chunks:
        if (record := _usable(chunk)) is not None:
            found[record.stream] = record.stop
    for number, stream in enumerate(part.header.streams):
        if not stream.axes.startswith("t"):
            found[number] = 1  # a tensor without rows is there or lost
        elif part.tail is not None:
            listed = part.table.data[part.table.data["stream"] == number][-1:]
            found[number] = max(found[number], int((listed["row0"] + listed["rows"]).sum()))
    for item in range(len(part.header.items)):
        clocked = [at for at, stream in enumerate(part.header.streams) if stream.timed and stream.item == item]
        for number in clocked:
            found[number] = max(found[other] for other in clocked)
    return found


def _usable(chunk: _Chunk) -> DataRecord | None:
    """The full record of a DATA chunk whose models are there and which keeps to the limits, None for any other."""
    if not isinstance(chunk.record, DataRecord):
        return None
    header = chunk.log.header
    stream = header.streams[chunk.record.stream]
    try:
        record, _ = DataRecord.from_content(chunk.content, ragged=stream.ragged, where="chunk")
    except CorruptArchive:
        return None
    values = sum(record.token_counts or ()) * stream.row_values
    models = chunk.log.models.get((record.stream, record.segment), 0)
    fits = admission.fits(record.rows, values, len(chunk.content), header.limits)
    return record if record.models_crc == models and fits else None


class _Rebuilt:
    """One part written anew from its usable chunks, in the order of the file."""

    def __init__(self, part: Part, rows: list[int], out: Sink, stand_in: StandIn, result: Repaired) -> None:
        self._part, self._rows, self._stand_in, self._result = part, rows, stand_in, result
        self._first_item = part.first_item
        streams = [
            replace(stream, rows=None if stream.rows is None else final)
            for stream, final in zip(part.header.streams, rows, strict=True)
        ]
        self._header = replace(part.header, streams=tuple(streams))
        self._writer = ArchiveWriter(out, self._header)
        self._clocked = [0] * len(part.header.items)  # rows of each item that have times
        for stream, final in zip(streams, rows, strict=True):
            if stream.timed:
                self._clocked[stream.item] = final
        self._clocks = [_Clock(item.timebase) for item in self._header.items]
        self._stand_ins = 0
        self._declared: list[dict[str, Any]] = []
        used = [int(one["segment"].max()) for one in (part.table.data, part.table.models) if len(one)]
        self._spare_segment = max(used, default=-1) + 1

    def take(self, chunk: _Chunk) -> None:
        """Copy a chunk, after whatever is missing before it."""
        match chunk.record:
            case CodebookRecord(digest, size, payload):
                self._writer.codebook(digest, payload, size)
            case ModelsRecord(stream, segment, payload):
                self._writer.models(stream, segment, payload)
            case TimesRecord():
                self._clock(chunk.content)
            case DataRecord() if (record := _usable(chunk)) is not None:
                self._data(record, chunk.content)

    def _clock(self, content: bytes) -> None:
        try:
            record, starts, ends = times.from_content(content, "times")
        except CorruptArchive:
            return
        self._fill_times(record.item, record.row0, record.first)
        kept = max(0, self._clocked[record.item] - record.row0)  # times come before their rows, which a cut may cost
        if kept:
            self._times(record.item, starts[:kept], ends[:kept])

    def _data(self, record: DataRecord, content: bytes) -> None:
        stream = self._header.streams[record.stream]
        if stream.timed:
            self._fill_times(stream.item, record.row0, record.pts0)
            self._fill_times(stream.item, record.stop, record.pts1)
        self._fill_rows(record.stream, record.row0)
        _, start = DataRecord.from_content(content, ragged=stream.ragged, where="chunk")
        self._writer.data(record, content[start:])
        self._result.chunks += 1

    def finish(self) -> None:
        """What is missing at the end, and the end matter."""
        for number, rows in enumerate(self._rows):
            stream = self._header.streams[number]
            if stream.timed:
                self._fill_times(stream.item, rows, None)
            self._fill_rows(number, rows)
            promised = self._part.header.streams[number].rows
            if promised is not None and promised > rows:  # behind a cut
                self._lose(number, rows, promised)
        summary = self._part.summary or {}
        self._result.summaries &= self._part.summary is not None
        if self._declared or "lost" in summary:
            summary = {key: summary[key] for key in _STATED if key in summary}
            summary["lost"] = sorted(self._declared, key=lambda one: (one["stream"], one["rows"]))
        self._writer.finish(summary)

    def _times(self, item: int, starts: np.ndarray, ends: np.ndarray) -> None:
        self._writer.times(item, self._writer.times_rows(item), starts, ends)
        self._clocks[item].add(starts, ends)

    def _fill_times(self, item: int, stop: int, until: int | None) -> None:
        """Times for the rows up to `stop` that have none, evenly up to tick `until` where that is known."""
        row0, stop = self._writer.times_rows(item), min(stop, self._clocked[item])
        if row0 < stop:
            for starts, ends in self._clocks[item].spread(stop - row0, until):
                self._times(item, starts, ends)
            self._result.lost_times.append((self._first_item + item, row0, stop))

    def _fill_rows(self, number: int, stop: int) -> None:
        """Chunks that stand for the rows of a stream up to `stop` that are lost."""
        stream, limits = self._header.streams[number], self._header.limits
        row0 = self._writer.rows(number)
        if row0 >= stop:
            return
        self._lose(number, row0, stop)
        clock = self._clocks[stream.item].rows if stream.timed else None
        values = 1 if stream.ragged else max(1, stream.row_values)
        most = max(1, min(limits.max_chunk_rows, limits.max_chunk_values // values, _STAND_IN_VALUES // values))
        self._stand_ins += -(-(stop - row0) // most)
        if self._stand_ins > _MAX_STAND_INS:
            raise CorruptArchive(f"stream {stream.name!r}: rows {row0} to {stop} are lost, which is beyond repair")
        for first in range(row0, stop, most):
            last = min(first + most, stop)
            payload, symbol_crc = self._stand_in(stream, last - first)
            record = DataRecord(
                stream=number,
                segment=self._spare_segment,
                row0=first,
                rows=last - first,
                kind=0,
                symbol_crc=symbol_crc,
                token_counts=(0,) * (last - first) if stream.ragged else None,
                pts0=clock.start(first) if clock is not None else 0,
                pts1=clock.end(last - 1) if clock is not None else 0,
            )
            self._writer.data(record, payload)

    def _lose(self, number: int, row0: int, stop: int) -> None:
        stream = self._header.streams[number]
        clock, main = self._clocks[stream.item], self._header.items[stream.item].clock
        if main is None:
            main = stream.item
        else:
            clock.rows.goes_by(self._clocks[main].rows)
        seconds = clock.seconds(row0, stop) if stream.timed else None
        self._declared.append({"stream": number, "rows": [row0, stop]})
        self._result.lost.append(LostRows(self._first_item + main, stream.name, row0, stop, seconds))


class _Clock:
    """Start and end of every row of an item so far."""

    def __init__(self, timebase: tuple[int, int] | None) -> None:
        self._timed = timebase is not None
        self.rows = Timeline.of((), 0, Fraction(*timebase or (1, 1)))

    def add(self, starts: np.ndarray, ends: np.ndarray) -> None:
        _, ticks = times.ticks_of(times.to_content(0, 0, starts, ends), "times")
        self.rows.add(ticks)

    def spread(self, rows: int, until: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(starts, ends) of `rows` more rows, in pieces: evenly up to tick `until`, or as long as the row before."""
        last = len(self.rows) - 1
        begin = self.rows.end(last) if last >= 0 else 0
        if until is None:
            until = begin + rows * max(1, begin - self.rows.start(last) if last >= 0 else 1)
        for row in range(0, rows, spec.MAX_TIMES_ROWS):
            edges = begin + (until - begin) * np.arange(row, min(row + spec.MAX_TIMES_ROWS, rows) + 1) // rows
            yield edges[:-1], edges[1:]

    def seconds(self, row0: int, stop: int) -> tuple[float, float] | None:
        """When rows [row0, stop) are, on the clock of the item; None where that is not known."""
        if not self._timed or stop > len(self.rows):
            return None
        return self.rows.seconds(row0), float((self.rows.end(stop - 1) - self.rows.zero) * self.rows.timebase)
