"""Small fields, one after the other: embdc-codec(5), Words; and zstd frames of known size."""

from __future__ import annotations

import math
import struct

import zstandard

from tests.conformance.reader.errors import Corrupt, check


class Fields:
    """Reads from the front of `data`; `end` makes sure that nothing is left."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def raw(self, count: int) -> bytes:
        check(count <= len(self.data) - self.at, f"{count} bytes expected, {len(self.data) - self.at} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self, limit: int = 255) -> int:
        return bounded(self.raw(1)[0], 0, limit)

    def i8(self, limit: int = 128) -> int:
        (value,) = struct.unpack("<b", self.raw(1))
        return bounded(value, -limit, limit)

    def f64(self) -> float:
        (value,) = struct.unpack("<d", self.raw(8))
        check(math.isfinite(value), "a number is not finite")
        return float(value)

    def varint(self, limit: int = (1 << 63) - 1, least: int = 0) -> int:
        value = 0
        for group in range(9):
            octet = self.raw(1)[0]
            value |= (octet & 0x7F) << 7 * group
            if octet < 0x80:
                return bounded(value, least, limit)
        raise Corrupt("a variable-length integer is too long")

    def blob(self) -> bytes:
        return self.raw(self.varint())

    def rest(self) -> bytes:
        return self.raw(len(self.data) - self.at)

    def end(self) -> None:
        check(self.at == len(self.data), f"{len(self.data) - self.at} bytes left over")


def bounded(value: int, low: int, high: int) -> int:
    check(low <= value <= high, f"{value} is not within {low} to {high}")
    return value


def unzstd(frame: bytes, size: int) -> bytes:
    """The `size` bytes of a frame; no bytes stand for no data."""
    if size == 0:
        check(not frame, "a frame of nothing")
        return b""
    try:
        claimed = zstandard.get_frame_parameters(frame).content_size
        check(claimed in (zstandard.CONTENTSIZE_UNKNOWN, size), "a frame of another size")
        data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Corrupt(f"zstd: {error}") from error
    check(len(data) == size, "a frame of another size")
    return data
