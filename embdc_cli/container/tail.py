"""The last chunk of a part, which says how to find the others from the end; and the digests it seals."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from embdc_cli.container import spec
from embdc_cli.container.framing import check_version
from embdc_cli.errors import CorruptArchive

_TAIL: Final = struct.Struct(spec.TAIL_FORMAT)
CHUNK_BYTES: Final = spec.CHUNK_BYTES + spec.TAIL_BYTES


@dataclass(frozen=True)
class Tail:
    """Distances in bytes back from the tail's first byte. part_bytes: signature to tail, both included.

    to_meta: 0 when the part is so small that its HEAD lies within the opening read. chunks: of the part, tail included.
    """

    part_bytes: int
    to_index: int
    to_summary: int
    to_meta: int
    to_digests: int
    chunks: int
    root: bytes
    version: int

    def to_content(self) -> bytes:
        """The content of a tAIL chunk."""
        return _TAIL.pack(
            self.part_bytes, self.to_index, self.to_summary, self.to_meta, self.to_digests, self.chunks, self.root,
            self.version, spec.MINOR, bytes(6),
        )  # fmt: skip

    @staticmethod
    def from_content(content: bytes, available: int, where: str) -> Tail:
        """The tail in tAIL chunk `content`, of a part with at most `available` bytes. Raises: CorruptArchive."""
        if len(content) != spec.TAIL_BYTES:
            raise CorruptArchive(f"{where}: expected a tail of {spec.TAIL_BYTES} bytes, found {len(content)}")
        size, to_index, to_summary, to_meta, to_digests, chunks, root, major, minor, zeros = _TAIL.unpack(content)
        check_version(major, minor, where)
        tail = Tail(size, to_index, to_summary, to_meta, to_digests, chunks, root, major)
        before = tail.part_bytes - CHUNK_BYTES - spec.SIGNATURE_BYTES
        inside = (tail.to_index, tail.to_summary, tail.to_meta, tail.to_digests)
        small = tail.part_bytes > available or before < 0 or any(distance > before for distance in inside)
        if small or not tail.to_index < tail.to_summary < tail.to_digests or tail.to_index == 0 or zeros != bytes(6):
            raise CorruptArchive(f"{where}: distances of the tail do not fit a part of {tail.part_bytes} bytes")
        if not tail.to_meta and tail.part_bytes > spec.OPENING_BYTES:
            raise CorruptArchive(f"{where}: a part of {tail.part_bytes} bytes without a copy of its header")
        if tail.to_meta and not tail.to_summary < tail.to_meta < tail.to_digests:
            raise CorruptArchive(f"{where}: distance to the header copy is out of order")
        return tail

    def distances(self) -> tuple[tuple[bytes, int], ...]:
        """Chunk types before the index and their distances, 0 where there is no such chunk."""
        return (spec.DIGESTS, self.to_digests), (spec.META, self.to_meta), (spec.SUMMARY, self.to_summary)

    @property
    def opening_bytes(self) -> int:
        """Bytes from the first chunk that opening needs to the end of the part."""
        if not self.to_meta:
            return self.part_bytes
        return max(self.to_index, self.to_summary, self.to_meta) + CHUNK_BYTES


def leaf(header: bytes, stored: bytes) -> bytes:
    """The digest of one chunk: the first 16 bytes of the SHA-256 of its header and stored payload."""
    digest = hashlib.sha256(header)
    digest.update(stored)
    return digest.digest()[: spec.DIGEST_BYTES]


def root_of(signature: bytes, leaves: Iterable[bytes]) -> bytes:
    """SHA-256 over the signature and the digests of all chunks before the tail, in order."""
    return hashlib.sha256(signature + b"".join(leaves)).digest()
