"""Finding every whole chunk of a file from front to back, without trusting index or tail.

Used where there is no tail, where it or the index is damaged, and to verify. Every payload is read and checked;
memory is one chunk and a read-ahead block.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from embdc_cli.container import admission, spec, summary, tail
from embdc_cli.container.contents import Damage, Part
from embdc_cli.container.framing import ChunkHeader, parse_header, signature_of, version_of, view_of
from embdc_cli.container.header import Header
from embdc_cli.container.packed_json import unpack
from embdc_cli.container.partlog import PartLog, Record
from embdc_cli.container.storage import Storage
from embdc_cli.container.tail import Tail
from embdc_cli.container.unknown import check_type
from embdc_cli.errors import CorruptArchive, UnsupportedArchive

_BLOCK_BYTES: Final = 1 << 20
_LARGE_BYTES: Final = 1 << 22
_MAX_FAILED_RATIO: Final = 4
_MAX_FAILED_BYTES: Final = 1 << 30


@dataclass
class ScannedPart:
    """A part as far as it was found. end: file offset behind its last whole chunk."""

    offset: int
    signature: bytes
    head: bytes
    log: PartLog
    part_id: int
    end: int
    first_gap: int | None = None  # file offset where the first missing chunk would begin
    tail: Tail | None = None
    summary: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """Whether the tail is there and nothing before the end matter is missing."""
        if self.tail is None or self.offset + self.tail.part_bytes != self.end:
            return False
        return self.first_gap is None or self.first_gap >= self.end - tail.CHUNK_BYTES - self.tail.to_digests

    def part(self, number: int, first_item: int) -> Part:
        """The part as the reader shows it."""
        return Part(
            number=number,
            offset=self.offset,
            length=self.end - self.offset,
            head=self.head,
            header=self.log.header,
            table=self.log.builder.table(),
            summary=self.summary,
            tail=self.tail,
            complete=self.complete,
            first_item=first_item,
        )


@dataclass(frozen=True)
class ScannedChunk:
    """A whole chunk, checked, at file offset `offset`; `view` is the payload without mask and padding."""

    part: ScannedPart
    offset: int
    header: ChunkHeader
    raw_header: bytes
    stored: bytes
    view: memoryview
    record: Record

    @property
    def content(self) -> bytes:
        """A copy of `view`."""
        return bytes(self.view)


@dataclass
class Scan:
    """What a scan found: parts in file order, and every stretch of bytes that is not what it should be."""

    parts: list[ScannedPart] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)


def scan(
    storage: Storage,
    start: int,
    stop: int,
    on_chunk: Callable[[ScannedChunk], None] | None = None,
    *,
    going_on: ScannedPart | None = None,
    heads: Sequence[Part] = (),
    digests: bool = False,
) -> Scan:
    """Everything readable in bytes [start, stop) of the file; `on_chunk` gets each whole chunk before the log of
    its part does, and may refuse it with CorruptArchive.
    going_on: a part whose chunks before `start` are known already. heads: parts known from their ends, for chunks whose
    own header is damaged. digests: also take the digest of every chunk.

    Raises: UnsupportedArchive for a newer format version or an unknown critical chunk.
    """
    with storage.ahead([(start, stop)]):
        return _Scanner(storage, start, stop, on_chunk, going_on, heads, digests=digests).run()


class _Scanner:
    def __init__(
        self,
        storage: Storage,
        start: int,
        stop: int,
        on_chunk: Callable[[ScannedChunk], None] | None,
        going_on: ScannedPart | None = None,
        heads: Sequence[Part] = (),
        *,
        digests: bool = False,
    ) -> None:
        self._bytes = _ReadAhead(storage, stop)
        self._storage = storage
        self._where = storage.name
        self._start, self._stop = start, stop
        self._on_chunk = on_chunk
        self._result = Scan([going_on] if going_on else [])
        self._current = going_on  # the part whose chunks come now; None before the first and after a tail
        self._heads = {part.part_id: part for part in heads}
        self._digests = digests
        self._signature_at: int | None = None
        self._failed_bytes = 0

    def run(self) -> Scan:
        place = self._start
        lost_from: int | None = None  # first byte of the stretch that is no chunk
        reason = ""
        while place < self._stop:
            size, problem = self._step(place)
            if size:
                if lost_from is not None:
                    self._lose(lost_from, place, reason)
                    lost_from = None
                place += size
                continue
            if lost_from is None:
                lost_from, reason = place, problem
            place = self._bytes.find((spec.SYNC, spec.MAGIC), place + 1)
        if lost_from is not None:
            self._lose(lost_from, self._stop, reason)
        self._close_part(self._stop)
        return self._result

    def grow(self, stop: int) -> None:
        """Go on up to byte `stop` of a file that has grown."""
        self._stop = stop
        self._bytes = _ReadAhead(self._storage, stop)

    def _step(self, place: int) -> tuple[int, str]:
        """(bytes of what is whole at `place`, "") or (0, why nothing is)."""
        if self._bytes.read(place, len(spec.MAGIC)) == spec.MAGIC:
            try:
                version_of(self._bytes.read(place, spec.SIGNATURE_BYTES), f"{self._where}: byte {place}")
            except CorruptArchive:
                return 0, "damaged signature"
            except UnsupportedArchive:
                # where the header behind it can be read, that one says which version it is
                if parse_header(self._bytes.read(place + spec.SIGNATURE_BYTES, spec.CHUNK_BYTES)) is None:
                    raise
                return 0, "damaged signature"
            self._signature_at = place
            return spec.SIGNATURE_BYTES, ""
        raw = self._bytes.read(place, spec.CHUNK_BYTES)
        header = parse_header(raw)
        if header is None:
            cut = len(raw) < spec.CHUNK_BYTES or self._stop - place < spec.CHUNK_BYTES
            return 0, "chunk header is cut" if cut else "expected a chunk, found other bytes"
        return self._chunk(place, raw, header)

    def _chunk(self, place: int, raw: bytes, header: ChunkHeader) -> tuple[int, str]:
        limits = self._current.log.header.limits if self._current else None
        if header.length > admission.max_payload(header.type, limits):
            return 0, f"{header.name} chunk of {header.length} bytes exceeds its limit"
        size = spec.CHUNK_BYTES + header.length
        if size > self._stop - place:
            return 0, f"{header.name} chunk is cut"
        stored = self._bytes.read(place + spec.CHUNK_BYTES, header.length)
        where = f"{self._where}: byte {place}"
        try:
            self._accept(place, raw, header, stored, view_of(header, stored, where), where)
        except CorruptArchive as error:
            self._charge(header.length)
            return 0, error.message.removeprefix(f"{where}: ")
        return size, ""

    def _charge(self, size: int) -> None:
        # a file made of headers with long payloads that all fail would be read once per header
        self._failed_bytes += size
        if self._failed_bytes > _MAX_FAILED_RATIO * (self._stop - self._start) + _MAX_FAILED_BYTES:
            raise CorruptArchive(f"{self._where}: damaged beyond reading: {self._failed_bytes} bytes of failed chunks")

    def _accept(self, place: int, raw: bytes, header: ChunkHeader, stored: bytes, view: memoryview, where: str) -> None:
        if header.type == spec.HEAD and header.seq == 0:
            self._open_part(place, header, bytes(view), where)
        elif self._current is None or header.part_id != self._current.part_id:
            self._open_known(place, header)
        part = self._current
        if part is None or header.part_id != part.part_id or header.seq < part.log.seq:
            raise CorruptArchive(f"{where}: {header.name} chunk {header.seq} of a part whose header is lost")
        check_type(header, where)
        record = part.log.admit(header, view, where)
        sealed = Tail.from_content(bytes(view), place + tail.CHUNK_BYTES, where) if header.type == spec.TAIL else None
        if header.type == spec.SUMMARY:
            part.summary = summary.parse(bytes(view), where)
        if header.seq != part.log.seq:
            if part.first_gap is None:
                part.first_gap = part.end
            if place == part.end:  # no damaged bytes stand for them
                missing = f"chunks {part.log.seq} to {header.seq - 1} are missing"
                self._result.damage.append(Damage(place, 0, missing))
        if header.type == spec.TAIL:
            assert sealed is not None
            self._check_seal(part, sealed, place)
            part.tail = sealed
        part.log.offset = place - part.offset
        if self._on_chunk is not None:
            self._on_chunk(ScannedChunk(part, place, header, raw, stored, view, record))
        part.log.add(header, raw, stored, len(view), record)
        part.end = place + spec.CHUNK_BYTES + len(stored)
        if part.tail is not None:
            self._current = None

    def _check_seal(self, part: ScannedPart, sealed: Tail, place: int) -> None:
        size = place + tail.CHUNK_BYTES - part.offset
        if sealed.part_bytes != size:
            raise CorruptArchive(f"tail of a part of {sealed.part_bytes} bytes, found {size}")
        version = part.log.header.version
        if sealed.version != version:
            raise CorruptArchive(f"tail of version {sealed.version} of a part of version {version}")
        known = part.first_gap is None and len(part.log.leaves) == part.log.seq
        if known and sealed.root != tail.root_of(part.signature or signature_of(version), part.log.leaves):
            self._result.damage.append(Damage(place, tail.CHUNK_BYTES, "digest tree and chunks disagree"))

    def _open_part(self, place: int, header: ChunkHeader, content: bytes, where: str) -> None:
        head = unpack(content, f"{where}: header")
        if zlib.crc32(head) != header.part_id:
            raise CorruptArchive(f"{where}: header and part number disagree")
        parsed = Header.from_payload(head)
        self._close_part(place)
        start = place - spec.SIGNATURE_BYTES
        if start < self._start:
            raise CorruptArchive(f"{where}: header without the {spec.SIGNATURE_BYTES} bytes that come before it")
        signature = self._bytes.read(start, spec.SIGNATURE_BYTES) if self._signature_at == start else b""
        if signature and version_of(signature, where) != parsed.version:
            self._result.damage.append(Damage(start, spec.SIGNATURE_BYTES, "damaged signature"))
            signature = b""
        log = PartLog(parsed, digests=self._digests)
        self._current = ScannedPart(start, signature, head, log, header.part_id, place)
        self._result.parts.append(self._current)

    def _open_known(self, place: int, header: ChunkHeader) -> None:
        """Begin the part of a chunk whose HEAD is damaged, where its end has told of it."""
        known = self._heads.pop(header.part_id, None)
        if known is None or not known.offset < place < known.offset + known.length:
            return
        self._close_part(place)
        log = PartLog(known.header, digests=self._digests)
        begin = known.offset + spec.SIGNATURE_BYTES
        self._current = ScannedPart(known.offset, b"", known.head, log, known.part_id, begin, first_gap=begin)
        self._result.parts.append(self._current)

    def _close_part(self, place: int) -> None:
        if self._current is not None:
            self._result.damage.append(Damage(place, 0, "the part ends without a tail"))
            self._current = None

    def _lose(self, start: int, stop: int, reason: str) -> None:
        self._result.damage.append(Damage(start, stop - start, reason))


class _ReadAhead:
    """Bytes of a file for somebody who reads mostly forward."""

    def __init__(self, storage: Storage, stop: int) -> None:
        self._storage = storage
        self._stop = stop
        self._start = 0
        self._data = b""

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes at `start`, less at the end."""
        stop = min(start + size, self._stop)
        have = self._start + len(self._data)
        if size > _LARGE_BYTES:
            return self._storage.read(start, stop)  # what was read ahead once more, instead of copying all of it
        if start < self._start or stop > have:
            kept = self._data[start - self._start :] if self._start <= start <= have else b""
            begin = start + len(kept)
            more = self._storage.read(begin, min(max(stop, begin + _BLOCK_BYTES), self._stop))
            self._start, self._data = start, kept + more
        return self._data[start - self._start : stop - self._start]

    def find(self, markers: tuple[bytes, ...], start: int) -> int:
        """The first place from `start` on where one of `markers` begins; the end when there is none."""
        longest = max(map(len, markers))
        while start < self._stop:
            block = self.read(start, _BLOCK_BYTES)
            places = [place for marker in markers if (place := block.find(marker)) >= 0]
            if places:
                return start + min(places)
            if start + len(block) >= self._stop or not block:
                break
            start += len(block) - longest + 1
        return self._stop


