"""zstd over each plane of the first axis by itself.

One plane, one frame: a plane of noise does not spoil the statistics of the next. Layout: for each plane [varint] bytes
and the frame, no bytes for a plane of zeros; the last plane's length is not written. codes (P, ...) uint8, or a single
plane of wider codes. The decoded size follows from the shape, never from what a frame says of itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.bounded_zstd import compress, decompress
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId


@dataclass(frozen=True)
class ZstandardPlanes(Coder):
    """dtype: of the codes, as numpy spells it. split: whether the first axis is planes, else all is one plane."""

    stage = StageId.ZSTANDARD
    dtype: str
    split: bool

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        planes = codes.reshape(len(codes) if self.split else 1, -1)
        out = FieldWriter()
        for plane in planes[:-1]:
            out.blob(compress(plane.tobytes()) if plane.any() else b"")
        out.raw(compress(planes[-1].tobytes()) if planes[-1].any() else b"")
        return out.bytes()

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        planes = shape[0] if self.split else 1
        count = math.prod(shape) // planes
        fields = FieldReader(data, "lossless chunk")
        codes = np.zeros((planes, count), self.dtype)
        for i in range(planes):
            frame = fields.rest() if i == planes - 1 else fields.blob()
            if len(frame):
                raw = decompress(frame, count * codes.itemsize, "lossless chunk")
                codes[i] = np.frombuffer(raw, self.dtype)
        return codes.reshape(shape)
