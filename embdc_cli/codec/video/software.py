"""The codecs in software, through PyAV: x264, x265 and SVT-AV1 encode, FFmpeg's own decoders and dav1d decode.

One thread each, and nothing that depends on timing: the same frames and parameters give the same bytes.
Psychovisual options, adaptive quantisation and lookahead-made quantisers are off: error is squared error here. x265
tries intra blocks in B-frames: without, its faster presets give other bytes from run to run, and up to a tenth more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, Final

import numpy as np

from embdc_cli.codec.video.av1 import temporal_units
from embdc_cli.codec.video.stream import KEY_INTERVAL, Coding
from embdc_cli.errors import CorruptArchive, ResourceError

_ENCODERS: Final = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
_FORMATS: Final = {8: "yuv420p", 10: "yuv420p10le"}
_TYPES: Final[dict[int, np.dtype]] = {8: np.dtype(np.uint8), 10: np.dtype("<u2")}
_X26_PRESETS: Final = ("superfast", "veryfast", "medium", "slower")
_SVT_PRESETS: Final = (7, 5, 3, 2)
_BIDIRECTIONAL_FROM: Final = 10
"""The quantiser of x265 from which on there are B-frames: below, they save nothing, and give other bytes from run to
run, in presets from veryfast to slower.
"""
_FILTERED_FROM: Final = 11
"""The quantiser of SVT-AV1 from which on frames that others are predicted from are filtered along time: it saves up to
a quarter of the bits of coarse ones, and what it removes is more than the error of fine ones.
"""
_TICK: Final = Fraction(1, 30)

os.environ.setdefault("SVT_LOG", "1")  # of SVT-AV1, which otherwise tells its configuration to standard error


def encode(frames: np.ndarray, coding: Coding) -> bytes:
    """frames: (T, H, W) integers of `coding.depth` bits, H and W even. Raises ResourceError without the encoder."""
    import av

    name = _ENCODERS[coding.standard]
    try:
        context: Any = av.CodecContext.create(name, "w")
    except av.FFmpegError as error:
        raise ResourceError(f"--codec {coding.standard}: this machine's FFmpeg has no encoder {name}") from error
    count, height, width = frames.shape
    kind = _TYPES[coding.depth]
    context.width, context.height, context.pix_fmt = width, height, _FORMATS[coding.depth]
    context.time_base, context.framerate = _TICK, 1 / _TICK
    context.thread_count = 1
    context.options = _options(coding)
    chroma = np.full((height // 2, width), 1 << (coding.depth - 1), kind)
    out = bytearray()
    with ordinary_priority():
        for number in range(count):
            picture = np.concatenate([frames[number].astype(kind, copy=False), chroma])
            frame = av.VideoFrame.from_ndarray(picture, format=context.pix_fmt)
            frame.pts, frame.time_base = number, _TICK
            for packet in context.encode(frame):
                out += bytes(packet)
        for packet in context.encode(None):
            out += bytes(packet)
    return bytes(out)


def decode(data: bytes, standard: str, depth: int, shape: tuple[int, int, int]) -> np.ndarray:
    """(T, H, W) integers of a bitstream of this shape. Raises CorruptArchive for any other bitstream."""
    import av

    count, height, width = shape
    context: Any = av.CodecContext.create("libdav1d" if standard == "av1" else standard, "r")
    context.thread_count = 1
    # a frame that claims to be larger is refused before memory is taken for it
    context.options = {"max_pixels": str((width + 64) * (height + 64)), "err_detect": "explode"}
    frames = np.empty(shape, _TYPES[depth])
    found = 0
    try:
        for picture in _pictures(context, data, count if standard == "av1" else None):
            if found == count or (picture.height, picture.width, picture.format.name) != (
                height,
                width,
                _FORMATS[depth],
            ):
                raise CorruptArchive(
                    f"video bitstream: expected {count} frames of {width}x{height} {_FORMATS[depth]}, found "
                    f"{picture.width}x{picture.height} {picture.format.name} at frame {found}"
                )
            frames[found] = picture.to_ndarray()[:height]
            found += 1
    except (av.FFmpegError, ValueError) as error:
        raise CorruptArchive(f"video bitstream: {error}") from error
    if found != count:
        raise CorruptArchive(f"video bitstream: expected {count} frames, found {found}")
    return np.asarray(frames)


def _pictures(context: Any, data: bytes, units: int | None) -> Iterator[Any]:
    """Decoded frames. units: at most so many, of AV1, one by one: its decoder keeps all it is given."""
    pieces = [data] if units is None else temporal_units(data, units)
    for piece in (*pieces, b""):
        for packet in context.parse(piece):
            yield from context.decode(packet)
    yield from context.decode(None)


def _options(coding: Coding) -> dict[str, str]:
    gop = str(KEY_INTERVAL if coding.inter else 1)
    quantiser = str(coding.quantiser)
    if coding.standard == "h264":
        words = f"qp={quantiser}:keyint={gop}:scenecut=0:psy=0:aq-mode=0:mbtree=0:rc-lookahead=0:sliced-threads=0"
        return {"preset": _X26_PRESETS[coding.effort], "x264-params": words + ":trellis=2:threads=1"}
    if coding.standard == "hevc":
        words = f"qp={quantiser}:keyint={gop}:scenecut=0:psy-rd=0:psy-rdoq=0:aq-mode=0:rdoq-level=2:b-intra=1"
        words += "" if coding.quantiser >= _BIDIRECTIONAL_FROM else ":bframes=0"
        words += ":info=0:log-level=none:pools=none:frame-threads=1:wpp=0"
        return {"preset": _X26_PRESETS[coding.effort], "x265-params": words}
    words = f"lp=1:keyint={'-1' if coding.inter else '1'}:scd=0:tune=1"
    words += f":enable-tf={int(coding.quantiser >= _FILTERED_FROM)}"
    return {"preset": str(_SVT_PRESETS[coding.effort]), "crf": quantiser, "svtav1-params": words}


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """SVT-AV1, started by root, makes threads real-time ones, which starves the rest of the machine; back they go.

    Threads that were so before are left alone, and those that end meanwhile are no matter.
    """
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time() -> set[int]:
    """Real-time threads of this process; none where they cannot be listed."""
    found = set()
    if hasattr(os, "sched_getscheduler") and os.path.isdir("/proc/self/task"):
        for name in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError, PermissionError):
                if os.sched_getscheduler(int(name)) != os.SCHED_OTHER:
                    found.add(int(name))
    return found
