"""Checked pieces of a codebook file: sections with a name, a length and a CRC-32, most of them matrices of integers."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np

from embdc_cli.entropy.integers import column_classes, decode_integers, encode_integers
from embdc_cli.entropy.tables import CLASSES, have_room, least_bits, static_tables
from embdc_cli.errors import CorruptArchive

_U32: Final = struct.Struct("<I")
_SECTION: Final = struct.Struct("<4sI")
_MAX_LEVEL_BYTES: Final = 8  # 12 bits of symbol, 31 raw, a sign and an escape fit
_LEVELS_OVERHEAD: Final = 1024


def checked(piece: bytes) -> bytes:
    """`piece` and its CRC-32."""
    return piece + _crc(piece)


def section(name: bytes, payload: bytes) -> bytes:
    """A section of the file."""
    return checked(_SECTION.pack(name, len(payload)) + payload)


def pack_integers(rows: np.ndarray) -> bytes:
    """A section's payload: the class of every row, then the levels."""
    integers = rows.astype(np.int32)
    classes = column_classes(integers.T)
    return classes.tobytes() + encode_integers(integers, classes[:, None])


class SectionReader:
    """Reads checked pieces one after the other, refusing lengths before anything of that size is touched."""

    def __init__(self, body: memoryview, where: str) -> None:
        self._body = body
        self._where = where
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._body)

    def next_is(self, name: bytes) -> bool:
        """Whether the next section is `name`."""
        return bytes(self._body[self._at : self._at + len(name)]) == name

    def checked(self, size: int) -> bytes:
        """The next `size` bytes, which a CRC-32 follows."""
        stop = self._at + size
        if stop + _U32.size > len(self._body):
            raise CorruptArchive(f"codebook: {self._where}: byte {self._at}: expected {size} bytes more, file ends")
        piece = bytes(self._body[self._at : stop])
        if self._body[stop : stop + _U32.size] != _crc(piece):
            raise CorruptArchive(f"codebook: {self._where}: byte {self._at}: CRC-32 does not match")
        self._at = stop + _U32.size
        return piece

    def section(self, name: bytes, limit: int) -> memoryview:
        """The payload of the next section, which has to be `name` with at most `limit` bytes."""
        found, size = b"", 0
        if self._at + _SECTION.size <= len(self._body):
            found, size = _SECTION.unpack_from(self._body, self._at)
        if found != name or size > limit:
            raise CorruptArchive(
                f"codebook: {self._where}: byte {self._at}: expected section {name!r} of at most {limit} bytes, "
                f"found {found!r} of {size}"
            )
        return memoryview(self.checked(_SECTION.size + size))[_SECTION.size :]

    def integers(self, name: bytes, rows: int, columns: int, *, zeros: bool = True) -> np.ndarray:
        """(rows, columns) int32 from the next section. zeros: whether a row may be nothing else, which takes no bytes.

        Raises: CorruptArchive, before allocating more than the bytes that are there can say.
        """
        payload = self.section(name, rows * (1 + columns * _MAX_LEVEL_BYTES) + _LEVELS_OVERHEAD)
        classes = np.frombuffer(payload[:rows], dtype=np.uint8)
        if len(classes) < rows or classes.max() >= CLASSES:
            raise CorruptArchive(f"codebook: {self._where}: section {name!r}: expected {rows} classes below {CLASSES}")
        if not zeros and not classes.min():
            raise CorruptArchive(f"codebook: {self._where}: section {name!r}: a row is zero")
        if not have_room(len(payload) - rows, classes, columns, least_bits(static_tables())):
            raise CorruptArchive(f"codebook: {self._where}: section {name!r}: too few bytes for {rows} x {columns}")
        return decode_integers(payload[rows:], classes[:, None], (rows, columns))

    def finish(self) -> None:
        """Refuse bytes after the last section."""
        if self.more:
            raise CorruptArchive(f"codebook: {self._where}: byte {self._at}: bytes after the last section")


def _crc(data: bytes) -> bytes:
    return _U32.pack(zlib.crc32(data))
