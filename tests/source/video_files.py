"""Small videos whose frames say which one they are, in any container, codec, pixel format and timing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import VideoFrame, open_video

BITS = 8
_QUIET = {"libx265": {"x265-params": "log-level=none:info=0:pools=none:frame-threads=1"}}


def picture(number: int, width: int = 128, height: int = 64) -> np.ndarray:
    """(height, width, 3) uint8: 8 vertical bars, dark or light by the bits of `number`, over a little texture."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    bars = np.repeat(np.array(bits), -(-width // BITS))[:width]
    texture = (np.arange(height)[:, None] * 3 + np.arange(width)[None, :] * 2) % 32
    gray = np.where(bars[None, :] == 1, 190, 40) + texture
    return np.repeat(gray[:, :, None], 3, axis=2).astype(np.uint8)


def coloured(number: int, width: int = 128, height: int = 64) -> np.ndarray:
    """`picture` with colours that change from cell to cell of 4 x 4; their means are those of `picture`."""
    hue = np.random.default_rng(number).integers(-40, 41, (-(-height // 4), -(-width // 4), 2))
    hue = hue.repeat(4, 0).repeat(4, 1)[:height, :width]
    shift = np.stack([hue[..., 0], hue[..., 1] - hue[..., 0], -hue[..., 1]], axis=-1)
    return np.clip(picture(number, width, height) + shift, 0, 255).astype(np.uint8)


def number_of(pixels: np.ndarray) -> int:
    """The number that `picture` was drawn with, read back after any lossy coding."""
    width = pixels.shape[1]
    step = -(-width // BITS)
    means = [pixels[:, n * step : min((n + 1) * step, width)].mean() for n in range(BITS)]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 128)


def make_video(
    path: Path,
    *,
    frames: int = 48,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (128, 64),
    rate: Fraction | int = 24,
    pts: Sequence[int] | None = None,
    timebase: Fraction | None = None,
    container: str | None = None,
    muxer: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    rotation: dict[str, Any] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """A video at `path`. size: width, height. settings: attributes of the codec context (colour, interlacing)."""
    pictures = pictures or [picture(number, *size) for number in range(frames)]
    with av.open(str(path), "w", format=container, options=muxer or {}) as output:
        stream = output.add_stream(
            codec, rate=rate, options={"threads": "1", **_QUIET.get(codec, {}), **(options or {})}
        )
        stream.width, stream.height = pictures[0].shape[1], pictures[0].shape[0]
        stream.pix_fmt = pixel_format
        base = timebase or 1 / Fraction(rate)
        stream.codec_context.time_base = base
        for name, value in (settings or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(**rotation)
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = number if pts is None else pts[number], base
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    return path


def remux(source: Path, target: Path, change: Any, muxer: dict[str, str] | None = None) -> Path:
    """The packets of `source`, each as `change(number, packet)` leaves it (False drops it), in a new file."""
    with av.open(str(source)) as given, av.open(str(target), "w", options=muxer or {}) as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for number, packet in enumerate(given.demux(stream)):
            if packet.dts is not None and change(number, packet) is not False:
                packet.stream = copy
                output.mux(packet)
    return target


def read(source: Any, **options: Any) -> list[VideoFrame]:
    """All chosen frames of a video."""
    video = open_video(source, EncodeOptions(**options))
    try:
        return list(video)
    finally:
        video.close()


def numbers(frames: Sequence[VideoFrame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


class ShortReads(io.RawIOBase):
    """A pipe that gives a few bytes at a time and cannot seek."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        self._data = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._data.read(self._most if size is None or size < 0 else min(size, self._most))
