"""Opening an archive from its end: tail, index, summary and header of each part, in one read where they fit."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Final

import numpy as np

from embdc_cli.container import admission, index, spec, summary, table, tail
from embdc_cli.container.contents import Damage, Part
from embdc_cli.container.framing import ChunkHeader, chunk_bytes, content_of, parse_header, version_of
from embdc_cli.container.header import Header
from embdc_cli.container.landmarks import find_landmark
from embdc_cli.container.packed_json import unpack
from embdc_cli.container.scan import scan
from embdc_cli.container.storage import Storage
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.tail import Tail
from embdc_cli.container.unknown import check_listed
from embdc_cli.errors import CorruptArchive, UnsupportedArchive

_MAX_WINDOW: Final = 1 << 20
_MAX_SEARCHES: Final = 16  # backward searches for a tail or checkpoint before everything is scanned
_MAX_END_BYTES: Final = spec.MAX_PAYLOAD_BYTES + 2 * spec.MAX_JSON_BYTES + (1 << 16)


def open_parts(storage: Storage) -> tuple[list[Part], list[Damage]]:
    """The parts of an archive in file order, and what is wrong with it as far as opening shows.

    Walks from tail to tail. Where there is no tail, the last tail or checkpoint index before it is searched, and only
    what follows is scanned; where tail or index are damaged, everything before is.
    Raises: CorruptArchive when there is no readable part, UnsupportedArchive when it needs a newer reader.
    """
    window = _Window(storage)
    found: list[Part] = []  # last part first
    damage: list[Damage] = []
    searches = 0
    end = storage.size
    while end > 0:
        part, problem, mark = None, [], None
        try:
            part = _part_before(window, end)
        except CorruptArchive as error:
            problem = [Damage(end, 0, f"end matter cannot be used: {error.message}")]
        if part is not None:
            found.append(part)
            end = part.offset
            continue
        if not found and not _begins_like_an_archive(storage):
            break  # some other file, perhaps a large one: nothing to search
        if not problem and searches < _MAX_SEARCHES:
            mark = find_landmark(storage, end)
            searches += 1
        start = mark.scan_from if mark else 0
        result = scan(storage, start, end, going_on=mark.part if mark else None)
        found += [one.part(0, 0) for one in reversed(result.parts)]
        damage += result.damage or problem  # the scan says more exactly where it is
        end = mark.begin if mark else 0
    if not found:
        raise _unreadable(storage, damage)
    return _numbered(found[::-1]), damage


def open_ends(storage: Storage) -> list[Part]:
    """The parts of an archive in file order, from heads and tails alone; nothing is searched or scanned.

    What does not end in a good tail is one part without tail, chunks or summary: what its header says.
    Raises: CorruptArchive when there is neither tail nor header, UnsupportedArchive when it needs a newer reader.
    """
    window = _Window(storage)
    found: list[Part] = []  # last part first
    end = storage.size
    while end > 0:
        try:
            part = _part_before(window, end)
        except CorruptArchive:
            part = None
        found.append(part or _headed_or_told(storage, end))
        end = found[-1].offset
    if not found:
        raise _unreadable(storage, [])
    return _numbered(found[::-1])


def _headed_or_told(storage: Storage, end: int) -> Part:
    """`_headed`; where that fails the reason is worded as `open_parts` words it. Raises: CorruptArchive."""
    try:
        return _headed(storage, end)
    except CorruptArchive as error:
        damage = scan(storage, 0, min(end, spec.OPENING_BYTES)).damage
        if not damage:
            raise
        raise _unreadable(storage, damage) from error


def _headed(storage: Storage, end: int) -> Part:
    """The first part of a file up to byte `end`, as far as its header tells. Raises: CorruptArchive."""
    where = storage.name
    data = storage.read(0, min(spec.OPENING_BYTES, end))
    begin = spec.SIGNATURE_BYTES + spec.CHUNK_BYTES
    header = parse_header(data, spec.SIGNATURE_BYTES)
    if header is None or header.type != spec.HEAD or header.length > admission.max_payload(spec.HEAD, None):
        raise _unreadable(storage, [])
    version = version_of(data[: spec.SIGNATURE_BYTES], where)
    if begin + header.length > len(data):
        data += storage.read(len(data), min(begin + header.length, end))
    head = unpack(content_of(header, data[begin : begin + header.length], where), f"{where}: header")
    parsed = Header.from_payload(head)
    if zlib.crc32(head) != header.part_id or parsed.version != version:
        raise CorruptArchive(f"{where}: header disagrees with part number or signature")
    return Part(0, 0, end, head, parsed, table.TableBuilder().table(), None, None, False)


def _begins_like_an_archive(storage: Storage) -> bool:
    """Whether a signature begins the file, or the chunk that would follow a damaged one."""
    start = storage.read(0, spec.SIGNATURE_BYTES + len(spec.SYNC))
    return start.startswith(spec.MAGIC) or start.endswith(spec.SYNC)


def _numbered(parts: list[Part]) -> list[Part]:
    first_item = 0
    numbered = []
    for number, part in enumerate(parts):
        numbered.append(replace(part, number=number, first_item=first_item))
        first_item += len(part.header.items)
    return numbered


def _unreadable(storage: Storage, damage: list[Damage]) -> CorruptArchive:
    if not storage.size:
        return CorruptArchive(f"{storage.name}: expected an archive, found an empty file")
    start = storage.read(0, spec.SIGNATURE_BYTES)
    whole = len(start) == spec.SIGNATURE_BYTES
    if not whole and spec.MAGIC.startswith(start[: len(spec.MAGIC)]):
        return CorruptArchive(f"{storage.name}: cut after {len(start)} bytes, nothing of it can be read")
    try:
        version_of(start, storage.name)
    except CorruptArchive as error:
        return error
    reason = damage[0].what if damage else "no chunks"
    return CorruptArchive(f"{storage.name}: header at byte {spec.SIGNATURE_BYTES} cannot be read: {reason}")


def _part_before(window: _Window, end: int) -> Part | None:
    """The part that ends at byte `end`, or None when no tail ends there. Raises: CorruptArchive."""
    where = window.storage.name
    at = end - tail.CHUNK_BYTES
    if at < spec.SIGNATURE_BYTES:
        return None
    header = parse_header(window.read(at, end))
    if header is None or header.type != spec.TAIL:
        return None
    _, content = _chunk(window, at, end, spec.TAIL, header.part_id)
    sealed = Tail.from_content(content, end, f"{where}: tail")
    start = end - sealed.part_bytes
    if sealed.opening_bytes > _MAX_END_BYTES:
        raise CorruptArchive(f"{where}: tail, {sealed.opening_bytes} bytes of end matter exceed every limit")
    window.extend(end - sealed.opening_bytes)
    found, listed = _chunk(window, at - sealed.to_index, at, spec.INDEX, header.part_id)
    if found.seq != sealed.chunks - 2 or header.seq != sealed.chunks - 1 or chunk_bytes(len(listed)) != sealed.to_index:
        raise CorruptArchive(f"{where}: index and tail disagree")
    before = sealed.part_bytes - tail.CHUNK_BYTES - sealed.to_index
    seek = index.from_content(listed, before, f"{where}: index")
    _, packed = _chunk(
        window,
        at - sealed.to_meta if sealed.to_meta else start + spec.SIGNATURE_BYTES,
        at,
        spec.META if sealed.to_meta else spec.HEAD,
        header.part_id,
    )
    head = unpack(packed, f"{where}: header")
    if zlib.crc32(head) != header.part_id:
        raise CorruptArchive(f"{where}: header and part number disagree")
    _, packed_summary = _chunk(window, at - sealed.to_summary, at, spec.SUMMARY, header.part_id)
    parsed = Header.from_payload(head)
    if sealed.version != parsed.version:
        raise CorruptArchive(f"{where}: tail of version {sealed.version}, header of version {parsed.version}")
    if window.covers(start):
        _check_start(window.read(start, start + spec.SIGNATURE_BYTES), parsed.version, f"{where}: byte {start}")
    _check_index(seek, sealed, found.seq, f"{where}: index")
    admission.check_table(seek.table, parsed, f"{where}: index")
    check_listed(window.storage, start, seek.table.chunks)
    return Part(
        number=0,
        offset=start,
        length=sealed.part_bytes,
        head=head,
        header=parsed,
        table=_with_end(seek.table, sealed, len(listed), found.seq),
        summary=summary.parse(packed_summary, where),
        tail=sealed,
        complete=True,
    )


def _check_start(signature: bytes, version: int, where: str) -> None:
    """Nothing, for a signature of the version that tail and header name. Raises: CorruptArchive."""
    try:
        found = version_of(signature, where)
    except UnsupportedArchive as error:
        raise CorruptArchive(error.message) from error
    if found != version:
        raise CorruptArchive(f"{where}: signature of version {found}, header of version {version}")


def _with_end(listed: ChunkTable, sealed: Tail, index_bytes: int, seq: int) -> ChunkTable:
    """The table with the two chunks that no index lists: itself and the tail."""
    at = sealed.part_bytes - tail.CHUNK_BYTES
    rows = [
        (spec.TYPE_CODES[spec.INDEX], seq, at - sealed.to_index, index_bytes),
        (spec.TYPE_CODES[spec.TAIL], seq + 1, at, spec.TAIL_BYTES),
    ]
    return replace(listed, chunks=np.concatenate([listed.chunks, np.array(rows, table.CHUNK)]))


def _check_index(seek: index.Index, sealed: Tail, seq: int, where: str) -> None:
    """Nothing, for a full index whose end matter lies where the tail says."""
    chunks = seek.table.chunks
    at = sealed.part_bytes - tail.CHUNK_BYTES
    if (seek.full, seek.first_seq, seek.first_offset) != (True, 0, spec.SIGNATURE_BYTES):
        raise CorruptArchive(f"{where}: expected a full index, found one from chunk {seek.first_seq} on")
    if len(chunks) != seq or seek.end != at - sealed.to_index:
        raise CorruptArchive(
            f"{where}: expected {seq} chunks up to byte {at - sealed.to_index}, found {len(chunks)} up to {seek.end}"
        )
    for kind, distance in sealed.distances():
        places = chunks["offset"][chunks["code"] == spec.TYPE_CODES[kind]].tolist()
        if places != ([at - distance] if distance else []):
            raise CorruptArchive(f"{where}: {kind.decode()} chunks at {places}, the tail says {at - distance}")


def _chunk(window: _Window, start: int, stop: int, kind: bytes, part_id: int) -> tuple[ChunkHeader, bytes]:
    """(header, content) of the `kind` chunk at file offset `start`, which ends by `stop`. Raises: CorruptArchive."""
    where = f"{window.storage.name}: byte {start}"
    header = parse_header(window.read(start, start + spec.CHUNK_BYTES))
    body = start + spec.CHUNK_BYTES
    if header is None or header.type != kind or header.part_id != part_id or header.length > stop - body:
        raise CorruptArchive(f"{where}: expected a {kind.decode()} chunk, found {header.name if header else 'none'}")
    if header.length > admission.max_payload(kind, None):
        raise CorruptArchive(f"{where}: {header.name} chunk of {header.length} bytes exceeds its limit")
    return header, content_of(header, window.read(body, body + header.length), where)


class _Window:
    """The end of a file as far as it was read, growing towards its start."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._start = storage.size
        self._data = b""
        self._size = spec.OPENING_BYTES

    def covers(self, start: int) -> bool:
        """Whether byte `start` is among those read."""
        return self._start <= start < self._start + len(self._data)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop); when they are not there yet, with a good deal of what comes before them."""
        if start < self._start or stop > self._start + len(self._data):
            self._start = max(0, min(start, stop - self._size))
            self._data = self.storage.read(self._start, stop)
            # many small parts behind each other: fewer and larger reads the further back
            self._size = min(2 * self._size, _MAX_WINDOW)
        return self._data[start - self._start : stop - self._start]

    def extend(self, start: int) -> None:
        """Read exactly what is missing from `start` on."""
        if start < self._start:
            self._data = self.storage.read(start, self._start) + self._data
            self._start = start
