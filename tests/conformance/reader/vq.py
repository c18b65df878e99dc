"""Vector quantisation: embdc-codec(5), VECTOR_QUANTISER, VECTOR_INDICES."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import Any

import numpy as np

from tests.conformance.reader import bits, rans
from tests.conformance.reader.codebook import CodeLevel, code_level
from tests.conformance.reader.errors import check
from tests.conformance.reader.fields import Fields, bounded
from tests.conformance.reader.integers import uniform
from tests.conformance.reader.pages import numbers
from tests.conformance.reader.stages import Coder, Scope, Stage, step_in

MOST = 192
"""Code levels of a quantiser."""
_CLASSES = 45


class VectorQuantiser(Stage):
    """words: of each code level its channels, and its codewords (K, w) in units of 2^exponent."""

    quantiser = True

    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.rank = scope.channels
        self.step = step_in(fields)
        self.exponent = fields.i8(126)
        learnt = _borrowed(fields, scope)
        learnt += [code_level(fields, self.rank) for _ in range(fields.byte(MOST - len(learnt)))]
        self.words = [(level.channels, _in_units(level, self.exponent)) for level in learnt]
        count = fields.byte(MOST - len(learnt))
        self.gain: int | None = None
        if count:
            check(self.rank, "Gaussian code levels of no channels")
            scales = np.cumsum(uniform(fields, self.rank), dtype=np.int64)
            check(scales.max() <= 112, "a scale out of range")
            self.gain = len(self.words) if scope.version > 1 else None
            if self.gain is not None:
                check(self.gain + count < MOST, "too many code levels")
                self.words.append((np.zeros(0, np.int64), np.zeros((16, 0), np.int64)))
            self.words += _gaussian(np.maximum(scales, -112).tolist(), count)
        self.width = fields.varint(1 << 31, 1)
        steps = np.array(uniform(fields, len(self.words) * _CLASSES), np.int64)
        self.classes = 32 + np.cumsum(steps.reshape(len(self.words), _CLASSES), axis=0)
        check(((self.classes >= 0) & (self.classes < 64)).all(), "classes of flags")

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], len(self.words))

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        first = len(self.words) if self.gain is None else self.gain
        sums, gained = np.zeros((2, *y.shape[:2], self.rank), np.int64)
        for level, (channels, words) in enumerate(self.words):
            t, n = np.nonzero(y[..., level])
            to = sums if level < first else gained
            to[t[:, None], n[:, None], channels] += words[y[t, n, level] - 1]
        if self.gain is not None:
            factors = np.array([0, *((65536, 92682)[g % 2] * 2 ** (g // 2) // 4 for g in range(16))])
            return np.ldexp(
                _wrapped(sums) + _wrapped(gained) * (factors[y[..., first]] / 65536)[..., None], self.exponent
            ), np.array(self.step)
        return np.ldexp(_wrapped(sums).astype(float), self.exponent), np.array(self.step)


class VectorIndices(Coder):
    """The first `most` code levels alone, where a coarser copy is asked for."""

    def __init__(self, fields: Fields, scope: Scope) -> None:
        before = scope.before[-1] if scope.before else None
        check(isinstance(before, VectorQuantiser), "indices of no vector quantiser")
        assert isinstance(before, VectorQuantiser)
        self.quantiser, self.most = before, scope.code_levels

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        codes = np.zeros(shape, np.int64)
        if not codes.size:
            check(not data, "bytes of no codes")
            return codes
        used, at = bits.leb128(data, 0)
        bounded(used, 0, shape[2])
        sizes = []
        for _ in range(used):
            size, at = bits.leb128(data, at)
            sizes.append(bounded(size, 0, 1 << 31))
        fields = Fields(data)
        _checked(fields, fields.raw(at), fields.raw(4))
        before = kept = np.ones(shape[:2], bool)
        for level, size in enumerate(sizes[: self.most]):
            crc = fields.raw(4)
            part = _checked(fields, fields.raw(size), crc)
            before, kept, codes[..., level] = self._level(level, _Symbols(part), before, kept)
        if self.most is None or self.most >= used:
            fields.end()
        return codes

    def _level(
        self, level: int, symbols: _Symbols, before: np.ndarray, kept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(who has it, who keeps its index, codes (F, N)), given the first two of the code level before."""
        classes = self.quantiser.classes[level].tolist()
        width = self.quantiser.width
        has = _flags(symbols, classes, before, before, np.zeros(before.shape, np.int64), width)
        could = has.copy()
        could[:1] = False
        could[1:] &= has[:-1]
        keeps = _flags(symbols, classes, could, kept, np.where(kept, 28, 14), width)
        digits = (len(self.quantiser.words[level][1]) - 1).bit_length()
        codes = np.zeros(before.shape, np.int64)
        for t, n in zip(*np.nonzero(has & ~keeps), strict=True):
            codes[t, n] = 1 + symbols.next(_even(digits))
        symbols.end()
        for t, n in zip(*np.nonzero(keeps), strict=True):
            codes[t, n] = codes[t - 1, n]
        return has, keeps, codes


