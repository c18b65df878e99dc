"""Each token divided by its own standard deviation over channels: the measure of a consumer that applies LayerNorm.

    y = x / 2^(code / 4),   code = round(4 log2 std(x_token))

The codes go beside each chunk as differences to the same token one row before (the first row: to the token before).
x: (F, N, D) float32. Cost: 2 to 3 bits per token. Not here: a scale per temporal group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec import quarter_octave
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import Scope, SegmentStage, read_uniform_levels, write_uniform_levels


@dataclass(frozen=True)
class TokenScale(ArrayStage, SegmentStage):
    """No parameters for the segment; its codes are side information of every chunk."""

    stage = StageId.TOKEN_SCALE
    has_side = True

    def measure(self, x: np.ndarray) -> bytes:
        return side_of(x.std(axis=-1, dtype=np.float64) if x.size else np.zeros(x.shape[:2]))

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        y: np.ndarray = x / scales_in(side, x.shape)
        return y

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        x: np.ndarray = y * scales_in(side, y.shape)
        return x

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TokenScale:
        return cls()


def side_of(deviations: np.ndarray) -> bytes:
    """The side information for tokens of these standard deviations, (F, N) float64; what is 0 is scaled by 1."""
    codes = quarter_octave.codes_of(deviations)
    out = FieldWriter()
    if codes.size:
        steps = np.diff(codes, axis=0, prepend=0)
        steps[0] = np.diff(codes[0], prepend=0)
        write_uniform_levels(out, steps.ravel())
    return out.bytes()


def scales_in(side: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """(F, N, 1) float32."""
    fields = FieldReader(side, "token scales")
    rows, tokens = shape[:2]
    if not rows * tokens:
        fields.end()
        return np.ones((rows, tokens, 1), np.float32)
    steps = read_uniform_levels(fields, rows * tokens).reshape(rows, tokens).astype(np.int64)
    fields.end()
    steps[0] = np.cumsum(steps[0])
    codes = np.cumsum(steps, axis=0)
    if np.abs(codes).max() > quarter_octave.LIMIT:
        raise fields.corrupt(f"expected codes within +-{quarter_octave.LIMIT}")
    return quarter_octave.scales_of(codes)[..., None]
