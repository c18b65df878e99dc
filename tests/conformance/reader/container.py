"""The container, read from front to back: embdc(5).

Index, digests and tail are not needed to find anything here; where they are, they are checked against the chunks.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.conformance.reader import bits
from tests.conformance.reader.errors import Corrupt, Unsupported, check
from tests.conformance.reader.header import VERSIONS, header_of
from tests.conformance.reader.index import check_index
from tests.conformance.reader.json_form import parsed, unpacked
from tests.conformance.reader.pages import limit
from tests.conformance.reader.records import CODES, Chunk, Data, Part, Times

MAGIC = bytes.fromhex("89454d4244430d0a1a0a00")
SYNC = bytes.fromhex("d3e59b1fa807c67a")


@dataclass
class File:
    """parts, and what is wrong, each with the place where it is."""

    parts: list[Part] = field(default_factory=list)
    damage: list[tuple[int, str]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return bool(self.parts) and all(part.sealed and not part.gap for part in self.parts)


def read(data: bytes) -> File:
    """All parts of a file. Raises Corrupt where there is none, Unsupported where a later reader is needed."""
    file, part, at, lost, signature = File(), None, 0, False, -1
    while at < len(data):
        try:
            if data.startswith(MAGIC, at):
                _check_signature(data, at)
                signature, size = at, 16
            else:
                chunk = _chunk(data, at, part)
                if chunk.type == "HEAD" and chunk.seq == 0:
                    opened = _opened(chunk, data, at, signature)
                    if signature == at - 16 and not opened.signature:
                        file.damage.append((signature, "a damaged version"))
                    if part is not None:
                        file.damage.append((at, "the part before ends without a tail"))
                    part = opened
                    file.parts.append(part)
                check(part is not None and chunk.part_id == zlib.crc32(part.head), "a chunk of no part")
                assert part is not None
                _add(part, chunk, file, at)
                size = len(chunk.raw)
                part.end = at + size
                if part.sealed:
                    part = None
            at, lost = at + size, False
        except Corrupt as problem:
            if not lost:
                file.damage.append((at, str(problem)))
            lost = True
            if part is not None:
                part.gap = True
            places = [place for mark in (SYNC, MAGIC) if (place := data.find(mark, at + 1)) >= 0]
            at = min(places, default=len(data))
    if part is not None:
        file.damage.append((len(data), "the last part ends without a tail"))
    file.damage += [(one.offset, what) for one in file.parts if one.sealed and not one.gap for what in _uneven(one)]
    if not file.parts:
        raise Corrupt(f"nothing can be read: {file.damage[0][1] if file.damage else 'an empty file'}")
    return file


def _uneven(part: Part) -> list[str]:
    """What streams of a complete part have less or more of than they should."""
    found = []
    for number, stream in enumerate(part.header.streams):
        rows = part.rows.get(number, 0)
        if stream.rows not in (None, rows):
            found.append(f"{rows} rows, the header says {stream.rows}")
        if stream.timed and part.times_rows.get(stream.item, 0) != rows:
            found.append(f"{rows} rows and other times")
    return found


def _check_signature(data: bytes, at: int) -> None:
    check(len(data) >= at + 16 and data[at + 13 : at + 16] == bytes(3), "a damaged signature")
    if data[at + 11] not in VERSIONS:
        header = data[at + 16 : at + 56]
        whole = header.startswith(SYNC) and header[36:] == struct.pack("<I", zlib.crc32(header[:36]))
        check(not whole, "a damaged version")
        raise Unsupported(f"format version {data[at + 11]}")


def _chunk(data: bytes, at: int, part: Part | None) -> Chunk:
    """The chunk at a place, which is its offset still; its checksums right, its limits kept."""
    raw = data[at : at + 40]
    check(len(raw) == 40 and raw.startswith(SYNC), "no chunk, or one that is cut")
    kind, flags, mask, part_id, seq, length, payload_crc, header_crc = struct.unpack_from("<4sHHIIQII", raw, 8)
    check(zlib.crc32(raw[:36]) == header_crc, "checksum of a chunk header")
    name = kind.decode("latin-1")
    if flags & 0xF8F8:
        raise Unsupported(f"{name}: flags {flags:#x}")
    critical = "A" <= name[0] <= "Z"
    pad = flags >> 8 & 7
    check(bool(flags & 1) == critical and length % 8 == 0 and pad <= length, f"{name}: flags and length")
    most = limit("MAX_PAYLOAD_BYTES")
    if name in ("HEAD", "mETA", "sUMM"):
        most = limit("MAX_JSON_BYTES") + 8
    elif name == "DATA" and part is not None:
        most = part.header.limits["max_chunk_bytes"] + 8
    check(length <= most, f"{name}: {length} bytes are too many")
    check(length <= len(data) - at - 40, f"{name}: the chunk is cut")
    stored = data[at + 40 : at + 40 + length]
    check(zlib.crc32(stored) == payload_crc, f"{name}: checksum of the payload")
    plain = bytes(octet ^ (mask >> 8 * (place % 2) & 255) for place, octet in enumerate(stored)) if mask else stored
    check(not any(plain[length - pad :]), f"{name}: padding is not zero")
    return Chunk(name, part_id, seq, at, plain[: length - pad], raw + stored)


def _opened(chunk: Chunk, data: bytes, at: int, signature: int) -> Part:
    head = unpacked(chunk.content)
    check(zlib.crc32(head) == chunk.part_id and at >= 16, "a header of another part")
    header = header_of(parsed(head))
    told = signature == at - 16 and data[at - 5] == header.version
    return Part(at - 16, data[at - 16 : at] if told else b"", head, header)


def _add(part: Part, chunk: Chunk, file: File, at: int) -> None:
    """Take a chunk into its part."""
    if chunk.type not in CODES and "A" <= chunk.type[0] <= "Z":
        raise Unsupported(f"critical chunk {chunk.type}")
    check(chunk.seq >= part.next_seq, f"{chunk.type}: chunk {chunk.seq} again")
    chunk = replace(chunk, offset=at - part.offset)
    missing = chunk.seq != part.next_seq
    reader: Callable[[Part, Chunk, bool], Any] | None = _READERS.get(chunk.type)
    whole = not part.gap and not missing
    said = reader(part, chunk, whole) if reader else None
    if missing and not part.gap:
        file.damage.append((at, f"chunks {part.next_seq} to {chunk.seq - 1} are missing"))
    part.gap = part.gap or missing
    part.chunks.append(chunk)
    part.said.append(said)
    part.sealed = chunk.type == "tAIL"


def _head(part: Part, chunk: Chunk, whole: bool) -> None:
    check(chunk.seq == 0, "a second header")


def _data(part: Part, chunk: Chunk, whole: bool) -> Data:
    check(len(chunk.content) >= 56, "DATA is too short")
    stream, kind, segment, row0, rows, crc, pts0, pts1, *_, tokens_bytes, models = struct.unpack_from(
        "<HHIQIIqqfeeII", chunk.content
    )
    streams, limits = part.header.streams, part.header.limits
    check(stream < len(streams), "DATA of no stream")
    one = streams[stream]
    body = chunk.content[56:]
    check(tokens_bytes <= len(body) and bool(tokens_bytes) == one.ragged, "token counts")
    check(1 <= rows <= limits["max_chunk_rows"], "rows of a chunk")
    tokens = None
    if one.ragged:
        tokens = bits.differences(body[:tokens_bytes], rows)
        check(all(0 <= count <= limit("MAX_DIMENSION") for count in tokens), "token counts")
    values = one.row_values * (rows if tokens is None else sum(tokens))
    check(values <= limits["max_chunk_values"], "values of a chunk")
    earned = limit("MAX_CHUNK_RATIO") * len(chunk.content)
    check(rows <= max(limit("FREE_CHUNK_ROWS"), earned), "rows of so few bytes")
    check(values <= max(limit("FREE_CHUNK_VALUES"), earned), "values of so few bytes")
    before = part.rows.get(stream, 0)
    check(row0 == before if whole else row0 >= before, f"row {row0} after {before} rows")
    check(not one.timed or not whole or row0 + rows <= part.times_rows.get(one.item, 0), "rows without times")
    if whole:
        known = part.models.get((stream, segment))
        check(models == (0 if known is None else zlib.crc32(known)), "other models than those of the segment")
    part.rows[stream] = row0 + rows
    quality = chunk.content[40:48]
    _check_quality(quality)
    return Data(stream, kind, segment, row0, rows, crc, pts0, pts1, quality, models, tokens, body[tokens_bytes:])


def _check_quality(quality: bytes) -> None:
    """mse is finite, distances from a cosine of 1 are 0 to 2, or they are the one NaN."""
    mse, mean, worst = struct.unpack("<fee", quality)
    check(math.isfinite(mse) or quality[:4] == bytes.fromhex("0000c07f"), "mse is not finite")
    for distance, raw in ((mean, quality[4:6]), (worst, quality[6:])):
        inside = 0 <= distance <= 2 and raw != b"\x00\x80"
        check(inside or raw == b"\x00\x7e", "a cosine out of range")


def _models(part: Part, chunk: Chunk, whole: bool) -> tuple[int, int]:
    check(len(chunk.content) >= 8, "MODL is too short")
    stream, zero, segment = struct.unpack_from("<HHI", chunk.content)
    check(not zero and stream < len(part.header.streams) and (stream, segment) not in part.models, "MODL")
    part.models[stream, segment] = chunk.content[8:]
    return stream, segment


def _codebook(part: Part, chunk: Chunk, whole: bool) -> tuple[bytes, int, int, bytes]:
    check(len(chunk.content) >= 48, "CBOK is too short")
    digest, size, embedded, zero = struct.unpack_from("<32sQII", chunk.content)
    body = chunk.content[48:]
    check(embedded <= 1 and not zero and len(body) == size * embedded, "CBOK")
    check(not embedded or hashlib.sha256(body).digest() == digest, "an embedded codebook of another name")
    return digest, size, embedded, body


def _times(part: Part, chunk: Chunk, whole: bool) -> Times:
    check(len(chunk.content) >= 40, "pTS_ is too short")
    item, rows, row0, first, last, step = struct.unpack_from("<IIQqqq", chunk.content)
    timebases = part.header.timebases
    check(item < len(timebases) and timebases[item] is not None, "times of an item without a timebase")
    before = part.times_rows.get(item, 0)
    check(row0 == before if whole else row0 >= before, f"times of row {row0} after {before} rows")
    check(1 <= rows <= limit("MAX_TIMES_ROWS") and row0 + rows <= limit("MAX_TIMELINE_ROWS"), "rows of times")
    part.times_rows[item] = row0 + rows
    body = chunk.content[40:]
    if step:
        check(step > 0 and last - first == rows * step and not body, "times of a constant rate")
        starts = [first + row * step for row in range(rows)]
        return Times(item, rows, row0, first, last, step, starts, [start + step for start in starts])
    size, at = bits.leb128(body, 0)
    check(size <= len(body) - at, "times are cut")
    starts = [first]
    for distance in bits.differences(body[at : at + size], rows - 1):
        starts.append(starts[-1] + distance)
    gaps = bits.column(body[at + size :], rows - 1)
    ends = [start - gap for start, gap in zip(starts[1:], gaps, strict=True)]
    return Times(item, rows, row0, first, last, step, starts, [*ends, last])


def _digests(part: Part, chunk: Chunk, whole: bool) -> None:
    if whole:
        check(chunk.content == b"".join(one.leaf for one in part.chunks), "digests and chunks disagree")


def _meta(part: Part, chunk: Chunk, whole: bool) -> None:
    check(unpacked(chunk.content) == part.head, "the copy of the header is another")


def _summary(part: Part, chunk: Chunk, whole: bool) -> None:
    part.summary = parsed(unpacked(chunk.content))


def _index(part: Part, chunk: Chunk, whole: bool) -> None:
    if whole:
        check_index(part, chunk)


def _tail(part: Part, chunk: Chunk, whole: bool) -> None:
    check(len(chunk.content) == 88 and chunk.content[82:] == bytes(6), "tAIL")
    size, *distances, count, root, major, _ = struct.unpack("<QQQQQQ32sBB6x", chunk.content)
    if major not in VERSIONS:
        raise Unsupported(f"format version {major}")
    check(major == part.header.version, "the tail of another version")
    check(size == chunk.offset + 128, "the tail is of a part of another length")
    if not whole:
        return
    places = {one.type: one.offset for one in part.chunks}
    for kind, distance in zip(("iNDX", "sUMM", "mETA", "dGST"), distances, strict=True):
        check(places.get(kind) == (chunk.offset - distance if distance else None), f"distance to {kind}")
    check(distances[2] or size <= limit("OPENING_BYTES"), "no copy of the header")
    check(count == len(part.chunks) + 1 and part.chunks[-1].type == "iNDX", "number of chunks")
    leaves = b"".join(one.leaf for one in part.chunks)
    check(not part.signature or hashlib.sha256(part.signature + leaves).digest() == root, "root and chunks disagree")


_READERS: dict[str, Callable[[Part, Chunk, bool], Any]] = {
    "HEAD": _head,
    "DATA": _data,
    "MODL": _models,
    "CBOK": _codebook,
    "pTS_": _times,
    "dGST": _digests,
    "mETA": _meta,
    "sUMM": _summary,
    "iNDX": _index,
    "tAIL": _tail,
}