def whole_chunks(storage: Storage, start: int, stop: int) -> Iterator[ScannedChunk]:
    """The whole chunks of the first part in bytes [start, stop), up to the first byte that is not right."""
    scanner = _Scanner(storage, start, stop, None)
    found: list[ScannedChunk] = []
    scanner._on_chunk = found.append
    place = start
    while place < stop:
        size, _ = scanner._step(place)
        parts = scanner._result.parts
        if not size or len(parts) > 1 or (parts and parts[0].first_gap is not None):
            return
        yield from found
        found.clear()
        place += size


class GrowingScan:
    """The whole chunks of a file that somebody is still writing, in order, each as soon as it is there.

    place: file offset behind what was found. problem: why nothing whole follows there, "" at the end of the file.
    cut: whether that is only because the file ends in the middle of it. sealed: whether a tail is the last found.
    """

    def __init__(self, storage: Storage) -> None:
        self._scanner = _Scanner(storage, 0, 0, self._found)
        self._storage = storage
        self._chunks: list[ScannedChunk] = []
        self.place = 0
        self.problem = ""
        self.cut = False
        self.sealed = False

    def more(self, stop: int) -> Iterator[ScannedChunk]:
        """The chunks that are whole now that the file has `stop` bytes.

        Raises: CorruptArchive for a chunk that is missing; UnsupportedArchive.
        """
        self._scanner.grow(stop)
        self.problem, self.cut = "", False
        while self.place < stop:
            left = stop - self.place
            if left < spec.SIGNATURE_BYTES:
                self.problem, self.cut = "chunk header is cut", True
                return
            size, self.problem = self._scanner._step(self.place)
            if not size:
                self.cut = self.problem.endswith("is cut")
                return
            if self._scanner._result.damage:
                one = self._scanner._result.damage[0]
                raise CorruptArchive(f"{self._storage.name}: byte {one.offset}: {one.what}")
            self.place += size
            found, self._chunks = self._chunks, []
            yield from found

    def _found(self, chunk: ScannedChunk) -> None:
        self.sealed = chunk.header.type == spec.TAIL
        self._chunks.append(chunk)
