"""The bytes of the codes as they are: what noise costs, and never more."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.errors import CorruptArchive


@dataclass(frozen=True)
class Stored(Coder):
    """dtype: of the codes, as numpy spells it."""

    stage = StageId.STORED
    dtype: str

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        return np.ascontiguousarray(codes).tobytes()

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        expected = math.prod(shape) * np.dtype(self.dtype).itemsize
        if len(data) != expected:
            raise CorruptArchive(f"lossless chunk: expected {expected} stored bytes, found {len(data)}")
        return np.frombuffer(data, self.dtype).reshape(shape).copy()
