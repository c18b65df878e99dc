"""Vector quantiser: a few indices for each token, looked up and summed.

    y' = 2^exponent sum over levels l of codeword[l, index l]

Gaussian levels are multiplied by the gain of the token (`gain`), itself a level before them.
x: (F, N, r) float32 -> codes (F, N, L) int32: 0 from the level where a token stops, else 1 + its index.
Error: no bound for a single token; `search` weighs squared error against bits. A coefficient beyond 2^24 quanta is
limited to that. Decoding adds integers, and multiplies each of two sums once, so every machine gets the same numbers.
Levels: those of a codebook, those learnt from the segment, and Gaussian ones for what these leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Quantiser, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.dead_zone import read_step
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.parameters import Scope, SegmentStage, read_uniform_levels, write_uniform_levels
from embdc_cli.codec.vq import flags, gain, gaussian, indices
from embdc_cli.codec.vq.borrowed import NONE, Borrowed
from embdc_cli.codec.vq.levels import EXPONENTS, MAX_LEVELS, LearntLevel, Level
from embdc_cli.codec.vq.search import Packed, Prices, lookup, search
from embdc_cli.errors import CorruptArchive

MAX_QUANTA: Final = 1 << 24
_MAX_ENTRY_QUANTA: Final = 1 << 26
_CLASSES: Final = indices.CONTEXTS + 3
"""Of a level: of its contexts, then of going on, of keeping after leaving and after keeping, whatever is around."""
_MIDDLE: Final = flags.CLASSES // 2
_WITHOUT_GAINS: Final = 1
"""The version of this stage whose Gaussian levels are as they are for all tokens."""
_MATTERS: Final = 0.5
"""Of what a bit may cost: coefficients of less variance do not count in the energy of a token."""
_FREE_CODES: Final = 1 << 26
"""What a reader takes on whatever the bytes: 8 for each value of the largest chunk that is written; 4 are the most."""
_MAX_CODES_RATIO: Final = 64  # codes for each byte of larger chunks


@dataclass(frozen=True, eq=False)
class VectorQuantiser(Quantiser, SegmentStage):
    """step: where the quantiser of a transform would have it; a bit may cost LAMBDA of its square.

    exponent: of a quantum. rank: coefficients of a token. learnt: the segment's own levels, after those borrowed from a
    codebook. scales: (r,) deviations of what these leave, 2^(scale / 4) quanta. gaussian: levels after them.
    width: of the token grid. gains: whether tokens have gains, where there are Gaussian levels.
    device: where to search and look up; no part of an archive.
    classes: (L, 45) uint8, of flags (`indices`); its last three columns are for the search.
    """

    stage = StageId.VECTOR_QUANTISER
    step: float
    exponent: int
    rank: int
    learnt: tuple[LearntLevel, ...]
    scales: np.ndarray
    gaussian: int
    width: int
    classes: np.ndarray
    borrowed: Borrowed = NONE
    gains: bool = True
    device: str = "cpu"

    @property
    def version(self) -> int:
        return super().version if self.gains else _WITHOUT_GAINS

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All levels, in order."""
        learnt = [level.at(self.exponent) for level in (*self.borrowed.levels, *self.learnt)]
        gains = [gain.level()] if self._gain_level is not None else []
        return (*learnt, *gains, *gaussian.levels(self.scales, self.gaussian))

    @property
    def _gain_level(self) -> int | None:
        return len(self.borrowed.levels) + len(self.learnt) if self.gains and self.gaussian else None

    @cached_property
    def packed(self) -> Packed:
        if self._gain_level is None:
            return Packed.of(self.levels)
        variances = np.exp2(self.scales / 2)
        counted = variances > min(_MATTERS * self._lagrangian, variances.max() / 2)
        deviations = np.sqrt(variances)  # large coefficients count more, small ones are more: between both
        expected = np.where(counted, deviations * deviations[counted].sum(), np.inf)
        return Packed.of(self.levels, self._gain_level, expected)

    @property
    def _lagrangian(self) -> float:
        """Squared quanta that a bit may cost."""
        return LAMBDA * float(np.ldexp(self.step, -self.exponent)) ** 2

    @cached_property
    def sizes(self) -> np.ndarray:
        """(L,) int64: codewords of each level."""
        return np.array([len(level.codewords) for level in self.levels], np.int64)

    @cached_property
    def prices(self) -> Prices:
        """What the flags of each level cost on average.

        Who stops is told at the gain, and with it for the level after it.
        """
        stop, go_on = flags.bits_of(self.classes[:, -3])
        leave, keep = flags.bits_of(self.classes[:, -2:])
        first = self._gain_level
        if first is not None:
            stop[first + 1] = stop[first]
            go_on[first + 1] = go_on[first] + min(leave[first, 0] + np.log2(gain.COUNT), keep[first, 0] + 1)
        return Prices(go_on, stop, keep, leave, np.log2(self.sizes))

    def shape(self, shape: Shape, side: bytes) -> Shape:
        return (*shape[:-1], len(self.levels))

    def quanta(self, x: np.ndarray) -> np.ndarray:
        """x (F, N, r) in whole quanta, int32."""
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.rint(np.ldexp(x, -self.exponent))
        return np.asarray(np.clip(np.nan_to_num(y), -MAX_QUANTA, MAX_QUANTA), np.int32)

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return search(self.quanta(x), self.packed, self.prices, self._lagrangian, self.device)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return np.asarray(np.ldexp(lookup(y, self.packed, self.rank, self.device), self.exponent), np.float32)

    def scaled(self, factor: float) -> VectorQuantiser:
        """With bits `factor` squared times as dear."""
        return replace(self, step=self.step * factor)

    def with_classes(self, classes: np.ndarray) -> VectorQuantiser:
        return replace(self, classes=classes)

    def write(self, out: FieldWriter) -> None:
        """[f64] step, [i8] exponent, levels of the codebook (`borrowed`), [byte] learnt levels and each, [byte] how
        many Gaussian ones, scales if any, [varint] width, then the classes, as differences from level to level.
        Version 1 has no gains.
        """
        out.float64(self.step)
        out.signed_byte(self.exponent)
        self.borrowed.write(out)
        out.byte(len(self.learnt))
        for level in self.learnt:
            level.write(out)
        out.byte(self.gaussian)
        if self.gaussian:
            write_uniform_levels(out, np.diff(self.scales, prepend=0).astype(np.int32))
        out.varint(self.width)
        write_uniform_levels(out, np.diff(self.classes.astype(np.int32), axis=0, prepend=_MIDDLE).ravel())

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> VectorQuantiser:
        rank = scope.channels
        gains = scope.version > _WITHOUT_GAINS
        step = read_step(fields)
        exponent = fields.signed_byte()
        if exponent not in EXPONENTS:
            raise fields.corrupt(f"vector quantiser: expected an exponent within {EXPONENTS}, found {exponent}")
        borrowed = Borrowed.read(fields, scope.codebook, rank)
        most = MAX_LEVELS - len(borrowed.levels)
        learnt = tuple(LearntLevel.read(fields, rank) for _ in range(fields.byte(limit=most)))
        if any(level.largest > 2.0**exponent * _MAX_ENTRY_QUANTA for level in (*borrowed.levels, *learnt)):
            raise fields.corrupt(f"vector quantiser: expected codewords of up to {_MAX_ENTRY_QUANTA} quanta")
        count = fields.byte(limit=max(0, most - len(learnt) - gains))
        scales = np.zeros(0, np.int32)
        if count:
            if not rank:
                raise fields.corrupt("vector quantiser: expected coefficients for its levels, found none")
            scales = np.cumsum(read_uniform_levels(fields, rank), dtype=np.int64)
            if scales.max() > gaussian.MAX_SCALE:
                raise fields.corrupt(f"vector quantiser: expected scales up to {gaussian.MAX_SCALE}")
            scales = np.maximum(scales, -gaussian.MAX_SCALE).astype(np.int32)
        width = fields.varint(limit=1 << 31)
        if width == 0:
            raise fields.corrupt("width of the token grid: expected at least 1, found 0")
        levels = len(borrowed.levels) + len(learnt) + count + (gains and count > 0)
        differences = read_uniform_levels(fields, levels * _CLASSES).reshape(levels, _CLASSES)
        classes = _MIDDLE + np.cumsum(differences, axis=0, dtype=np.int64)
        if classes.size and not (classes.min() >= 0 and classes.max() < flags.CLASSES):
            raise fields.corrupt(f"vector quantiser: expected classes below {flags.CLASSES}")
        found = cls(step, exponent, rank, learnt, scales, count, width, classes.astype(np.uint8), borrowed, gains)
        scope.vectors = found
        return found


