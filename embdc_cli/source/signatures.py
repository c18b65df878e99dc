"""What the first bytes of a file say it is."""

from __future__ import annotations

import codecs
import struct
from typing import Final

SAFETENSORS_MAX_HEADER: Final = 100_000_000  # the format's own limit
_HDF5 = b"\x89HDF\r\n\x1a\n"
# the magic number of files that torch wrote before 1.6, as a pickled long
_LEGACY_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_TS_PACKET = 188

_STARTS: Final = (
    (b"\x93NUMPY", "npy"),
    (b"\x89EMBDC\r\n\x1a\n", "embdc"),
    (_HDF5, "h5"),
    (b"\x1aE\xdf\xa3", "video"),  # Matroska, WebM
    (b"FLV\x01", "video"),
    (b"OggS", "video"),
    (b"0&\xb2u\x8ef\xcf\x11", "video"),  # ASF, WMV
    (b"YUV4MPEG2 ", "video"),
    (b"DKIF", "video"),  # IVF
    (b"GIF8", "video"),
    (b"\x00\x00\x01\xba", "video"),  # MPEG program stream
    (b"\x00\x00\x01\xb3", "video"),  # MPEG video
    (b"\x00\x00\x00\x01", "video"),  # H.264 or HEVC, Annex B
    (b"\x00\x00\x01\x09", "video"),
    (b"\x00\x00\x01g", "video"),
)
_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")

_OTHERS: Final = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"GGUF", "a GGUF file"),
    (b"CDF\x01", "a NetCDF 3 file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\x7fELF", "a program"),
)


def by_signature(head: bytes) -> str | None:
    """The format that starts with `head` (up to 64 KiB); "zip" is npz or pt, None is unknown."""
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[4:8] in _ATOMS or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    if len(head) > 3 * _TS_PACKET and head[0] == head[_TS_PACKET] == head[2 * _TS_PACKET] == 0x47:
        return "video"
    if head[:1] == b"\x80" and head[2:].startswith(_LEGACY_TORCH):
        return "pt"
    if _is_safetensors(head):
        return "safetensors"
    user_block = 512
    while user_block + len(_HDF5) <= len(head):
        if head[user_block:].startswith(_HDF5):
            return "h5"
        user_block *= 2
    return None


def _is_safetensors(head: bytes) -> bool:
    if len(head) < 9:
        return False
    size = struct.unpack_from("<Q", head)[0]
    return bool(2 <= size <= SAFETENSORS_MAX_HEADER and head[8:9] == b"{")


def describe(head: bytes) -> str:
    """Words for content that is none of embdc's inputs."""
    for start, words in _OTHERS:
        if head.startswith(start):
            return words
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "a Python pickle"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if is_text(head):
        return "text"
    return f"unknown content starting with {head[:8].hex(' ')}"


def is_text(head: bytes) -> bool:
    """Whether `head` reads as UTF-8 without control characters; its last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(char >= " " or char in "\t\n\r\f\x1b" for char in text)
