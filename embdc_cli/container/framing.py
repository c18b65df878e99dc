"""The 40-byte chunk header around every payload: lengths, checksums, padding, and a payload that never looks like
the start of a chunk or of a part, so that a reader can find its place again after damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.container import spec
from embdc_cli.container.spec import (
    ALIGNMENT,
    CHUNK_BYTES,
    CHUNK_FORMAT,
    FLAG_CRITICAL,
    FLAGS_RESERVED,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    PAD_SHIFT,
    SYNC,
)
from embdc_cli.errors import CorruptArchive, UnsupportedArchive, UsageError

_HEADER: Final = struct.Struct(CHUNK_FORMAT)
_CRC: Final = struct.Struct("<I")
_SIGNATURE: Final = struct.Struct(spec.SIGNATURE_FORMAT)


@dataclass(frozen=True)
class ChunkHeader:
    """The fields of a chunk header whose own checksum was right. length: stored payload bytes, padding included."""

    type: bytes
    flags: int
    mask: int
    part_id: int
    seq: int
    length: int
    payload_crc: int

    @property
    def pad(self) -> int:
        """Zero bytes at the end of the payload."""
        return (self.flags >> PAD_SHIFT) & 7

    @property
    def content_bytes(self) -> int:
        """Payload bytes without padding."""
        return self.length - self.pad

    @property
    def critical(self) -> bool:
        """Whether a reader that does not know the type must stop."""
        return bool(self.flags & FLAG_CRITICAL)

    @property
    def name(self) -> str:
        """The type for messages."""
        return self.type.decode("latin-1")


def padded(content_bytes: int) -> int:
    """Payload length for `content_bytes` bytes of content."""
    return -(-content_bytes // ALIGNMENT) * ALIGNMENT


def chunk_bytes(content_bytes: int) -> int:
    """Length of a whole chunk with `content_bytes` bytes of content."""
    return CHUNK_BYTES + padded(content_bytes)


def version_of(signature: bytes, where: str) -> int:
    """The major version in the 16 bytes of a signature this embdc reads.

    Raises: CorruptArchive when it is not one, UnsupportedArchive for a version that is unknown here.
    """
    if signature[: len(MAGIC)] != MAGIC or len(signature) != spec.SIGNATURE_BYTES:
        raise CorruptArchive(
            f"{where}: expected an embdc signature, found {signature[:8].hex(' ') or 'nothing'}",
            hint="this is not an embdc archive, or its first bytes are damaged",
        )
    _, major, minor, zeros = _SIGNATURE.unpack(signature)
    if zeros != bytes(3):
        raise CorruptArchive(f"{where}: signature, expected three zero bytes at its end, found {zeros.hex(' ')}")
    check_version(major, minor, where)
    return int(major)


def signature_of(major: int) -> bytes:
    """The 16 bytes that begin a part of this version."""
    return _SIGNATURE.pack(MAGIC, major, spec.MINOR, bytes(3))


def check_version(major: int, minor: int, where: str) -> None:
    """Raises: UnsupportedArchive for a version that is unknown here."""
    if major not in spec.MAJORS:
        known = " and ".join(map(str, spec.MAJORS))
        raise UnsupportedArchive(
            f"{where}: format version {major}.{minor}, this embdc reads versions {known}", hint="use a newer embdc"
        )


def frame(kind: bytes, part_id: int, seq: int, content: bytes) -> tuple[bytes, bytes]:
    """(chunk header, stored payload) of `content`. Raises: UsageError when it is larger than any reader accepts."""
    pad = -len(content) % ALIGNMENT
    plain = content + bytes(pad) if pad else content
    if len(plain) > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"{kind.decode()} chunk: expected at most {MAX_PAYLOAD_BYTES} bytes, found {len(plain)}",
            hint="use a smaller --chunk-frames",
        )
    flags = pad << PAD_SHIFT | (FLAG_CRITICAL if is_critical(kind) else 0)
    for mask in _masks(plain):
        stored = apply_mask(plain, mask)
        fields = _HEADER.pack(SYNC, kind, flags, mask, part_id, seq, len(stored), zlib.crc32(stored))
        header = fields + _CRC.pack(zlib.crc32(fields))
        # the last 7 header bytes and the payload may form a marker together; border-free markers cannot begin
        # in one chunk and end in the next, which starts with SYNC or MAGIC itself
        if not _has_marker(header[1:] + stored[: len(MAGIC)]) and not _has_marker(stored):
            return header, stored
    raise UsageError(f"{kind.decode()} chunk: payload made to resist all {1 << 16} masks", hint="drop this input")


def is_critical(kind: bytes) -> bool:
    """Whether chunk type `kind` must be understood: its first letter is upper case."""
    return not kind[0] & 0x20


def parse_header(data: bytes | memoryview, offset: int = 0) -> ChunkHeader | None:
    """The chunk header at `offset` of `data`, or None when there is none with right checksum and flags.

    Raises: UnsupportedArchive for flags that are reserved.
    """
    raw = bytes(data[offset : offset + CHUNK_BYTES])
    if len(raw) < CHUNK_BYTES or raw[: len(SYNC)] != SYNC:
        return None
    if _CRC.unpack_from(raw, CHUNK_BYTES - 4)[0] != zlib.crc32(raw[:-4]):
        return None
    _, kind, flags, mask, part_id, seq, length, payload_crc = _HEADER.unpack_from(raw)
    header = ChunkHeader(kind, flags, mask, part_id, seq, length, payload_crc)
    if flags & FLAGS_RESERVED:
        raise UnsupportedArchive(f"{header.name} chunk: reserved flags {flags:#06x} are set", hint="use a newer embdc")
    consistent = header.critical == is_critical(kind) and not length % ALIGNMENT and header.pad <= length
    return header if consistent else None


def content_of(header: ChunkHeader, stored: bytes, where: str) -> bytes:
    """The content in a stored payload. Raises: CorruptArchive when checksum or padding are wrong."""
    return bytes(view_of(header, stored, where))


def view_of(header: ChunkHeader, stored: bytes, where: str) -> memoryview:
    """The content in a stored payload, not copied. Raises: CorruptArchive when checksum or padding are wrong."""
    if zlib.crc32(stored) != header.payload_crc or len(stored) != header.length:
        raise CorruptArchive(f"{where}: {header.name} chunk {header.seq}, payload checksum is wrong")
    plain = apply_mask(stored, header.mask)
    if any(plain[header.content_bytes :]):
        raise CorruptArchive(f"{where}: {header.name} chunk {header.seq}, padding is not zero")
    return memoryview(plain)[: header.content_bytes]


def apply_mask(payload: bytes, mask: int) -> bytes:
    """`payload` (a multiple of 8 bytes) with every little-endian 16-bit word XORed with `mask`; its own inverse."""
    if mask == 0:
        return payload
    return (np.frombuffer(payload, "<u2") ^ np.uint16(mask)).tobytes()


def _has_marker(data: bytes) -> bool:
    return SYNC in data or MAGIC in data


def _masks(plain: bytes) -> Iterator[int]:
    """Masks to try: 0, then those under which no marker appears anywhere in `plain`, ascending."""
    yield 0
    octets = np.frombuffer(plain, np.uint8)
    spoiled = np.zeros(1 << 16, bool)
    for marker in (SYNC, MAGIC):
        spoiled[_spoiled_masks(octets, np.frombuffer(marker, np.uint8))] = True
    yield from (int(mask) for mask in np.flatnonzero(~spoiled) if mask)


def _spoiled_masks(octets: np.ndarray, marker: np.ndarray) -> np.ndarray:
    """The masks that turn some window of `octets` into `marker`: each window has at most one."""
    size = len(octets) - len(marker) + 1
    if size <= 0:
        return np.empty(0, np.uint16)
    # the mask repeats every 2 bytes, so it cancels in XORs at distance 2
    windows = np.flatnonzero(octets[:size] ^ octets[2 : size + 2] == marker[0] ^ marker[2])
    for place in range(1, len(marker) - 2):
        same = octets[windows + place] ^ octets[windows + place + 2] == marker[place] ^ marker[place + 2]
        windows = windows[same]
    here = (octets[windows] ^ marker[0]).astype(np.uint16)
    there = (octets[windows + 1] ^ marker[1]).astype(np.uint16)
    odd = windows % 2 == 1
    return np.asarray(np.where(odd, there | here << 8, here | there << 8))
