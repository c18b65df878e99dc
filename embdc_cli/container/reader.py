"""Reading an archive: open it from its end, look rows up, fetch chunks, and check all of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from embdc_cli.container import report, spec, times
from embdc_cli.container.chunk import CodebookRecord
from embdc_cli.container.contents import Damage, Entry, Item, Part, Stream, items_of
from embdc_cli.container.fetching import ChunkReader, OnDamage
from embdc_cli.container.header import Header
from embdc_cli.container.losses import with_losses
from embdc_cli.container.opening import open_parts
from embdc_cli.container.storage import Storage, open_storage
from embdc_cli.container.verify import verify
from embdc_cli.errors import CorruptArchive
from embdc_cli.traffic import Traffic
from embdc_cli.values import Ticks, Timeline


class ArchiveReader:
    """An open archive.

    complete: every part has its tail and all its chunks. parts, items: in file order; items are numbered over all
    parts. damage: what opening found wrong, and what a repair has declared as lost.
    """

    def __init__(self, storage: Storage, source: str | os.PathLike[str] | None = None) -> None:
        self.storage = storage
        parts, damage = open_parts(storage)
        self.parts: tuple[Part, ...] = tuple(parts)
        self.items: tuple[Item, ...] = items_of(parts)
        self.damage: tuple[Damage, ...] = with_losses(damage, parts, self.items)
        self.file_bytes = storage.size
        self._source = source
        self._chunks = ChunkReader(storage, self.parts)
        self._timelines: dict[int, Timeline | None] = {}

    @classmethod
    def open(cls, source: str | os.PathLike[str] | BinaryIO, **options: Any) -> ArchiveReader:
        """The archive at a local path, an fsspec URL (`options` go to its file system) or in a seekable file object.

        Raises: SourceError when it cannot be read, CorruptArchive when nothing of it can, UnsupportedArchive.
        """
        storage = open_storage(source, **options)
        try:
            return cls(storage, source if isinstance(source, str | os.PathLike) and not options else None)
        except BaseException:
            storage.close()
            raise

    def __reduce__(self) -> tuple[object, ...]:
        if self._source is None:
            raise TypeError(f"{self.storage.name}: only an archive opened by its name can go to another process")
        return ArchiveReader.open, (self._source,)

    @property
    def complete(self) -> bool:
        """Whether nothing before the end matter of any part is missing."""
        covered = all(any(part.covers(one) for part in self.parts) for one in self.damage)
        return covered and all(part.complete for part in self.parts)

    @property
    def header(self) -> Header:
        """The header of the first part."""
        return self.parts[0].header

    @property
    def summary(self) -> dict[str, Any] | None:
        """The summary of the first part; further parts have their own."""
        return self.parts[0].summary

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of all items, in order."""
        return tuple(stream for item in self.items for stream in item.streams)

    @property
    def traffic(self) -> Traffic:
        """What was read so far, opening included."""
        return self.storage.traffic

    @property
    def reads(self) -> int:
        """Byte ranges read so far."""
        return self.storage.reads

    @property
    def round_trips(self) -> int:
        """Requests sent so far; the ranges of one travel together."""
        return self.storage.round_trips

    @property
    def bytes_read(self) -> int:
        """Bytes received so far."""
        return self.storage.bytes_read

    @property
    def held_bytes(self) -> int:
        """Memory of the index, of models that are kept, as they are coded, and of what opening brought beforehand."""
        columns = (column for part in self.parts for column in vars(part.table).values())
        return self.storage.held_bytes + self._chunks.models_bytes + sum(int(column.nbytes) for column in columns)

    def fetch(self, entries: Iterable[Entry], *, on_damage: OnDamage | None = None) -> Iterator[tuple[Entry, bytes]]:
        """(entry with its full record, codec payload) of each of `entries`, in their order, verified.

        A segment's models come in the round trip of its first chunk, so ask for them after it.
        Raises: CorruptArchive at the first damaged chunk, unless `on_damage(entry, error)` is given.
        """
        return self._chunks.fetch(entries, on_damage)

    def ahead(self, entries: Sequence[Entry]) -> AbstractContextManager[None]:
        """Inside the block these chunks are going to be fetched, about in this order: over a network in advance."""
        return self._chunks.ahead(entries)

    def start(self, entry: Entry, size: int) -> tuple[bytes, int]:
        """(the first `size` bytes of a chunk's codec payload, or all; how many there are), the bytes not verified."""
        return self._chunks.start(entry, size)

    def models(self, stream: Stream, segment: int) -> bytes:
        """The models of a segment of `stream`, b"" when it has none. Raises: CorruptArchive."""
        return self._chunks.models(stream.part, stream.number, segment)

    def codebooks(self) -> dict[bytes, int]:
        """Bytes of each codebook that the archive embeds or refers to, by SHA-256."""
        return {bytes(one["digest"]): int(one["size"]) for part in self.parts for one in part.table.codebooks}

    def codebook(self, digest: bytes) -> bytes | None:
        """The embedded codebook with this SHA-256, or None when it is not embedded. Raises: CorruptArchive."""
        for part in self.parts:
            for one in part.table.codebooks:
                if bytes(one["digest"]) == digest and one["embedded"]:
                    content = self._chunks.content(part.number, int(one["chunk"]))
                    payload = CodebookRecord.from_content(content, self.storage.name).payload
                    if payload is None or hashlib.sha256(payload).digest() != digest:
                        raise CorruptArchive(f"{self.storage.name}: embedded codebook is not {digest.hex()}")
                    return payload
        return None

    def timeline(self, item: Item) -> Timeline | None:
        """Start and end of every row of `item`, None when it has no times; a constant rate costs no read.

        Raises: CorruptArchive when the times of some rows are lost.
        """
        if item.number not in self._timelines:
            timeline = self._read_timeline(item)
            if timeline is not None and item.clock != item.number:
                main = self.timeline(self.items[item.clock])
                assert main is not None  # the header says so
                timeline.goes_by(main)
            self._timelines[item.number] = timeline
        return self._timelines[item.number]

    def zero(self, item: Item) -> Fraction:
        """`Timeline.zero` of `item`, which has a timebase, by the index alone; 0 where it has no times."""
        assert item.header.timebase is not None
        for one in (self.items[item.clock], item):
            times = self.parts[one.part].table.times[self._times_of(one)]
            if one.header.timebase is not None and len(times):
                ticks = Fraction(*one.header.timebase) / Fraction(*item.header.timebase)
                return int(times["first"][0]) * ticks
        return Fraction(0)

    def _times_of(self, item: Item) -> np.ndarray:
        """The numbers of the times of `item` in the table of its part."""
        # times come before their chunks, so a cut archive may hold more of them than rows; a forged one far more
        times = self.parts[item.part].table.times
        return np.flatnonzero((times["item"] == item.local) & (times["row0"] < _known_rows(item)))

    def _read_timeline(self, item: Item) -> Timeline | None:
        if item.header.timebase is None:
            return None
        table, known = self.parts[item.part].table, _known_rows(item)
        numbers = self._times_of(item)
        records = [table.times_record(int(number)) for number in numbers]
        variable = [at for at, record in enumerate(records) if not record.step]
        places = table.times["chunk"][numbers[variable]].tolist()
        contents = self._chunks.contents(item.part, places) if places else []
        columns = dict(zip(variable, contents, strict=True))
        pieces: list[Ticks] = []
        rows = 0
        for at, record in enumerate(records):
            if record.row0 != rows:
                raise CorruptArchive(f"{self.storage.name}: times of rows {rows} to {record.row0 - 1} are lost")
            rows = record.stop
            pieces.append(record.constant() if record.step else self._ticks(columns[at], record))
        if rows < known != spec.MAX_TIMELINE_ROWS:
            raise CorruptArchive(f"{self.storage.name}: times of rows {rows} to {known - 1} are lost")
        return Timeline.of(pieces, known, Fraction(*item.header.timebase))

    def _ticks(self, content: bytes, expected: times.TimesRecord) -> Ticks:
        record, ticks = times.ticks_of(content, self.storage.name)
        if record != expected:
            raise CorruptArchive(f"{self.storage.name}: times of row {expected.row0} and the index disagree")
        return ticks

    def content(self, part: Part, place: int) -> bytes:
        """The content of any listed chunk: number `place` of a part's table, verified. Raises: CorruptArchive."""
        return self._chunks.content(part.number, place)

    def report(self) -> dict[str, int]:
        """Bytes by what they are for, summing to file_bytes."""
        return report.parts(self.parts, self.file_bytes)

    def verify(self, progress: Callable[[int, int], None] | None = None, *, digests: bool = True) -> tuple[Damage, ...]:
        """Everything wrong with any byte of the archive, () when nothing is; `progress(bytes done, file_bytes)`.

        digests: also the SHA-256 of every chunk, which takes most of the time.
        """
        return verify(self.storage, self.parts, self.items, self.damage, progress, digests=digests)

    def forget(self) -> None:
        """Let go of all that can be read again: models, times, and bytes that opening brought beforehand."""
        self._chunks.forget()
        self._timelines.clear()
        self.storage.forget()

    def close(self) -> None:
        """Close what `open` opened."""
        self.storage.close()

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _known_rows(item: Item) -> int:
    """Rows of `item` whose times count."""
    return max((stream.rows for stream in item.streams if stream.header.timed), default=spec.MAX_TIMELINE_ROWS)
