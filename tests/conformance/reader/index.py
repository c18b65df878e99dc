"""iNDX: it must list the chunks as they are."""

from __future__ import annotations

import struct
from typing import Any

from tests.conformance.reader import bits
from tests.conformance.reader.errors import Unsupported, check
from tests.conformance.reader.records import CODES, Chunk, Data, Part, Times


def check_index(part: Part, chunk: Chunk) -> None:
    """An index lists the chunks before it, or from the last checkpoint on, exactly as they are."""
    check(len(chunk.content) >= 24, "iNDX is too short")
    form, layout, zero, count, first_seq, zero2, first_offset = struct.unpack_from("<BBHIIIQ", chunk.content)
    if layout:
        raise Unsupported(f"index layout {layout}")
    check(form <= 1 and not zero and not zero2, "form of an index")
    first = 0
    if form == 0:
        first = max((place for place, one in enumerate(part.chunks) if one.type == "iNDX"), default=0)
    listed, said = part.chunks[first:], part.said[first:]
    wanted = (len(listed), listed[0].seq, listed[0].offset)
    check((count, first_seq, first_offset) == wanted, "an index of other chunks")
    columns, at = [], 24
    for _ in range(24):
        size, at = bits.leb128(chunk.content, at)
        columns.append(size)
    pieces = []
    for size in columns:
        check(size <= len(chunk.content) - at, "a column is cut")
        pieces.append(chunk.content[at : at + size])
        at += size
    check(at == len(chunk.content), "bytes after the last column")
    _check_columns(pieces, listed, said)


def _check_columns(columns: list[bytes], listed: list[Chunk], said: list[Any]) -> None:
    data = [(len(chunk.content), one) for chunk, one in zip(listed, said, strict=True) if isinstance(one, Data)]
    ordered = sorted(data, key=lambda pair: pair[1].stream)  # keeps the order of the file within a stream
    rows = [one for _, one in ordered]
    models = [one for chunk, one in zip(listed, said, strict=True) if chunk.type == "MODL"]
    books = [one for chunk, one in zip(listed, said, strict=True) if chunk.type == "CBOK"]
    times = [one for one in said if isinstance(one, Times)]
    n, m, k = len(rows), len(models), len(times)
    others = [len(chunk.content) for chunk in listed if chunk.type != "DATA"]
    spans, clocks = bits.differences(columns[9], n), bits.differences(columns[19], k)
    found = [
        bits.column(columns[0], len(listed)) == [CODES.get(chunk.type, 15) for chunk in listed],
        bits.differences(columns[1], len(others)) == others,
        bits.differences(columns[2], n) == [size for size, _ in ordered],
        bits.differences(columns[3], n) == [one.stream for _, one in data],
        bits.differences(columns[4], n) == [one.kind for one in rows],
        bits.differences(columns[5], n) == [one.segment for one in rows],
        bits.differences(columns[6], n) == [one.rows for one in rows],
        bits.predicted(columns[7], [one.rows for one in rows]) == [one.row0 for one in rows],
        bits.predicted(columns[8], spans) == [one.pts0 for one in rows],
        spans == [bits.signed(one.pts1 - one.pts0) for one in rows],
        _bits(columns[10], n, 4) == [one.quality[:4] for one in rows],
        _bits(columns[11], n, 2) == [one.quality[4:6] for one in rows],
        _bits(columns[12], n, 2) == [one.quality[6:] for one in rows],
        bits.differences(columns[13], m) == [stream for stream, _ in models],
        bits.differences(columns[14], m) == [segment for _, segment in models],
        bits.differences(columns[15], k) == [one.item for one in times],
        bits.differences(columns[16], k) == [one.rows for one in times],
        bits.predicted(columns[17], [one.rows for one in times]) == [one.row0 for one in times],
        bits.predicted(columns[18], clocks) == [one.first for one in times],
        clocks == [bits.signed(one.last - one.first) for one in times],
        bits.differences(columns[20], k) == [one.step for one in times],
        columns[21] == b"".join(digest for digest, *_ in books),
        bits.column(columns[22], len(books)) == [size for _, size, *_ in books],
        bits.column(columns[23], len(books)) == [embedded for _, _, embedded, _ in books],
    ]
    check(all(found), f"index and chunks disagree in column {found.index(False) + 1 if not all(found) else 0}")


def _bits(data: bytes, count: int, width: int) -> list[bytes]:
    """A column of bits."""
    form, body = data[:1], data[1:]
    if form == b"\x00":
        check(count and len(body) == width, "a column of equal bits")
        return [body] * count
    check(len(body) == count * width and form in (b"", b"\x01"), "a column of bits")
    return [body[place : place + width] for place in range(0, len(body), width)]
