"""Levels of a vector quantiser: each adds one of K codewords to some of a token's coefficients.

    x' = sum over levels l of codeword[l, index l],   a codeword has numbers for the `channels` of its level alone

Residual quantisation where levels share channels, product quantisation where they do not; any mixture of both in
between. Levels are in order of falling use: the first few of them are a coarser code of the same token.
Source: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33, 2011; Chen, Guan, Wang,
"Approximate nearest neighbor search by residual vector quantization", Sensors 10, 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.parameters import (
    read_levels,
    read_uniform_levels,
    write_levels,
    write_uniform_levels,
)
from embdc_cli.entropy.integers import column_classes
from embdc_cli.entropy.tables import CLASSES, entry_tables

MAX_CODEWORDS: Final = 256
MAX_WIDTH: Final = 64
MAX_LEVELS: Final = 192
EXPONENTS: Final = range(-126, 127)
MAX_ENTRY: Final = 1 << 15
_NOTHING_LEFT: Final = 32
"""Octaves by which a unit can be finer than a quantum, and more make no difference: every entry is 0 then."""


@dataclass(frozen=True, eq=False)
class Level:
    """channels: (w,) int32, rising. codewords: (K, w) int32 in quanta of the quantiser."""

    channels: np.ndarray
    codewords: np.ndarray


@dataclass(frozen=True, eq=False)
class LearntLevel:
    """channels: (w,) int32, rising. codes: (K, w) int32 in units of 2^exponent."""

    channels: np.ndarray
    codes: np.ndarray
    exponent: int

    @classmethod
    def rounded(cls, channels: np.ndarray, centres: np.ndarray, exponent: int) -> LearntLevel:
        """Of centres (K, w) float; coarser than 2^exponent where an entry would not fit."""
        largest = float(np.abs(centres).max(initial=0.0))
        while largest / 2.0**exponent > MAX_ENTRY - 1:
            exponent += 1
        return cls(channels, np.rint(np.ldexp(centres.astype(np.float64), -exponent)).astype(np.int32), exponent)

    @property
    def largest(self) -> float:
        """The greatest magnitude of an entry."""
        return float(np.ldexp(float(np.abs(self.codes).max()), self.exponent))

    def centres(self) -> np.ndarray:
        """(K, w) float32: the codewords."""
        return np.asarray(np.ldexp(self.codes.astype(np.float32), self.exponent))

    def at(self, exponent: int) -> Level:
        """In quanta of 2^exponent: exact where this level's unit is no finer, else rounded."""
        shift = self.exponent - exponent
        codes = self.codes.astype(np.int64)
        shift = max(shift, -_NOTHING_LEFT)
        codes = codes << shift if shift >= 0 else codes + (1 << -shift - 1) >> -shift
        return Level(self.channels, codes.astype(np.int32))

    def write(self, out: FieldWriter) -> None:
        """[byte] channels, [byte] codewords - 1, [i8] exponent, gaps between channels, class of each column, codes.

        Codewords are a power of two, 2 or more: an index is so many bits.
        """
        out.byte(len(self.channels))
        out.byte(len(self.codes) - 1)
        out.signed_byte(self.exponent)
        write_uniform_levels(out, np.diff(self.channels, prepend=-1).astype(np.int32) - 1)
        classes = column_classes(self.codes)
        out.raw(classes.tobytes())
        write_levels(out, self.codes.ravel(), np.tile(classes, len(self.codes)), entry_tables())

    @classmethod
    def read(cls, fields: FieldReader, channels: int) -> LearntLevel:
        """channels: of the tokens. Raises CorruptArchive."""
        width = fields.byte(limit=min(MAX_WIDTH, channels))
        count = fields.byte(limit=MAX_CODEWORDS - 1) + 1
        if count < 2 or count & count - 1:
            raise fields.corrupt(f"level: expected a power of two of codewords, found {count}")
        exponent = fields.signed_byte()
        gaps = read_uniform_levels(fields, width)
        chosen = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if width == 0 or gaps.min() < 0 or chosen[-1] >= channels or exponent not in EXPONENTS:
            raise fields.corrupt(f"level: expected up to {channels} rising channels, found {width} of them")
        classes = np.frombuffer(fields.raw(width), np.uint8)
        if classes.max() >= CLASSES:
            raise fields.corrupt(f"level: expected classes below {CLASSES}, found {classes.max()}")
        codes = read_levels(fields, np.tile(classes, count), entry_tables()).reshape(count, width)
        if np.abs(codes).max() > MAX_ENTRY:
            raise fields.corrupt(f"level: expected entries within +-{MAX_ENTRY}")
        return cls(chosen.astype(np.int32), codes, exponent)
