"""Single flipped bits put right: a CRC-32 that is wrong by a certain pattern tells which bit of its bytes was flipped.

Every chunk has a CRC-32 over its header and one over its payload. Up to 2^32 bits no two single flips change a CRC-32
alike, so the difference between the checksum stored and the one computed names the bit, if it was one; damage of many
bits looks like some single flip of a payload of n bytes by a chance of n / 2^29. Nothing is believed without a second
witness: the digest of the chunk in dGST, the part number for HEAD, the canonical form for sUMM.
Source: W. W. Peterson, D. T. Brown, "Cyclic Codes for Error Detection", Proc. IRE 49 (1961), section III.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import xor
from typing import Final

from embdc_cli.container import admission, canonical, spec, tail
from embdc_cli.container.contents import Damage, Part
from embdc_cli.container.framing import ChunkHeader, content_of, parse_header
from embdc_cli.container.packed_json import unpack
from embdc_cli.container.readahead import Range
from embdc_cli.container.scan import ScannedChunk, scan
from embdc_cli.container.storage import Storage
from embdc_cli.errors import EmbdcError

_POLYNOMIAL: Final = 0xEDB88320
_BLOCK_BYTES: Final = 1 << 12
_ROUNDS: Final = 3  # a header first, then the digests it leads to, then what they are the witnesses of


class CorrectedStorage(Storage):
    """Another storage with some of its bits flipped back. bits: numbers of the bits, of the whole file."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage.name, storage.size)
        self.traffic = storage.traffic
        self._storage = storage
        self.bits: list[int] = []

    @contextmanager
    def ahead(self, ranges: Iterable[Range]) -> Iterator[None]:
        """See `Storage.ahead`."""
        with self._storage.ahead(ranges):
            yield

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        found = self._storage.read_many(ranges)
        return [self._corrected(data, start) for data, (start, _) in zip(found, ranges, strict=True)]

    def _corrected(self, data: bytes, start: int) -> bytes:
        wanted = [bit - 8 * start for bit in self.bits if start <= bit // 8 < start + len(data)]
        return _flipped(data, wanted) if wanted else data


def corrected(storage: Storage, parts: Sequence[Part]) -> CorrectedStorage:
    """`storage` with every single flipped bit of a chunk put right that can be proven. parts: those that opened."""
    better = CorrectedStorage(storage)
    for _ in range(_ROUNDS):
        digests: dict[int, bytes] = {}

        def note(chunk: ScannedChunk, digests: dict[int, bytes] = digests) -> None:
            if chunk.header.type == spec.DIGESTS:
                digests[chunk.part.part_id] = chunk.content

        try:
            damage = scan(better, 0, better.size, note, heads=parts).damage
        except EmbdcError:  # damaged beyond reading, or a version that is none
            return better
        bits = [bit for one in damage for bit in _bits_in(better, one, digests)]
        if not bits:
            break
        better.bits += bits
    return better


def _bits_in(storage: Storage, damage: Damage, digests: Mapping[int, bytes]) -> Iterator[int]:
    """The bits to flip in the chunks that follow each other from the start of the damage on, or behind a signature."""
    at, stop = damage.offset, damage.offset + damage.length
    if at < stop and _header_of(storage.read(at, at + spec.CHUNK_BYTES))[1] is None:
        at += spec.SIGNATURE_BYTES
    while at < stop:
        bit, header = _header_of(storage.read(at, at + spec.CHUNK_BYTES))
        if header is None or header.length > min(storage.size - at, admission.max_payload(header.type, None)):
            return
        yield from _bits_of(storage, at, bit, header, digests)
        at += spec.CHUNK_BYTES + header.length


def _bits_of(
    storage: Storage, at: int, header_bit: int | None, header: ChunkHeader, digests: Mapping[int, bytes]
) -> list[int]:
    """The bits to flip in the chunk at byte `at`; none where that cannot be proven."""
    body = at + spec.CHUNK_BYTES
    raw, stored = storage.read(at, body), storage.read(body, body + header.length)
    bits = [] if header_bit is None else [8 * at + header_bit]
    raw = raw if header_bit is None else _flipped(raw, [header_bit])
    if zlib.crc32(stored) != header.payload_crc:
        payload_bit = flipped_bit(len(stored), zlib.crc32(stored) ^ header.payload_crc)
        if payload_bit is None:
            return []
        bits.append(8 * body + payload_bit)
        stored = _flipped(stored, [payload_bit])
    return bits if _proven(header, raw, stored, digests.get(header.part_id, b"")) else []


def _header_of(raw: bytes) -> tuple[int | None, ChunkHeader | None]:
    """(bit to flip, header) of a chunk header with at most one bit flipped."""
    for bit in (None, *range(8 * len(raw))):
        try:
            header = parse_header(raw if bit is None else _flipped(raw, [bit]))
        except EmbdcError:
            continue
        if header is not None:
            return bit, header
    return None, None


def _proven(header: ChunkHeader, raw: bytes, stored: bytes, digests: bytes) -> bool:
    try:
        content = content_of(header, stored, "chunk")
        if header.type == spec.HEAD:
            return zlib.crc32(unpack(content, "header")) == header.part_id
        if header.type == spec.SUMMARY:
            return bool(canonical.loads(unpack(content, "summary"), "summary"))
        if header.type == spec.DIGESTS:
            return True  # a wrong digest proves nothing, and is found when the archive is verified
    except EmbdcError:
        return False
    size = spec.DIGEST_BYTES
    return digests[size * header.seq : size * (header.seq + 1)] == tail.leaf(raw, stored)


def flipped_bit(size: int, difference: int) -> int | None:
    """The bit of `size` bytes whose flip changes their CRC-32 by `difference`, or None when no single one does.

    Leaving bytes out at the end is linear in the difference, so it is gone back block by block until it is that of a
    flip in the last block of what remains.
    """
    in_block, columns = _block_tables()
    for end in range(size, 0, -_BLOCK_BYTES):
        if difference in in_block:
            back, bit = divmod(in_block[difference], 8)
            return 8 * (end - 1 - back) + bit if back < end else None
        difference = functools.reduce(xor, (column for at, column in enumerate(columns) if difference >> at & 1), 0)
    return None


@functools.cache
def _block_tables() -> tuple[dict[int, int], list[int]]:
    """(difference -> 8 x bytes from the end + bit, for flips in a block; what each bit of a difference becomes when a
    block is left out at the end)."""
    in_block = {}
    differences = [_TABLE[1 << bit] for bit in range(8)]
    for back in range(_BLOCK_BYTES):
        in_block.update({value: 8 * back + bit for bit, value in enumerate(differences)})
        differences = [value >> 8 ^ _TABLE[value & 255] for value in differences]
    columns = [1 << at for at in range(32)]
    for _ in range(_BLOCK_BYTES):
        last = [_BY_TOP[value >> 24] for value in columns]
        columns = [(value ^ _TABLE[one]) << 8 & 0xFFFFFFFF | one for value, one in zip(columns, last, strict=True)]
    return in_block, columns


def _flipped(data: bytes, bits: Sequence[int]) -> bytes:
    changed = bytearray(data)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _after_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE: Final = [_after_byte(value) for value in range(256)]
_BY_TOP: Final = {entry >> 24: value for value, entry in enumerate(_TABLE)}
