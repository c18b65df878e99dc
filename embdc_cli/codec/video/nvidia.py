"""NVENC and NVDEC through PyNvVideoCodec: NV12 or P010 with flat chroma in host memory, the same bitstreams out.

What an engine takes is asked of it and never assumed: A100, H100 and H200 have no NVENC at all, and few decode H.264 in
ten bits. Everything that is missing is a `ResourceError` that names it.
"""

from __future__ import annotations

import ctypes
import io
import logging
from typing import Any, Final

import numpy as np

from embdc_cli.codec.video.av1 import temporal_units
from embdc_cli.codec.video.stream import KEY_INTERVAL, Coding
from embdc_cli.errors import CorruptArchive, ResourceError
from embdc_cli.printed import NVDEC_COMPLAINT, printed_meanwhile

_SURFACES: Final = {8: "NV12", 10: "P010"}
_PADDING_BITS: Final = {8: 0, 10: 6}  # ten bits are the high ones of sixteen
_UNHEARD: Final = logging.NullHandler()
_PRESETS: Final = ("P1", "P4", "P6", "P7")
_HINT: Final = "use --backend software, which reads and writes the same streams"


def encode(frames: np.ndarray, coding: Coding) -> bytes:
    """frames: (T, H, W) integers of `coding.depth` bits. Raises ResourceError where NVENC cannot take them."""
    library = _library()
    _, height, width = frames.shape
    capabilities = _capabilities(lambda: library.GetEncoderCaps(codec=coding.standard), f"NVENC for {coding.standard}")
    if not capabilities.get("num_encoder_engines", 1):
        raise _missing(f"no NVENC for {coding.standard}")
    if coding.depth > 8 and not capabilities.get("support_10bit_encode", 0):
        raise _missing(f"no NVENC for {coding.standard} in ten bits")
    if width > capabilities.get("width_max", width) or height > capabilities.get("height_max", height):
        raise _missing(f"no NVENC for frames of {width}x{height}")
    chroma = np.full((height // 2, width), 1 << (coding.depth - 1), frames.dtype)
    out = bytearray()
    try:
        encoder = library.CreateEncoder(width, height, _SURFACES[coding.depth], True, **_parameters(coding))
        for frame in frames:
            surface = np.concatenate([frame, chroma]).astype(np.uint16) << _PADDING_BITS[coding.depth]
            packets = encoder.Encode(np.ascontiguousarray(surface, np.uint8 if coding.depth == 8 else np.uint16))
            out += b"".join(bytes(packet["data"]) for packet in packets)
        out += b"".join(bytes(packet["data"]) for packet in encoder.EndEncode())
    except _failures(library) as error:
        raise _missing(f"NVENC for {coding.standard} failed: {_first_line(error)}") from error
    return bytes(out)


def decode(data: bytes, standard: str, depth: int, shape: tuple[int, int, int]) -> np.ndarray:
    """(T, H, W) integers of a bitstream of this shape. Raises CorruptArchive for any other; ResourceError."""
    library = _library()
    count, height, width = shape
    frames = np.empty(shape, np.uint8 if depth == 8 else np.uint16)
    found = 0
    feed = io.BytesIO(_contained(data, count) if standard == "av1" else data)
    try:
        demuxer = library.CreateDemuxer(lambda buffer: feed.readinto(buffer))
        decoder = library.CreateDecoder(
            gpuid=0, codec=demuxer.GetNvCodecId(), usedevicememory=False, maxwidth=width, maxheight=height
        )
        for packet in demuxer:
            with printed_meanwhile(NVDEC_COMPLAINT) as complaints:
                pictures = decoder.Decode(packet)
            if complaints:
                raise CorruptArchive("video bitstream: NVDEC reports an error in it")
            for picture in pictures:
                luma = np.frombuffer(ctypes.string_at(picture.GetPtrToPlane(0), picture.framesize()), frames.dtype)
                if found == count or luma.size != height * width * 3 // 2:
                    raise CorruptArchive(f"video bitstream: expected {count} frames of {width}x{height}, found others")
                frames[found] = luma[: height * width].reshape(height, width) >> _PADDING_BITS[depth]
                found += 1
    except _failures(library) as error:
        raise _missing(f"NVDEC for {standard} failed: {_first_line(error)}") from error
    if found != count:
        raise CorruptArchive(f"video bitstream: expected {count} frames, found {found}")
    return frames


def _parameters(coding: Coding) -> dict[str, str]:
    gop = str(KEY_INTERVAL if coding.inter else 1)
    return {
        "codec": coding.standard,
        "preset": _PRESETS[coding.effort],
        "tuning_info": "high_quality",
        "rc": "constqp",
        "constqp": str(coding.quantiser),
        "gop": gop,
        "idrperiod": gop,
    }


def _contained(data: bytes, most: int) -> bytes:
    """AV1 of at most so many frames in IVF, which a demuxer recognises."""
    out = bytearray(b"DKIF" + (32 << 16).to_bytes(4, "little") + b"AV01" + bytes(20))
    for number, packet in enumerate(temporal_units(data, most)):
        out += len(packet).to_bytes(4, "little") + number.to_bytes(8, "little") + packet
    return bytes(out)


def _library() -> Any:
    logging.getLogger("PyNvVideoCodec").addHandler(_UNHEARD)  # its essay on a failure would go to stderr
    try:
        import PyNvVideoCodec
    except Exception as error:
        raise _missing(f"PyNvVideoCodec cannot be used: {_first_line(error)}") from error
    return PyNvVideoCodec


def _failures(library: Any) -> tuple[type[Exception], ...]:
    """What the library raises: two kinds without a base of their own; names that another version has not, as well."""
    own = (getattr(library, name, RuntimeError) for name in ("PyNvVCException", "PyNvVCExceptionUnsupported"))
    return (*own, RuntimeError, AttributeError, TypeError)


def _capabilities(ask: Any, what: str) -> dict[str, Any]:
    try:
        return dict(ask())
    except Exception as error:
        raise _missing(f"no {what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _missing(what: str) -> ResourceError:
    return ResourceError(f"--backend nvidia: {what}", hint=_HINT)
