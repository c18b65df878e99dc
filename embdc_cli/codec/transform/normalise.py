"""Channel normalisation: y = (x - mean_c) / scale_c, so that what follows codes deviations only.

The means are integers in units of 2^e, e = round(log2(step / sqrt(n))): an error there is shared by all n tokens of
the segment, so it may cost them together no more than the quantiser does. Scales (channel weighting) are quarter
octaves. A channel that never changes in the segment is kept exactly, whatever the step: its value is stored.

x: (F, N, D) float32. Not here: means per mode, variances for the entropy coder (`bands`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from embdc_cli.codec import quarter_octave
from embdc_cli.codec.bounded_zstd import compress, decompress
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.parameters import Scope, SegmentStage, read_uniform_levels, write_uniform_levels
from embdc_cli.codec.weighting import scaled_metric

_SCALED = 1
_CONSTANTS = 2
_FROM_CODEBOOK = 4
_EXPONENT_LIMIT = 126


@dataclass(frozen=True, eq=False)
class Normalise(ArrayStage, SegmentStage):
    """codes: (D,) int32 means in units of 2^exponent, above `centre` where a codebook gives one.

    scale_codes: (D,) int32 quarter octaves, or None for 1. constant_channels: (m,) indices of the channels that are
    always constant_values, (m,) float32. centre: (D,) float64 or None.
    """

    stage = StageId.NORMALISE
    codes: np.ndarray
    exponent: int
    scale_codes: np.ndarray | None
    constant_channels: np.ndarray
    constant_values: np.ndarray
    centre: np.ndarray | None = None

    @classmethod
    def fit(
        cls,
        mean: np.ndarray,
        precision: float,
        *,
        scale_codes: np.ndarray | None,
        constant: np.ndarray,
        values: np.ndarray,
        centre: np.ndarray | None,
    ) -> Normalise:
        """The stage for means (D,) float64 wanted to within about `precision`.

        constant: (D,) bool, channels that are always `values` (D,) float32. centre: a codebook's mean to start from.
        """
        base = np.zeros_like(mean) if centre is None else centre
        wanted = np.where(constant, base, mean) - base
        largest = float(np.abs(wanted).max(initial=0.0))
        finest = math.frexp(largest)[1] - 24 if largest > 0 else -_EXPONENT_LIMIT  # float32 holds no more
        exponent = round(math.log2(precision)) if precision > 0 else -_EXPONENT_LIMIT
        exponent = min(max(exponent, finest, -_EXPONENT_LIMIT), _EXPONENT_LIMIT)
        codes = np.rint(np.ldexp(wanted, -exponent)).astype(np.int32)
        channels = np.flatnonzero(constant)
        return cls(codes, exponent, scale_codes, channels, values[channels].astype(np.float32), centre)

    @property
    def mean(self) -> np.ndarray:
        """(D,) float32."""
        mean = np.ldexp(self.codes.astype(np.float64), self.exponent)
        if self.centre is not None:
            mean += self.centre
        mean = mean.astype(np.float32)
        mean[self.constant_channels] = self.constant_values
        return mean

    @property
    def scale(self) -> np.ndarray | None:
        """(D,) float32, or None for 1."""
        return None if self.scale_codes is None else quarter_octave.scales_of(self.scale_codes)

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        y: np.ndarray = x - self.mean
        scale = self.scale
        if scale is not None:
            y /= scale
        return y

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        """Writes over `y`, which is as large as the chunk and which nobody but the chain holds."""
        scale = self.scale
        if scale is not None:
            y *= scale
        y += self.mean
        y[..., self.constant_channels] = self.constant_values
        return y

    def write(self, out: FieldWriter) -> None:
        flags = _SCALED * (self.scale_codes is not None) | _CONSTANTS * bool(len(self.constant_channels))
        out.byte(flags | _FROM_CODEBOOK * (self.centre is not None))
        out.signed_byte(self.exponent)
        if len(self.constant_channels):
            mask = np.zeros(len(self.codes), np.uint8)
            mask[self.constant_channels] = 1
            out.raw(np.packbits(mask).tobytes())
            out.blob(compress(self.constant_values.astype("<f4").tobytes()))
        write_uniform_levels(out, self.codes)
        if self.scale_codes is not None:
            write_uniform_levels(out, np.diff(self.scale_codes, prepend=0).astype(np.int32))

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Normalise:
        channels = scope.channels
        flags = fields.byte(limit=_SCALED | _CONSTANTS | _FROM_CODEBOOK)
        exponent = fields.signed_byte()
        if abs(exponent) > _EXPONENT_LIMIT:
            raise fields.corrupt(f"exponent of means: expected at most {_EXPONENT_LIMIT}, found {exponent}")
        constant_channels, values = np.zeros(0, np.int64), np.zeros(0, np.float32)
        if flags & _CONSTANTS:
            mask = np.unpackbits(np.frombuffer(fields.raw((channels + 7) // 8), np.uint8))
            if mask[channels:].any():
                raise fields.corrupt("expected zeros behind the bits of constant channels")
            constant_channels = np.flatnonzero(mask)
            size = 4 * len(constant_channels)
            values = np.frombuffer(decompress(fields.blob(), size, "constant channels"), "<f4").astype(np.float32)
        centre = None
        if flags & _FROM_CODEBOOK:
            if scope.codebook is None or scope.codebook.channels != channels:
                raise fields.corrupt(f"means: expected a codebook of {channels} channels")
            centre = scope.codebook.centre()
        codes = read_uniform_levels(fields, channels)
        scale_codes = None
        if flags & _SCALED:
            scale_codes = np.cumsum(read_uniform_levels(fields, channels), dtype=np.int64)
            if np.abs(scale_codes).max(initial=0) > quarter_octave.LIMIT:
                raise fields.corrupt(f"scales: expected codes within +-{quarter_octave.LIMIT}")
            scale_codes = scale_codes.astype(np.int32)
            if scope.metric is not None and scope.metric.ndim == 2:
                scope.metric = scaled_metric(scope.metric, quarter_octave.scales_of(scale_codes).astype(np.float64))
        return cls(codes, exponent, scale_codes, constant_channels, values, centre)
