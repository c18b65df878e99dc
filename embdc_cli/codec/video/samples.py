"""The quantiser of a video codec: its codes are the samples that a decoder of the bitstream gives.

The bitstream is side information of the chunk (`stage`): the encoder writes it with `measure`, decodes it like any
reader, and goes on with what it found. So the video codec's own loss is part of this one lossy step, encoder and
decoder agree because the standards are exact, and nothing is left for the coder after it to say.

x: (F, N, r) float32 -> int32 samples of the same shape. Error: that of `levels`, and that of the video codec, which
rate control measures and does not bound for a single value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Quantiser, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.dead_zone import read_step
from embdc_cli.codec.transform.parameters import Scope, SegmentStage
from embdc_cli.codec.video import backend
from embdc_cli.codec.video.levels import Levels
from embdc_cli.codec.video.stream import QUANTISERS, STANDARDS, Coding, step_of
from embdc_cli.codec.video.tiling import Tiling
from embdc_cli.errors import CorruptArchive

_INTER: Final = 1
_MOST_EFFORT: Final = 3


@dataclass(frozen=True, eq=False)
class VideoSamples(Quantiser, SegmentStage):
    """step: of the video codec's quantiser, in the units of x. width: of the token grid, 0 without (`tiling`).

    backend: who codes here and now; it is not part of the archive.
    """

    stage = StageId.VIDEO_SAMPLES
    has_side = True
    coding: Coding
    step: float
    width: int
    levels: Levels
    backend: str = "auto"

    @property
    def scale(self) -> float:
        """What a sample counts."""
        return self.step / step_of(self.coding.standard, self.coding.quantiser)

    def scaled(self, factor: float) -> VideoSamples:
        """With a step `factor` times as large, or the finest there is.

        The video codec's quantiser moves, and samples never get finer than they are: their levels would not reach.
        """
        standard, now = self.coding.standard, self.coding.quantiser
        wanted = factor * step_of(standard, now)
        first, last = QUANTISERS[standard]
        finer = [number for number in range(first, last + 1) if step_of(standard, number) <= wanted]
        quantiser = max(finer, default=first)
        step = self.step * max(factor, step_of(standard, quantiser) / step_of(standard, now))
        return replace(self, coding=replace(self.coding, quantiser=quantiser), step=step)

    def measure(self, x: np.ndarray) -> bytes:
        """The bitstream of `x`."""
        if not x.size:
            return b""
        frames = Tiling(self.width, _three(x.shape)).apply(self.levels.quantise(x, self.scale))
        return backend.encode(frames, self.coding, self.backend)

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return self.decoded(side, x.shape)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return self.levels.values(y, self.scale)

    def decoded(self, side: bytes, shape: Shape) -> np.ndarray:
        """The samples in the bitstream. Raises CorruptArchive when it holds other frames."""
        tiling = Tiling(self.width, _three(shape))
        if self.width and shape[1] % self.width:
            raise CorruptArchive(f"video samples: {shape[1]} tokens are no grid of width {self.width}")
        if 0 in shape:
            if side:
                raise CorruptArchive("video bitstream: expected none for a chunk without values")
            return np.zeros(shape, np.int32)
        if tiling.frames[0] > len(side):
            raise CorruptArchive(f"video bitstream: {tiling.frames[0]} frames in {len(side)} bytes")
        frames = backend.decode(side, self.coding.standard, self.coding.depth, tiling.frames, self.backend)
        return tiling.undo(frames).astype(np.int32)

    def write(self, out: FieldWriter) -> None:
        out.byte(STANDARDS.index(self.coding.standard))
        out.byte(self.coding.quantiser)
        out.byte(_INTER * self.coding.inter)
        out.byte(self.coding.effort)
        out.float64(self.step)
        out.varint(self.width)
        self.levels.write(out)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> VideoSamples:
        standard = STANDARDS[fields.byte(limit=len(STANDARDS) - 1)]
        coding = Coding(
            standard,
            max(QUANTISERS[standard][0], fields.byte(limit=QUANTISERS[standard][1])),
            bool(fields.byte(limit=_INTER)),
            fields.byte(limit=_MOST_EFFORT),
        )
        step = read_step(fields)
        width = fields.varint(limit=scope.limits.max_chunk_values)
        scope.samples = cls(coding, step, width, Levels.read(fields, scope.channels, coding.depth), scope.backend)
        return scope.samples


@dataclass(frozen=True)
class VideoBitstream(Coder, SegmentStage):
    """The coder after `VideoSamples`: no bytes of its own, since its codes are in their bitstream."""

    stage = StageId.VIDEO_BITSTREAM
    samples: VideoSamples

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        return b""

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        if len(data):
            raise CorruptArchive(f"video bitstream: expected the end, found {len(data)} bytes more")
        return self.samples.decoded(side, shape)

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> VideoBitstream:
        if scope.samples is None:
            raise fields.corrupt("expected video samples before their bitstream")
        return cls(scope.samples)


def _three(shape: Shape) -> tuple[int, int, int]:
    rows, tokens, channels = shape
    return rows, tokens, channels