@dataclass(frozen=True)
class VectorIndices(Coder, SegmentStage):
    """The coder after a `VectorQuantiser`; what it needs to know is there.

    most: levels that a decoder reads, None for all.
    """

    stage = StageId.VECTOR_INDICES
    quantiser: VectorQuantiser
    most: int | None = None

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        q = self.quantiser
        return indices.encode(codes, q.sizes, q.width, q.classes) if codes.size else b""

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        rows, tokens, levels = shape
        if 0 in shape:
            FieldReader(data, "chunk").end()
            return np.zeros(shape, np.int32)
        if rows * tokens * levels > max(_FREE_CODES, _MAX_CODES_RATIO * len(data)):
            raise CorruptArchive(f"vector indices: {rows * tokens * levels} codes in {len(data)} bytes")
        q = self.quantiser
        return indices.decode(data, (rows, tokens, levels), q.sizes, q.width, q.classes, self.most)

    def bytes_read(self, fields: FieldReader) -> int:
        """How many bytes `decode` looks at, by the first of them in `fields`. Raises CorruptArchive for too few."""
        before = fields.left
        sizes = indices.level_bytes(fields, len(self.quantiser.levels))
        return before - fields.left + sum(sizes[: self.most])

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> VectorIndices:
        if scope.vectors is None:
            raise fields.corrupt("expected a vector quantiser before its indices")
        return cls(scope.vectors)


def even_classes(levels: int) -> np.ndarray:
    """(levels, 45) uint8 to start from: going on and keeping as likely as not."""
    return np.full((levels, _CLASSES), _MIDDLE, np.uint8)


def counted_classes(counts: np.ndarray) -> np.ndarray:
    """(L, 45) uint8 for counts (L, 42, 2) of flags that were not set, and that were."""
    keep = indices.KEEP
    groups = [counts[:, :keep], counts[:, keep : keep + flags.CONTEXTS], counts[:, keep + flags.CONTEXTS :]]
    sums = np.stack([group.sum(axis=1) for group in groups], axis=1)
    every = np.concatenate([counts, sums], axis=1)
    classes = flags.fitting_classes(every[..., 1], every.sum(axis=2))
    # what was hardly seen is taken to be as at the level before, which costs nothing to say
    seen = every.sum(axis=2) > 0
    for level in range(len(classes)):
        before = classes[level - 1] if level else np.full(_CLASSES, _MIDDLE, np.uint8)
        classes[level] = np.where(seen[level], classes[level], before)
    return classes
