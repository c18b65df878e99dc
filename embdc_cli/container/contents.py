"""What a reader shows of an archive: parts, items, streams, chunk entries, damage. Plain values without I/O."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, overload

import numpy as np

from embdc_cli.container import spec
from embdc_cli.container.checked import Fields
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.framing import chunk_bytes
from embdc_cli.container.header import Header, ItemHeader, StreamHeader
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.tail import Tail
from embdc_cli.errors import CorruptArchive, UsageError
from embdc_cli.values import StreamSpec


@dataclass(frozen=True)
class LostRows:
    """Rows [row0, stop) of a stream that cannot be read.

    item: number of the item by whose clock they go. seconds: when, on that clock, where known.
    """

    item: int
    stream: str
    row0: int
    stop: int
    seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Damage:
    """`length` bytes at `offset` of the file that are not what they should be, and what was lost with them.

    declared: the bytes are right, and stand for rows that were lost before the archive was repaired.
    """

    offset: int
    length: int
    what: str
    lost: tuple[LostRows, ...] = ()
    declared: bool = False


@dataclass(frozen=True)
class Part:
    """One signature-to-tail run. length: bytes up to the tail's end, or as far as it is readable.

    head: the JSON of HEAD. tail: None when it is missing or was not reached. complete: tail and every chunk are there.
    first_item: number of its first item in the archive.
    """

    number: int
    offset: int
    length: int
    head: bytes
    header: Header
    table: ChunkTable
    summary: dict[str, Any] | None
    tail: Tail | None
    complete: bool
    first_item: int = 0

    @cached_property
    def lost(self) -> np.ndarray:
        """bool, of every DATA chunk of the table: whether it stands for rows that the summary declares as lost."""
        data = self.table.data
        found = np.zeros(len(data), bool)
        if self.summary is not None and "lost" in self.summary:
            for one in Fields(self.summary, "summary").objects("lost", 0, spec.MAX_JSON_BYTES):
                stream, rows = one.integer("stream", 0, spec.MAX_STREAMS), one.integers("rows", spec.MAX_ROWS)
                if len(rows) != 2:
                    raise CorruptArchive(f"{one.what}: expected first row and the row after the last, found {rows}")
                within = (data["row0"] < rows[1]) & (data["row0"] + data["rows"] > rows[0])
                found |= within & (data["stream"] == stream)
        return found

    def covers(self, damage: Damage) -> bool:
        """Whether damaged bytes lie within the part, so that it knows what they were."""
        return self.offset <= damage.offset and damage.offset + damage.length <= self.offset + self.length

    def seconds(self, local: int) -> float | None:
        """How long its item number `local` lasts: what the summary says of the only item, else what the index does.

        None without times, and while the part has no summary, which follows the last row.
        """
        if self.summary is None or len(self.header.items) == 1:
            return (self.summary or {}).get("duration_seconds")
        times = self.table.times[self.table.times["item"] == local]
        timebase = self.header.items[local].timebase
        if timebase is None or not len(times):
            return None
        return float((int(times["last"].max()) - int(times["first"].min())) * Fraction(*timebase))

    def source(self, local: int) -> dict[str, Any]:
        """What is known of the input of its item number `local`: at its start, and at its end."""
        return {**self.header.items[local].source, **self.item_summary(local).get("source", {})}

    def item_summary(self, local: int) -> dict[str, Any]:
        """What the summary says of item number `local` alone.

        Of an input that has no others but streams beside it that is what it says of the part.
        """
        summary = self.summary or {}
        listed: list[dict[str, Any]] = summary.get("items", [])
        if len(listed) == len(self.header.items):
            return listed[local]
        first = local == 0 and all(item.clock is not None for item in self.header.items[1:])
        return {"source": summary["source"]} if first and "source" in summary else {}

    @cached_property
    def part_id(self) -> int:
        """CRC-32 of the JSON of HEAD, in every chunk of the part."""
        return zlib.crc32(self.head)

    @cached_property
    def uuid(self) -> str:
        """Identity of the archive: 32 hex digits of the SHA-256 of the JSON of HEAD."""
        return hashlib.sha256(self.head).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """One DATA chunk: its record, and its `length` bytes at `offset` of the file. seq: number in part `part`."""

    record: DataRecord
    part: int
    seq: int
    offset: int
    length: int

    @property
    def row0(self) -> int:
        """First row."""
        return self.record.row0

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.record.stop


class Entries(Sequence[Entry]):
    """The chunks of one stream in order of rows; made when asked for, so that millions of them cost arrays only.

    rows: of the part's table, int64, those chunks in that order.
    """

    def __init__(self, part: Part, rows: np.ndarray) -> None:
        self._part = part
        self._rows = rows
        ordered = part.table.data[rows]
        self.starts: np.ndarray = ordered["row0"]
        self.stops: np.ndarray = ordered["row0"] + ordered["rows"]
        self.pts0: np.ndarray = ordered["pts0"]
        self.pts1: np.ndarray = ordered["pts1"]
        self._chunks: np.ndarray = ordered["chunk"]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        row = int(self._rows[index])
        chunk = self._part.table.chunks[self._part.table.data["chunk"][row]]
        return Entry(
            record=self._part.table.data_record(row),
            part=self._part.number,
            seq=int(chunk["seq"]),
            offset=self._part.offset + int(chunk["offset"]),
            length=chunk_bytes(int(chunk["content"])),
        )

    def __iter__(self) -> Iterator[Entry]:
        return (self[number] for number in range(len(self)))

    @property
    def payload_bytes(self) -> int:
        """Content bytes of all chunks, without chunk headers and padding."""
        return int(self._part.table.chunks["content"][self._chunks].sum())


@dataclass(frozen=True)
class Stream:
    """One named tensor. item: number of its item in the archive; number: its own number in its part.

    rows: rows up to the end of the last readable chunk.
    """

    item: int
    part: int
    number: int
    header: StreamHeader
    entries: Entries = field(repr=False)

    @property
    def name(self) -> str:
        """Name within its item."""
        return self.header.name

    @property
    def rows(self) -> int:
        """Rows that can be asked for: up to the end of the last readable chunk."""
        return int(self.entries.stops[-1]) if len(self.entries) else 0

    @property
    def spec(self) -> StreamSpec:
        """The stream as the plain value that codecs and sinks take; a tensor without rows is there or lost, whole."""
        one = self.header
        rows = self.rows if one.axes.startswith("t") else 1
        return StreamSpec(one.name, one.dtype, one.axes, one.row_shape, rows, one.special_tokens, one.ragged)

    def locate(self, start: int, stop: int) -> list[Entry]:
        """The chunks that hold rows [start, stop), in order.

        Raises: UsageError outside the stream, CorruptArchive when some of the rows are lost.
        """
        lost = self.missing(start, stop)
        if lost:
            raise CorruptArchive(
                f"stream {self.name!r}: rows {lost[0][0]} to {lost[0][1] - 1} are lost to damage",
                hint="--on-damage skip or nan decodes the rest",
            )
        return self.overlapping(start, stop)

    def overlapping(self, start: int, stop: int) -> list[Entry]:
        """The readable chunks with rows in [start, stop). Raises: UsageError outside the stream."""
        if not 0 <= start <= stop <= self.rows:
            raise UsageError(f"stream {self.name!r}: rows {start}:{stop}, expected within 0:{self.rows}")
        if start == stop:
            return []
        first = int(np.searchsorted(self.entries.stops, start, side="right"))
        last = int(np.searchsorted(self.entries.starts, stop, side="left"))
        return self.entries[first:last]

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Row ranges within [start, stop) that no readable chunk holds."""
        starts, stops = self.entries.starts, self.entries.stops
        if not len(starts):
            return []
        begins = np.concatenate([[0], stops[:-1]])
        gaps = np.flatnonzero(starts > begins)
        found = [(max(int(begins[gap]), start), min(int(starts[gap]), stop)) for gap in gaps]
        return [(low, high) for low, high in found if low < high]


