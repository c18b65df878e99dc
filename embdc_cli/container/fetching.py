"""Reading chunks by index entry: every byte is checked against its header, and every header against the index."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.container import spec
from embdc_cli.container.admission import fits
from embdc_cli.container.chunk import DataRecord, ModelsRecord
from embdc_cli.container.contents import Entry, Part
from embdc_cli.container.framing import ChunkHeader, apply_mask, chunk_bytes, content_of, parse_header
from embdc_cli.container.readahead import BATCH_BYTES, Range, merged
from embdc_cli.container.storage import Storage
from embdc_cli.errors import CorruptArchive

_KEPT_MODELS_BYTES: Final = 64 << 20

OnDamage = Callable[[Entry, CorruptArchive], None]
_Segment = tuple[int, int, int]  # part, stream, segment


@dataclass(frozen=True)
class _Models:
    payload: bytes
    crc: int


class ChunkReader:
    """Fetches chunks, models and other listed chunks of the parts of one archive."""

    def __init__(self, storage: Storage, parts: Sequence[Part]) -> None:
        self._storage = storage
        self._parts = parts
        self._lock = threading.Lock()
        self._models: OrderedDict[_Segment, _Models] = OrderedDict()
        self._places = [_model_places(part) for part in parts]

    @property
    def models_bytes(self) -> int:
        """Of models that are kept."""
        with self._lock:
            return sum(len(models.payload) for models in self._models.values())

    def forget(self) -> None:
        """Let go of models that are kept; they are read again when they are wanted."""
        with self._lock:
            self._models.clear()

    def fetch(self, entries: Iterable[Entry], on_damage: OnDamage | None = None) -> Iterator[tuple[Entry, bytes]]:
        """(entry with its full record, codec payload) of each of `entries`, in their order.

        The models that a batch needs for the first time travel in the same round trip.
        Raises: CorruptArchive at the first damaged chunk, unless `on_damage` takes it and the next one follows.
        """
        listed = list(entries)
        with self.ahead(listed):
            yield from self._fetched(listed, on_damage)

    @contextmanager
    def ahead(self, entries: Sequence[Entry]) -> Iterator[None]:
        """Inside the block these chunks are going to be fetched, about in this order: see `Storage.ahead`."""
        if len(entries) < 2:
            yield
            return
        missing = [key for key in dict.fromkeys(map(_segment_of, entries)) if self._kept(key) is None]
        models = [self._range(key[0], place) for key in missing if (place := self._place_of(key)) is not None]
        wanted = [*models, *((entry.offset, entry.offset + entry.length) for entry in entries)]
        with self._storage.ahead(wanted):
            yield

    def _fetched(self, entries: Sequence[Entry], on_damage: OnDamage | None) -> Iterator[tuple[Entry, bytes]]:
        for batch in _batches(entries):
            blobs, models = self._read_batch(batch)
            for entry, blob in zip(batch, blobs, strict=True):
                try:
                    found = self._checked(entry, blob, models.get(_segment_of(entry)))
                except CorruptArchive as error:
                    if on_damage is None:
                        raise
                    on_damage(entry, error)
                    continue
                yield found

    def start(self, entry: Entry, size: int) -> tuple[bytes, int]:
        """(the first `size` bytes of a chunk's codec payload, or all; how many there are).

        Header and record are checked, the bytes are not: whoever reads them has to. Raises: CorruptArchive.
        """
        part = self._parts[entry.part]
        where = f"{self._storage.name}: byte {entry.offset}"
        wanted = spec.CHUNK_BYTES + spec.DATA_BYTES + size + 1
        blob = self._storage.read(entry.offset, entry.offset + min(entry.length, wanted))
        header = self._header(part, blob, spec.DATA, entry.seq, entry.length, where)
        stored = blob[spec.CHUNK_BYTES :]
        plain = apply_mask(stored[: len(stored) // 2 * 2], header.mask)[: header.content_bytes]
        record, tokens_bytes = DataRecord.prefix_of(plain, where)
        if tokens_bytes or record.indexed() != entry.record.indexed():
            raise CorruptArchive(f"{where}: chunk {entry.seq} and the index disagree about what it holds")
        if record.models_crc != zlib.crc32(self.models(*_segment_of(entry))):
            raise CorruptArchive(f"{where}: chunk {entry.seq} was made with other models than those of its segment")
        return plain[spec.DATA_BYTES :][:size], header.content_bytes - spec.DATA_BYTES

    def models(self, part: int, stream: int, segment: int) -> bytes:
        """The models of a segment, b"" when it has none. Raises: CorruptArchive."""
        key = (part, stream, segment)
        models = self._kept(key)
        if models is None:
            place = self._place_of(key)
            if place is None:
                return b""
            models = self._parsed(key, place, self._storage.read(*self._range(part, place)))
            self._keep({key: models})
        return models.payload

    def content(self, part: int, place: int) -> bytes:
        """The content of chunk number `place` of a part's table. Raises: CorruptArchive."""
        return self.contents(part, [place])[0]

    def contents(self, part: int, places: Sequence[int]) -> list[bytes]:
        """The contents of several chunks of a part, in one round trip. Raises: CorruptArchive."""
        blobs = self._storage.read_many([self._range(part, place) for place in places])
        return [self._content(part, place, blob) for place, blob in zip(places, blobs, strict=True)]

    def _read_batch(self, batch: Sequence[Entry]) -> tuple[list[bytes], dict[_Segment, _Models | CorruptArchive]]:
        """The stored chunks of a batch, and the models of its segments or why they cannot be had."""
        models: dict[_Segment, _Models | CorruptArchive] = {}
        wanted: dict[_Segment, int] = {}
        for key in dict.fromkeys(map(_segment_of, batch)):
            if (kept := self._kept(key)) is not None:
                models[key] = kept
            elif (place := self._place_of(key)) is not None:
                wanted[key] = place
        ranges = [self._range(key[0], place) for key, place in wanted.items()]
        ranges += [(entry.offset, entry.offset + entry.length) for entry in batch]
        blobs = _read_merged(self._storage, ranges)
        for (key, place), blob in zip(wanted.items(), blobs, strict=False):
            try:
                models[key] = self._parsed(key, place, blob)
            except CorruptArchive as error:
                models[key] = error
        self._keep({key: found for key, found in models.items() if isinstance(found, _Models)})
        return blobs[len(wanted) :], models

    def _checked(self, entry: Entry, blob: bytes, models: _Models | CorruptArchive | None) -> tuple[Entry, bytes]:
        if isinstance(models, CorruptArchive):
            raise models
        part = self._parts[entry.part]
        where = f"{self._storage.name}: byte {entry.offset}"
        content = self._verified(part, blob, spec.DATA, entry.seq, entry.length, where)
        stream = part.header.streams[entry.record.stream]
        record, start = DataRecord.from_content(content, ragged=stream.ragged, where=where)
        if record.indexed() != entry.record.indexed():
            raise CorruptArchive(f"{where}: chunk {entry.seq} and the index disagree about what it holds")
        if record.token_counts is not None:
            values = sum(record.token_counts) * stream.row_values
            if not fits(record.rows, values, len(content), part.header.limits):
                raise CorruptArchive(f"{where}: {values} values in {len(content)} bytes exceed the limits")
        if record.models_crc != (models.crc if models else 0):
            raise CorruptArchive(
                f"{where}: chunk {entry.seq} was made with other models than those of segment {record.segment}"
            )
        return replace(entry, record=record), content[start:]

    def _content(self, part: int, place: int, blob: bytes) -> bytes:
        chunk = self._parts[part].table.chunks[place]
        start, _ = self._range(part, place)
        code = int(chunk["code"])
        kind = next(kind for kind, known in spec.TYPE_CODES.items() if known == code)
        size = chunk_bytes(int(chunk["content"]))
        return self._verified(
            self._parts[part], blob, kind, int(chunk["seq"]), size, f"{self._storage.name}: byte {start}"
        )

    @staticmethod
    def _verified(part: Part, blob: bytes, kind: bytes, seq: int, size: int, where: str) -> bytes:
        if len(blob) != size:
            raise CorruptArchive(f"{where}: expected a chunk of {size} bytes, found {len(blob)}")
        header = ChunkReader._header(part, blob, kind, seq, size, where)
        return content_of(header, blob[spec.CHUNK_BYTES :], where)

    @staticmethod
    def _header(part: Part, blob: bytes, kind: bytes, seq: int, size: int, where: str) -> ChunkHeader:
        """The header at the start of a chunk of `size` bytes, which has to be that one."""
        header = parse_header(blob)
        if header is None:
            raise CorruptArchive(f"{where}: expected {kind.decode()} chunk {seq}, its header is damaged")
        if (header.type, header.part_id, header.seq) != (kind, part.part_id, seq):
            raise CorruptArchive(f"{where}: the index says {kind.decode()} {seq}, found {header.name} {header.seq}")
        if spec.CHUNK_BYTES + header.length != size:
            raise CorruptArchive(f"{where}: the index says {size} bytes, found {spec.CHUNK_BYTES + header.length}")
        return header

    def _place_of(self, key: _Segment) -> int | None:
        part, stream, segment = key
        return self._places[part].get((stream, segment))

    def _range(self, part: int, place: int) -> Range:
        chunk = self._parts[part].table.chunks[place]
        start = self._parts[part].offset + int(chunk["offset"])
        return start, start + chunk_bytes(int(chunk["content"]))

    def _parsed(self, key: _Segment, place: int, blob: bytes) -> _Models:
        record = ModelsRecord.from_content(self._content(key[0], place, blob), self._storage.name)
        if (record.stream, record.segment) != key[1:]:
            raise CorruptArchive(
                f"{self._storage.name}: the index says models of stream {key[1]}, segment {key[2]}, "
                f"found stream {record.stream}, segment {record.segment}"
            )
        return _Models(record.payload, zlib.crc32(record.payload))

    def _kept(self, key: _Segment) -> _Models | None:
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
            return self._models.get(key)

    def _keep(self, found: dict[_Segment, _Models]) -> None:
        """Remember models; forget those unused for longest, down to a bound, but none of `found`."""
        with self._lock:
            self._models.update(found)
            total = sum(len(models.payload) for models in self._models.values())
            for key in list(self._models):
                if total <= _KEPT_MODELS_BYTES:
                    break
                if key not in found:
                    total -= len(self._models.pop(key).payload)


def _segment_of(entry: Entry) -> _Segment:
    return entry.part, entry.record.stream, entry.record.segment


def _model_places(part: Part) -> dict[tuple[int, int], int]:
    table = part.table.models
    keys = zip(table["stream"].tolist(), table["segment"].tolist(), strict=True)
    return dict(zip(keys, table["chunk"].tolist(), strict=True))


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and size + entry.length > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.length
    if batch:
        yield batch


def _read_merged(storage: Storage, ranges: Sequence[Range]) -> list[bytes]:
    """The bytes of each range in one round trip; ranges that nearly touch are read as one."""
    together = merged(ranges, storage.gap_bytes)
    blobs = storage.read_many(together)
    starts = [start for start, _ in together]
    homes = np.searchsorted(starts, [start for start, _ in ranges], side="right") - 1
    return [
        blobs[home][start - starts[home] : stop - starts[home]]
        for home, (start, stop) in zip(homes.tolist(), ranges, strict=True)
    ]
