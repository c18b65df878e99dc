"""What a stream says of its pictures in its own bits: a change of size, depth, colour or scan changes these bytes.

NVDEC scales pictures of another size to that of the first ones and says nothing, so the change is looked for here.
"""

from __future__ import annotations

from typing import Final

_H264_SPS: Final = 7
_HEVC_SPS: Final = 33
_SEQUENCE_HEADER: Final = 1  # type of an OBU


def parameters(codec: str, data: bytes, *, keyframe: bool) -> set[bytes]:
    """The parameters in one packet, none when it repeats none. H.264 and HEVC: in Annex B."""
    if codec in ("h264", "hevc"):
        return {unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if _is_sps(unit, hevc=codec == "hevc")}
    if codec == "av1":
        return _sequence_headers(data)
    if not keyframe:
        return set()
    # VP9: sync code, colour, width, height, which are 60 bits, 61 in profile 2
    return {(int.from_bytes(data[1:9], "big") >> 3).to_bytes(8, "big")}


def _is_sps(unit: bytes, *, hevc: bool) -> bool:
    """Whether a NAL unit is a sequence parameter set, of the base layer in HEVC."""
    if not hevc:
        return len(unit) > 3 and unit[0] & 31 == _H264_SPS
    return len(unit) > 3 and (unit[0] >> 1) & 63 == _HEVC_SPS and not unit[0] & 1 and not unit[1] >> 3


def _sequence_headers(data: bytes) -> set[bytes]:
    """The sequence headers among the OBUs of a temporal unit. Source: AV1 specification, 5.3."""
    found = set()
    offset = 0
    while offset < len(data) and data[offset] & 2:  # every OBU says its size
        kind, start = (data[offset] >> 3) & 15, offset + (2 if data[offset] & 4 else 1)
        size = shift = 0
        while start < len(data):
            size |= (data[start] & 127) << shift
            shift, start = shift + 7, start + 1
            if not data[start - 1] & 128:
                break
        if kind == _SEQUENCE_HEADER:
            found.add(data[start : start + size])
        offset = start + size
    return found