@dataclass(frozen=True)
class Item:
    """One video or dump. number: in the archive; local: in its part. streams: in header order."""

    number: int
    part: int
    local: int
    header: ItemHeader
    streams: tuple[Stream, ...]

    @property
    def clock(self) -> int:
        """Number of the item whose first row is the beginning of time: itself, or the one that it lies beside."""
        return self.number if self.header.clock is None else self.number - self.local + self.header.clock

    @property
    def name(self) -> str:
        """The recorded name, else the number."""
        return self.header.name if self.header.name is not None else str(self.number)


def items_of(parts: Sequence[Part]) -> tuple[Item, ...]:
    """All items of all parts in file order, numbered 0, 1, ..."""
    items = []
    for part in parts:
        streams: list[list[Stream]] = [[] for _ in part.header.items]
        for number, (header, rows) in enumerate(zip(part.header.streams, _rows_of_streams(part), strict=True)):
            stream = Stream(part.first_item + header.item, part.number, number, header, Entries(part, rows))
            streams[header.item].append(stream)
        for local, item in enumerate(part.header.items):
            items.append(Item(part.first_item + local, part.number, local, item, tuple(streams[local])))
    return tuple(items)


def _rows_of_streams(part: Part) -> list[np.ndarray]:
    """For each stream the rows of the part's table with its readable chunks, which are in order (`admission`)."""
    streams = part.table.data["stream"]
    order = np.argsort(streams, kind="stable")
    order = order[~part.lost[order]]
    bounds = np.searchsorted(streams[order], np.arange(len(part.header.streams) + 1)).tolist()
    return [order[first:last] for first, last in pairwise(bounds)]
