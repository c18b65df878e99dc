"""Tensors as videos: embdc-codec(5), HADAMARD, VIDEO_SAMPLES, VIDEO_BITSTREAM.

The bitstreams themselves are decoded by somebody else (`Scope.video`); what their samples mean is here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.reader.errors import Refused, check
from tests.conformance.reader.fields import Fields
from tests.conformance.reader.integers import uniform
from tests.conformance.reader.stages import Coder, Scope, Stage, step_in


class Hadamard(Stage):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.seed = fields.varint((1 << 31) - 1)
        self.channels = scope.channels

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        channels, width = self.channels, 1
        while 2 * width <= channels:
            width *= 2
        starts = [0] if width >= channels else [0, channels - width]
        walsh = np.ones((1, 1))
        while len(walsh) < width:
            walsh = np.block([[walsh, walsh], [walsh, -walsh]])
        x = np.array(y)
        for number, start in reversed(list(enumerate(starts))):
            x[..., start : start + width] = x[..., start : start + width] @ walsh / np.sqrt(width)
            x *= [_sign(self.seed, number * channels + channel + 1) for channel in range(channels)]
        return x, step


def _sign(seed: int, count: int) -> int:
    most = (1 << 64) - 1
    z = seed + count * 0x9E3779B97F4A7C15 & most
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & most
    z = (z ^ z >> 27) * 0x94D049BB133111EB & most
    return -1 if z >> 63 else 1


class VideoUnread(Refused):
    """There is nobody to decode the bitstream of a video codec."""


class VideoSamples(Stage):
    quantiser = True
    has_side = True

    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.standard = fields.byte(2)
        quantiser = fields.byte((51, 51, 63)[self.standard])
        fields.byte(1)
        fields.byte(3)
        self.step = step_in(fields)
        self.width = fields.varint()
        self.scale = self.step / _step_of(self.standard, quantiser)
        depth = 10 if self.standard else 8
        self.exponents = np.array(uniform(fields, scope.channels), np.int64)
        self.zeros = np.array(uniform(fields, scope.channels), np.int64) + (1 << depth - 1)
        check(((self.exponents >= 0) & (self.exponents <= 48)).all(), "scales of samples")
        check(((self.zeros >= 0) & (self.zeros < 1 << depth)).all(), "zero points of samples")

    def side(self, data: bytes, shape: tuple[int, ...]) -> bytes:
        return data

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        return (y - self.zeros) * np.ldexp(self.scale, self.exponents), np.array(self.step)


def _step_of(standard: int, quantiser: int) -> float:
    if standard < 2:
        return float(2.0 ** ((max(quantiser, 1 - standard) - 4) / 6) * (1, 4)[standard])
    at = (1, 6, 14, 22, 30, 38, 46, 54, 63)
    steps = (1.8, 8.9, 23.1, 36.9, 60.2, 108.0, 186.0, 330.0, 700.0)
    return float(2.0 ** np.interp(quantiser, at, np.log2(steps)))


class VideoBitstream(Coder):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        check(scope.before and isinstance(scope.before[-1], VideoSamples), "a bitstream of no samples")
        self.samples = scope.before[-1]
        self.video = scope.video

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        check(not data, "bytes after a bitstream")
        assert isinstance(self.samples, VideoSamples)
        bitstream, width = sides[-1], self.samples.width
        check(not width or shape[1] % width == 0, "tokens are no grid")
        if 0 in shape:
            check(not bitstream, "a bitstream of nothing")
            return np.zeros(shape, np.int64)
        if self.video is None:
            raise VideoUnread("the bitstream of a video codec")
        place = _mosaic if width else _strips
        frames, order = place(shape, width)
        samples = self.video(bitstream, self.samples.standard, frames).reshape(-1)[order]
        return np.asarray(samples.reshape(shape), np.int64)


def _mosaic(shape: tuple[int, ...], width: int) -> tuple[tuple[int, int, int], np.ndarray]:
    """Frames, and the place of each sample in them: a tile for each channel, a frame for each row."""
    rows, tokens, channels = shape
    height = tokens // width
    across = max(1, min(channels, round(np.sqrt(channels * height / width))))
    frames = rows, _padded(-(-channels // across) * height), _padded(across * width)
    t, n, c = np.mgrid[0:rows, 0:tokens, 0:channels]
    y, x = c // across * height + n // width, c % across * width + n % width
    return frames, ((t * frames[1] + y) * frames[2] + x).ravel()


def _strips(shape: tuple[int, ...], width: int) -> tuple[tuple[int, int, int], np.ndarray]:
    """The same of matrices cut into strips."""
    rows, tokens, channels = shape
    matrices = rows if tokens * channels >= 4096 else 1
    lines = rows * tokens // matrices
    across = max(1, min(4096 // max(1, channels), round(np.sqrt(lines / max(1, channels)))))
    count = -(-lines // (4096 * across))
    height = -(-lines // (count * across))
    frames = matrices * count, _padded(height), _padded(across * channels)
    matrix, line, c = np.mgrid[0:matrices, 0:lines, 0:channels]
    t, inside = matrix * count + line // (across * height), line % (across * height)
    return frames, ((t * frames[1] + inside % height) * frames[2] + inside // height * channels + c).ravel()


def _padded(side: int) -> int:
    return max(64, -(-side // 8) * 8)
