"""Round to nearest: values to the samples of a video, of 8 or 10 bits, and back.

    q = clip(rint(y / (s 2^e_c)) + z_c, 0, 2^depth - 1),   y' = (q - z_c) s 2^e_c

One scale s serves all channels, since equal error everywhere is what squared error asks for; a channel that would not
fit into the samples with it gets a coarser one by a power of two, and every channel a zero point that puts its range
into the middle. Error: s 2^e_c / 2 before the video codec, as long as y is within the range that was seen.
y: (F, N, r) float32. Source: LLM.265, section 3.
Not here: groups of channels with scales of their own within the sample, which would spend bits on small channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.parameters import read_uniform_levels, write_uniform_levels

_MOST_COARSE: Final = 48


@dataclass(frozen=True, eq=False)
class Levels:
    """depth: bits. exponents: (r,) int32, e_c >= 0. zeros: (r,) int32, z_c within the samples."""

    depth: int
    exponents: np.ndarray
    zeros: np.ndarray

    @classmethod
    def fit(cls, low: np.ndarray, high: np.ndarray, scale: float, depth: int) -> Levels:
        """For channels whose values go from `low` to `high`, (r,) float."""
        top = (1 << depth) - 1
        with np.errstate(divide="ignore"):
            needed = np.ceil(np.log2((high - low) / (scale * top)))
        exponents = np.clip(np.nan_to_num(needed, neginf=0.0), 0, _MOST_COARSE).astype(np.int32)
        middle = (low + high) / 2 / np.ldexp(scale, exponents)
        zeros = np.clip(np.rint((top + 1) / 2 - middle), 0, top)
        return cls(depth, exponents, zeros.astype(np.int32))

    def quantise(self, y: np.ndarray, scale: float) -> np.ndarray:
        """Samples (F, N, r) uint16."""
        scaled = y * self._reciprocals(scale)
        np.rint(scaled, out=scaled)
        scaled += self.zeros.astype(np.float32)
        return np.asarray(np.clip(np.nan_to_num(scaled, copy=False), 0, (1 << self.depth) - 1).astype(np.uint16))

    def values(self, samples: np.ndarray, scale: float) -> np.ndarray:
        """(F, N, r) float32 of samples, int32."""
        return np.asarray((samples - self.zeros).astype(np.float32) * np.ldexp(np.float32(scale), self.exponents))

    def _reciprocals(self, scale: float) -> np.ndarray:
        return np.asarray(np.ldexp(np.float32(1 / scale), -self.exponents))

    def write(self, out: FieldWriter) -> None:
        middle = 1 << (self.depth - 1)
        write_uniform_levels(out, self.exponents)
        write_uniform_levels(out, self.zeros - middle)

    @classmethod
    def read(cls, fields: FieldReader, channels: int, depth: int) -> Levels:
        """Raises CorruptArchive for numbers outside their range."""
        middle = 1 << (depth - 1)
        exponents = read_uniform_levels(fields, channels)
        zeros = read_uniform_levels(fields, channels) + middle
        if channels and not (exponents.min() >= 0 and exponents.max() <= _MOST_COARSE):
            raise fields.corrupt(f"scales of samples: expected exponents 0 to {_MOST_COARSE}")
        if channels and not (zeros.min() >= 0 and zeros.max() < 2 * middle):
            raise fields.corrupt(f"zero points of samples: expected 0 to {2 * middle - 1}")
        return cls(depth, exponents, zeros)
