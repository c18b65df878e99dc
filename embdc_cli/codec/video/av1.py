"""AV1 as a sequence of temporal units: each begins with a delimiter and shows one frame.

An open bitstream unit is a header byte (type in bits 3 to 6, extension in bit 2, size field in bit 1), perhaps an
extension byte, its size as LEB128, and that many bytes. Source: AV1 bitstream specification, sections 5.3 and 7.5.
"""

from __future__ import annotations

from typing import Final

from embdc_cli.errors import CorruptArchive

_DELIMITER: Final = 2
_SIZE_BYTES: Final = 8


def temporal_units(data: bytes, most: int) -> list[bytes]:
    """The units of a bitstream. Raises CorruptArchive for what is none, and for more units than `most`."""
    starts, at = [], 0
    while at < len(data):
        header = data[at]
        if header >> 3 & 15 == _DELIMITER:
            starts.append(at)
        if not starts or not header & 2:
            raise CorruptArchive(f"video bitstream: byte {at}: expected a temporal unit of AV1")
        size, after = _leb128(data, at + 1 + (header >> 2 & 1))
        at = after + size
    if at != len(data) or not 0 < len(starts) <= most:
        raise CorruptArchive(f"video bitstream: expected up to {most} whole frames of AV1, found {len(starts)}")
    return [data[start:stop] for start, stop in zip(starts, [*starts[1:], len(data)], strict=True)]


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends)."""
    value = 0
    for number, byte in enumerate(data[at : at + _SIZE_BYTES]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, at + number + 1
    raise CorruptArchive(f"video bitstream: byte {at}: expected a size")
