"""The bytes of a video as PyAV reads them: a local file, an object behind a URL, or a pipe.

A pipe is decoded as it arrives where its format allows that (Matroska, MPEG-TS, MP4 with its index in front, ...);
otherwise, as for an MP4 whose index is at the end, it is copied to a scratch file first, and a note says so.
PyAV gets a file object, never a name: what a file is called then decides nothing, and no playlist can name others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from embdc_cli.errors import SourceError
from embdc_cli.source.digest import ends_digest, head_digest, input_bytes
from embdc_cli.source.location import InputFile, locate, spool_stream
from embdc_cli.source.pipe import Pipe

_EBML: Final = b"\x1aE\xdf\xa3"
_SEGMENT: Final = b"\x18S\x80g"
_MPEG_TS_PACKET: Final = 188


@dataclass
class VideoInput:
    """An opened input. file: what PyAV reads; seekable: whether it has seek and tell.

    declared_bytes: size of the whole file by its own account (Matroska), None where the format has none.
    """

    file: Any
    shown: str
    seekable: bool
    head_digest: str
    declared_bytes: int | None
    facts: Callable[[], dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    @property
    def missing_bytes(self) -> bool:
        """Whether the input, now that it was read to its end, is shorter than it says itself."""
        return self.declared_bytes is not None and self.facts()["size_bytes"] < self.declared_bytes


def open_video_input(source: str | Path | Pipe | BinaryIO, spool_max: int) -> VideoInput:
    """The input behind a path, a fsspec URL or a stream; at most `spool_max` bytes are kept in scratch.

    Raises: SourceError when it is missing or empty, ResourceError when the copy does not fit.
    """
    if isinstance(source, str | Path):
        return _from_file(locate(source, spool_max), [])
    pipe = source if isinstance(source, Pipe) else Pipe(source)
    head = pipe.head()
    if not head:
        raise SourceError(f"{pipe.shown}: empty, 0 bytes")
    if not streams_well(head):
        note = f"{pipe.shown}: this format needs seeking, copied to a scratch file before decoding"
        return _from_file(spool_stream(pipe, pipe.shown, spool_max), [note])
    return VideoInput(pipe, pipe.shown, False, head_digest(head), declared_size(head), _facts_of_pipe(pipe))


def _from_file(found: InputFile, notes: list[str]) -> VideoInput:
    facts = file_facts(found)
    named = found.named()
    file = open(named, "rb") if isinstance(named, str) else named  # noqa: SIM115 - closed by close()

    def close() -> None:
        file.close()
        found.close()

    head = file.read(1 << 16)
    file.seek(0)
    return VideoInput(
        file, found.shown, True, head_digest(head), declared_size(head), lambda: facts, notes=notes, close=close
    )


def file_facts(found: InputFile) -> dict[str, Any]:
    """What recognises a file or object again: its size and a digest of its ends. Raises: SourceError."""
    file = found.positioned()
    try:
        return {"size_bytes": input_bytes(file), "ends_digest": ends_digest(file)}
    finally:
        file.close()


def _facts_of_pipe(pipe: Pipe) -> Callable[[], dict[str, Any]]:
    def facts() -> dict[str, Any]:
        pipe.drain()  # also spares the producer a broken pipe when --time ends early
        return pipe.facts()

    return facts


def streams_well(head: bytes) -> bool:
    """Whether a file that begins with `head` can be demuxed front to back without seeking."""
    if head.startswith((_EBML, b"FLV", b"OggS", b"YUV4MPEG2", b"DKIF", b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return True
    if len(head) > 2 * _MPEG_TS_PACKET and head[0] == head[_MPEG_TS_PACKET] == head[2 * _MPEG_TS_PACKET] == 0x47:
        return True
    return _index_in_front(head)


def _index_in_front(head: bytes) -> bool:
    """Whether the boxes of an MP4 or MOV that are visible in `head` have moov before mdat."""
    offset = 0
    while offset + 8 <= len(head):
        size, kind = struct.unpack_from(">I4s", head, offset)
        if kind == b"moov":
            return True
        if size == 1 and offset + 16 <= len(head):
            size = struct.unpack_from(">Q", head, offset + 8)[0]
        if kind == b"mdat" or size < 8:
            return False
        offset += size
    return False


def declared_size(head: bytes) -> int | None:
    """Size of the whole file that the Matroska or WebM header `head` declares; None for others and for live ones."""
    if not head.startswith(_EBML):
        return None
    length, offset = _ebml_size(head, 4)
    if length is None:
        return None
    segment = offset + length
    if head[segment : segment + 4] != _SEGMENT:
        return None
    length, offset = _ebml_size(head, segment + 4)
    return None if length is None else offset + length


def _ebml_size(data: bytes, offset: int) -> tuple[int | None, int]:
    """The variable-length integer at `offset` (None: unknown, or cut off) and the offset behind it. RFC 8794, 4.4."""
    first = data[offset] if offset < len(data) else 0
    width = 9 - first.bit_length()
    field_bytes = data[offset : offset + width]
    if first == 0 or len(field_bytes) < width:
        return None, offset
    value = int.from_bytes(field_bytes, "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), offset + width
