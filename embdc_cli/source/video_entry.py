"""Where decoding can begin in the middle of a stream and give exactly the frames that decoding from the start gives.

Used for a late `--time A..`: packets before such an entry are read but not decoded. No seeking by timestamp is
involved, whose landing place depends on the demuxer; an entry is proven from the packet itself:
  H.264          the packet holds an IDR slice (NAL type 5)
  HEVC           it holds an IRAP slice (NAL types 16-21); leading pictures, which precede it on screen, are dropped
  VP8, VP9, AV1  a keyframe replaces every reference
  intra codecs   every frame
Only in MP4, MOV and Matroska, which give every frame its own PTS; elsewhere decoding starts at the first frame.
"""

from __future__ import annotations

from typing import Final

import av
from av.stream import Stream

_FORMATS: Final = ("mov", "matroska")
_KEYFRAME_IS_ENTRY: Final = frozenset({"vp8", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1", "png", "rawvideo"})


class EntryFinder:
    """Recognises entry packets of one stream."""

    def __init__(self, container_format: str, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._known = container_format.startswith(_FORMATS)
        self._length_bytes = _length_bytes(self._codec, extradata or b"")

    def possible(self) -> bool:
        """Whether any packet of this stream could be proven to be an entry."""
        return self._known and (self._codec in _KEYFRAME_IS_ENTRY or self._length_bytes is not None)

    def is_entry(self, packet: av.Packet[Stream]) -> bool:
        """Whether decoding can begin at `packet`."""
        if not packet.is_keyframe or packet.is_corrupt or packet.is_discard or packet.pts is None:
            return False
        if self._codec in _KEYFRAME_IS_ENTRY:
            return True
        types = _nal_types(bytes(packet), self._length_bytes or 4, hevc=self._codec == "hevc")
        return any(16 <= kind <= 21 for kind in types) if self._codec == "hevc" else 5 in types


def _length_bytes(codec: str, extradata: bytes) -> int | None:
    """Bytes in front of each NAL unit that give its length, from avcC or hvcC; None without one (Annex B)."""
    if codec == "h264" and len(extradata) > 6 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if codec == "hevc" and len(extradata) > 22 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return None


def _nal_types(data: bytes, length_bytes: int, *, hevc: bool) -> list[int]:
    """Types of the NAL units in one length-prefixed access unit."""
    types = []
    offset = 0
    while offset + length_bytes < len(data):
        size = int.from_bytes(data[offset : offset + length_bytes], "big")
        header = data[offset + length_bytes]
        types.append((header >> 1) & 63 if hevc else header & 31)
        offset += length_bytes + size
    return types