class _Symbols:
    """Those of a payload, which is empty where there are none."""

    def __init__(self, data: bytes) -> None:
        self._payload = rans.Payload(data) if data else None

    def next(self, sums: list[int]) -> int:
        check(self._payload is not None, "no bytes of some symbols")
        assert self._payload is not None
        return self._payload.symbol(sums)

    def end(self) -> None:
        if self._payload is not None:
            check(self._payload.symbols, "a payload of no symbols")
            self._payload.end()


def _checked(fields: Fields, piece: bytes, crc: bytes) -> bytes:
    check(struct.pack("<I", zlib.crc32(piece)) == crc, "checksum of a code level")
    return piece


def _flags(
    symbols: _Symbols, classes: list[int], asked: np.ndarray, earlier: np.ndarray, first: np.ndarray, width: int
) -> np.ndarray:
    """(F, N) bool: a flag for each of `asked`, no others. earlier: what the first colour goes by."""
    found = np.zeros(asked.shape, bool)
    for colour in (0, 1):
        seen = earlier if colour == 0 else found.copy()
        for t, n in zip(*np.nonzero(asked), strict=True):
            if (t + n // width + n % width) % 2 == colour:
                context = first[t, n] + 7 * colour + _around(seen, int(t), int(n), width)
                found[t, n] = symbols.next(_flag(classes[context]))
    return found


def _around(seen: np.ndarray, t: int, n: int, width: int) -> int:
    """How many neighbours of a token are set."""
    rows, tokens = seen.shape
    places = [(t - 1, n), (t + 1, n), (t, n - width), (t, n + width)]
    places += [(t, n - 1)] if n % width else []
    places += [(t, n + 1)] if (n + 1) % width else []
    return sum(bool(seen[row, token]) for row, token in places if 0 <= row < rows and 0 <= token < tokens)


@cache
def _flag(flag_class: int) -> list[int]:
    """Cumulative frequencies of a flag."""
    every = [one for line in numbers("FLAG FREQUENCIES") for one in line]
    return rans.cumulative([4096 - every[flag_class], every[flag_class]])


@cache
def _even(digits: int) -> list[int]:
    return rans.cumulative([4096 >> digits] * (1 << digits))


def _borrowed(fields: Fields, scope: Scope) -> list[CodeLevel]:
    """Those of the codebook that are used."""
    count = fields.byte(MOST)
    if not count:
        return []
    offered = scope.codebook.levels if scope.codebook is not None else []
    mask = np.unpackbits(np.frombuffer(fields.raw((len(offered) + 7) // 8), np.uint8)).tolist()
    check(sum(mask) == count and not any(mask[len(offered) :]), "code levels of a codebook")
    found = [level for level, used in zip(offered, mask, strict=False) if used]
    check(all(level.channels[-1] < scope.channels for level in found), "code levels of other channels")
    return found


def _in_units(level: CodeLevel, exponent: int) -> np.ndarray:
    """Codewords in units of 2^exponent."""
    shift = level.exponent - exponent
    words = [
        [code << shift if shift >= 0 else (code + (1 << -shift - 1)) >> -shift for code in word] for word in level.words
    ]
    return np.array([[(number + (1 << 31)) % (1 << 32) - (1 << 31) for number in word] for word in words], np.int64)


def _wrapped(sums: np.ndarray) -> np.ndarray:
    return (sums + (1 << 31)) % (1 << 32) - (1 << 31)


def _gaussian(scales: list[int], count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(channels, codewords) of each Gaussian code level."""
    table = np.array(numbers("GAUSSIAN CODEBOOKS"), np.int64).reshape(4, 256, 8)
    blocks = [list(range(start, min(start + 8, len(scales)))) for start in range(0, len(scales), 8)]
    left = [sum((92682 if scales[c] % 2 else 65536) << 64 + scales[c] // 2 for c in block) for block in blocks]
    stages = [0] * len(blocks)
    found = []
    for _ in range(count):
        place = left.index(max(left))
        stage, block = stages[place], blocks[place]
        offset = (0, -3, -7, -10)[min(stage, 3)] - 3 * max(0, stage - 3)
        factors = [_factor(scales[channel] + offset) for channel in block]
        words = table[min(stage, 3)][:, : len(block)] * np.array(factors) + (1 << 20) >> 21
        found.append((np.array(block), words))
        stages[place], left[place] = stage + 1, left[place] // 3
    return found


def _factor(d: int) -> int:
    root = (65536, 77936, 92682, 110218)[d % 4]
    return root << d // 4 if d >= 0 else root >> -(d // 4)
