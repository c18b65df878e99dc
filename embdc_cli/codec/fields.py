"""Small fields of models and chunk payloads: unsigned LEB128 varints, single bytes, floats, and blobs with a length.

Every read checks what is left before it allocates; whatever is missing or too large is a CorruptArchive.
"""

from __future__ import annotations

import struct

from embdc_cli.errors import CorruptArchive

_MAX_VARINT_BYTES = 9  # 63 bits: every varint fits an int64
MAX_VARINT = (1 << 7 * _MAX_VARINT_BYTES) - 1


class FieldWriter:
    """Collects fields into bytes."""

    def __init__(self) -> None:
        self._out = bytearray()

    def byte(self, value: int) -> None:
        """One byte, 0..255."""
        self._out.append(value)

    def signed_byte(self, value: int) -> None:
        """One byte, -128..127."""
        self._out += struct.pack("<b", value)

    def varint(self, value: int) -> None:
        """An unsigned integer below 2^63, seven bits a byte, low bits first."""
        while value >= 0x80:
            self._out.append(value & 0x7F | 0x80)
            value >>= 7
        self._out.append(value)

    def float64(self, value: float) -> None:
        self._out += struct.pack("<d", value)

    def raw(self, data: bytes) -> None:
        """Bytes whose length the reader knows."""
        self._out += data

    def blob(self, data: bytes) -> None:
        """Bytes after their length."""
        self.varint(len(data))
        self._out += data

    def bytes(self) -> bytes:
        return bytes(self._out)


class FieldReader:
    """Reads fields back. `what` names the thing being read in errors."""

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._data = memoryview(data).cast("B")
        self._at = 0
        self._what = what

    def _take(self, count: int) -> memoryview:
        if count > self.left:
            raise self.corrupt(f"expected {count} more bytes, found {self.left}")
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def byte(self, *, limit: int = 255) -> int:
        """One byte, at most `limit`."""
        value = self._take(1)[0]
        if value > limit:
            raise self.corrupt(f"expected at most {limit}, found {value}")
        return value

    def signed_byte(self) -> int:
        return int(struct.unpack("<b", self._take(1))[0])

    def varint(self, *, limit: int) -> int:
        """An unsigned integer, at most `limit`."""
        value = 0
        for i in range(_MAX_VARINT_BYTES):
            piece = self._take(1)[0]
            value |= (piece & 0x7F) << 7 * i
            if piece < 0x80:
                if value > limit:
                    raise self.corrupt(f"expected at most {limit}, found {value}")
                return value
        raise self.corrupt(f"an integer is longer than {_MAX_VARINT_BYTES} bytes")

    def float64(self) -> float:
        return float(struct.unpack("<d", self._take(8))[0])

    def raw(self, count: int) -> memoryview:
        return self._take(count)

    def blob(self) -> memoryview:
        return self._take(self.varint(limit=len(self._data)))

    def rest(self) -> memoryview:
        """Everything that is left."""
        return self._take(self.left)

    def end(self) -> None:
        """Raises CorruptArchive unless everything has been read."""
        if self._at != len(self._data):
            raise self.corrupt(f"expected {self._at} bytes, found {len(self._data)}")

    def corrupt(self, found: str) -> CorruptArchive:
        """The error for a fault at the present byte."""
        return CorruptArchive(f"{self._what}: byte {self._at}: {found}")
