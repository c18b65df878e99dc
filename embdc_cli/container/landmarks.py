"""Where to begin in an archive that does not end in a tail: the last tail or checkpoint index before its end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.container import admission, index, spec, summary, table
from embdc_cli.container.framing import ChunkHeader, chunk_bytes, content_of, parse_header, version_of
from embdc_cli.container.header import Header
from embdc_cli.container.index import Index
from embdc_cli.container.packed_json import unpack
from embdc_cli.container.partlog import PartLog
from embdc_cli.container.scan import ScannedPart
from embdc_cli.container.storage import Storage
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.unknown import check_listed
from embdc_cli.errors import CorruptArchive

SEARCH_BYTES: Final = 1 << 29
"""How far back a landmark is searched: a checkpoint interval of chunks of 2 MiB. Beyond, the whole file is scanned."""

_FIRST_BLOCK: Final = 1 << 16
_GUESSED_BYTES: Final = 1 << 13  # a checkpoint of 256 chunks takes 3 to 5 KiB
_LARGEST_BLOCK: Final = 1 << 22


@dataclass(frozen=True)
class Landmark:
    """A place where scanning can begin. begin: everything before it is still to be walked.

    part: for a checkpoint, the part it belongs to with all chunks up to the checkpoint; None for a tail.
    """

    begin: int
    scan_from: int
    part: ScannedPart | None


def find_landmark(storage: Storage, end: int) -> Landmark | None:
    """The last landmark before byte `end` of the file, or None when none is near or it cannot be used."""
    for at, header in _headers_before(storage, end):
        stop = at + spec.CHUNK_BYTES + header.length
        if header.type not in (spec.TAIL, spec.INDEX) or stop > end:
            continue
        try:
            content = _content(storage, at, header.type, header.part_id)[1]
            if header.type == spec.TAIL:
                return Landmark(stop, stop, None)
            part = _part_at(storage, at, header, content)
        except CorruptArchive:
            return None  # damaged as well as cut: the scan from the front finds out how
        return Landmark(part.offset, stop, part)
    return None


def _headers_before(storage: Storage, end: int) -> Iterator[tuple[int, ChunkHeader]]:
    """(offset, header) of the whole chunk headers before byte `end`, last first, within SEARCH_BYTES."""
    size, high = _FIRST_BLOCK, end
    lowest = max(0, end - SEARCH_BYTES)
    while high > lowest:
        low = max(lowest, high - size)
        block = storage.read(low, min(high + spec.CHUNK_BYTES - 1, end))
        place = len(block)
        while (place := block.rfind(spec.SYNC, 0, place + len(spec.SYNC) - 1)) >= 0:
            header = parse_header(block, place) if low + place < high else None
            if header is not None:
                yield low + place, header
        high, size = low, min(4 * size, _LARGEST_BLOCK)


def _content(storage: Storage, at: int, kind: bytes, part_id: int) -> tuple[ChunkHeader, bytes]:
    where = f"{storage.name}: byte {at}"
    raw = storage.read(at, at + _GUESSED_BYTES)
    header = parse_header(raw)
    if header is None or header.type != kind or header.part_id != part_id:
        raise CorruptArchive(f"{where}: expected a {kind.decode()} chunk")
    stop = spec.CHUNK_BYTES + header.length
    if header.length > admission.max_payload(kind, None) or at + stop > storage.size:
        raise CorruptArchive(f"{where}: {header.name} chunk of {header.length} bytes exceeds its limit")
    if stop > len(raw):
        raw += storage.read(at + len(raw), at + stop)
    return header, content_of(header, raw[spec.CHUNK_BYTES : stop], where)


def _part_at(storage: Storage, at: int, header: ChunkHeader, content: bytes) -> ScannedPart:
    """The part of the index chunk at file offset `at`, with every chunk up to it. Raises: CorruptArchive."""
    where = f"{storage.name}: byte {at}"
    last = index.from_content(content, at, where)
    start = at - last.end
    pieces = [_own_row(header, last.end, content), last.table]
    seek, seq = last, header.seq
    while True:
        _check_chain(seek, seq, where)
        if seek.first_offset == spec.SIGNATURE_BYTES:
            break
        before = start + seek.first_offset
        found, listed = _content(storage, before, spec.INDEX, header.part_id)
        if found.seq != seek.first_seq:
            raise CorruptArchive(f"{where}: checkpoint {seek.first_seq} expected at byte {before}, found {found.seq}")
        seek, seq = index.from_content(listed, before - start, f"{storage.name}: byte {before}"), found.seq
        if start + seek.end != before:
            raise CorruptArchive(f"{storage.name}: byte {before}: checkpoint lists {seek.end} bytes of chunks")
        pieces.append(seek.table)
    signature = storage.read(start, start + spec.SIGNATURE_BYTES)
    version = version_of(signature, f"{storage.name}: byte {start}")
    _, packed = _content(storage, start + spec.SIGNATURE_BYTES, spec.HEAD, header.part_id)
    head = unpack(packed, f"{where}: header")
    if zlib.crc32(head) != header.part_id:
        raise CorruptArchive(f"{where}: header and part number disagree")
    log = PartLog(Header.from_payload(head))
    if log.header.version != version:
        raise CorruptArchive(f"{where}: signature of version {version}, header of version {log.header.version}")
    known = index.concatenated(pieces[::-1])
    admission.check_table(known, log.header, where, whole=False)
    check_listed(storage, start, known.chunks)
    log.restore(known)
    part = ScannedPart(start, signature, head, log, header.part_id, at + spec.CHUNK_BYTES + header.length)
    for chunk in known.chunks[known.chunks["code"] == spec.TYPE_CODES[spec.SUMMARY]]:
        _, content = _content(storage, start + int(chunk["offset"]), spec.SUMMARY, header.part_id)
        part.summary = summary.parse(content, where)
    return part


def _check_chain(seek: Index, seq: int, where: str) -> None:
    if seek.first_offset < spec.SIGNATURE_BYTES or seek.first_seq + len(seek.table.chunks) != seq:
        raise CorruptArchive(f"{where}: checkpoint {seq} lists chunks {seek.first_seq} and on")
    if (seek.first_seq == 0) != (seek.first_offset == spec.SIGNATURE_BYTES):
        raise CorruptArchive(f"{where}: checkpoint begins at byte {seek.first_offset} with chunk {seek.first_seq}")


def _own_row(header: ChunkHeader, offset: int, content: bytes) -> ChunkTable:
    """A table of the index chunk itself, which does not list itself."""
    row = (spec.TYPE_CODES[spec.INDEX], header.seq, offset, len(content))
    assert chunk_bytes(len(content)) == spec.CHUNK_BYTES + header.length
    none = {name: np.empty(0, getattr(table, name.upper())) for name in ("data", "models", "times", "codebooks")}
    return ChunkTable(np.array([row], table.CHUNK), **none)
