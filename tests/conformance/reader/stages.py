"""Stages of kind 1: embdc-codec(5), ARRAY STAGES, QUANTISERS, CODERS.

The mixture, contexts in time, and what goes with videos have modules of their own.

A stage reads its parameters from the models, and undoes itself on an array (F, N, D), in float64. `step` goes with the
values: what a step of the quantiser is worth, an array that broadcasts to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.conformance.reader.codebook import Codebook
from tests.conformance.reader.errors import check
from tests.conformance.reader.fields import Fields, bounded, unzstd
from tests.conformance.reader.integers import Table, class_of_entry, levels, uniform
from tests.conformance.reader.pages import numbers

DecodeVideo = Callable[[bytes, int, tuple[int, int, int]], np.ndarray]
"""(bitstream, standard, shape) -> frames (T, H, W) of luma: somebody else's decoder."""


@dataclass
class Scope:
    """What stages of a chain know: channels at this point, rows of a group, limits, and what came before them.

    video: who decodes bitstreams, if anybody. code_levels: how many of a vector quantiser are wanted, None for all.
    version: of the stage that is read.
    """

    channels: int
    group: int
    limits: Mapping[str, int]
    tables: Mapping[str, Table]
    codebook: Codebook | None
    video: DecodeVideo | None = None
    before: list[Stage] = field(default_factory=list)
    code_levels: int | None = None
    version: int = 1

    def table(self, title: str) -> Table:
        """A table of coefficients: the codebook's, or that of the page."""
        return self.tables.get(title) or numbers(title)

    def vectors(self, channels: int) -> Codebook:
        """The codebook, which must have so many channels."""
        check(self.codebook is not None and len(self.codebook.mean) == channels, "a codebook of other channels")
        assert self.codebook is not None
        return self.codebook


class Stage:
    """has_side: whether each chunk has side information of the stage."""

    has_side = False
    coder = False
    quantiser = False

    def __init__(self, fields: Fields, scope: Scope) -> None:
        """Reads the parameters."""

    def side(self, data: bytes, shape: tuple[int, ...]) -> Any:
        """What side information says. shape: of the array that the encoder had before this stage."""
        raise AssertionError("this stage has none")

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the array after this stage."""
        return shape

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        """(values, steps) before the stage."""
        return y, step


class TokenScale(Stage):
    has_side = True

    def side(self, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        rows, tokens = shape[:2]
        fields = Fields(data)
        codes = np.array(uniform(fields, rows * tokens) if rows * tokens else [], np.int64).reshape(rows, tokens)
        fields.end()
        codes[:1] = np.cumsum(codes[:1], axis=1)
        return quarter_octaves(np.cumsum(codes, axis=0))[..., None]

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        return y * side, step * side


class Normalise(Stage):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        channels = scope.channels
        flags = fields.byte(7)
        exponent = fields.i8(126)
        self.constant = np.zeros(channels, bool)
        values = b""
        if flags & 2:
            mask = np.frombuffer(fields.raw((channels + 7) // 8), np.uint8)
            check(not np.unpackbits(mask)[channels:].any(), "bits of channels that are not there")
            self.constant = np.unpackbits(mask, count=channels).astype(bool)
            values = unzstd(fields.blob(), 4 * int(self.constant.sum()))
        self.values = np.frombuffer(values, "<f4")
        self.mean = np.ldexp(np.array(uniform(fields, channels), float), exponent)
        if flags & 4:
            self.mean = self.mean + scope.vectors(channels).mean
        self.scale = np.ones(channels)
        if flags & 1:
            self.scale = quarter_octaves(np.cumsum(uniform(fields, channels)))

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        x = y * self.scale + self.mean
        x[..., self.constant] = self.values
        return x, step * self.scale


class Reconstruction(Stage):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.step = fields.f64()
        check(2.0**-120 <= self.step <= 2.0**120, "a step out of range")
        self.coarseness, self.vector = fields.i8(), fields.byte(1)
        self.strength = bounded(fields.byte(), 1, 32) / 16
        self.network = None if scope.codebook is None else scope.codebook.network
        check(self.network is not None or scope.code_levels is not None, "a codebook without a network")
        if scope.code_levels is not None:
            self.network = None

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        if self.network is None:
            return y, step
        return y + self.strength * self.network.added(y, self.step, self.coarseness, self.vector), step


class Basis(Stage):
    """vectors: (r, D)."""

    vectors: np.ndarray

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], len(self.vectors))

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        return y @ self.vectors, step


def _exponents(fields: Fields, scope: Scope) -> list[int]:
    rank = fields.varint(min(scope.channels, scope.limits["max_rank"]))
    if not rank:
        return []
    first, spread = fields.i8(), fields.byte()
    check(-26 <= first <= first + spread <= -2, "exponents of a basis")
    counts = [fields.varint(rank) for _ in range(spread)]
    counts.append(bounded(rank - sum(counts), 0, rank))
    return [first + place for place, count in enumerate(counts) for _ in range(count)]


class ReflectedKlt(Basis):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        channels, exponents = scope.channels, _exponents(fields, scope)
        classes = [
            class_of_entry(channels - i, -exponent) for i, exponent in enumerate(exponents) for _ in range(channels - i)
        ]
        self.vectors = reflected(levels(fields.blob(), classes, numbers("ENTRY TABLES")), len(exponents), channels)
        scope.channels = len(exponents)


def reflected(entries: list[int], rank: int, channels: int) -> np.ndarray:
    """(r, D): the first columns of the product of the reflections."""
    columns, at = [], 0
    for i in range(rank):
        v = np.zeros(channels)
        v[i:] = entries[at : at + channels - i]
        at += channels - i
        check(v.any(), "a vector of zeros")
        v[i] += np.copysign(np.sqrt(v @ v), v[i])
        columns.append(v / np.sqrt(v @ v))
    product = np.eye(channels, rank)
    for u in reversed(columns):
        product -= np.outer(2 * u, u @ product)
    return product.T


class FreeKlt(Basis):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        channels, exponents = scope.channels, _exponents(fields, scope)
        classes = [class_of_entry(channels, -exponent) for exponent in exponents for _ in range(channels)]
        entries = np.array(levels(fields.blob(), classes, numbers("ENTRY TABLES")), float)
        units = np.array(exponents, np.int64)[:, None]
        self.vectors = np.ldexp(entries.reshape(len(exponents), channels), units)
        scope.channels = len(exponents)


class CodebookKlt(Basis):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        vectors = scope.vectors(scope.channels).vectors
        scope.channels = fields.varint(min(len(vectors), scope.limits["max_rank"]))
        self.vectors = vectors[: scope.channels]


class TimeDct(Stage):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.group = scope.group

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        x = np.empty(y.shape)
        for start in range(0, len(y), self.group):
            part = y[start : start + self.group]
            x[start : start + self.group] = np.einsum("kt,k...->t...", dct(len(part)), part)
        return x, step


def dct(rows: int) -> np.ndarray:
    """(frequencies, rows): orthonormal."""
    k, t = np.mgrid[0:rows, 0:rows]
    scale = np.where(k == 0, 1.0, 2.0)
    return np.asarray(np.sqrt(scale / rows) * np.cos(np.pi * (2 * t + 1) * k / (2 * rows)))


def step_in(fields: Fields) -> float:
    step = fields.f64()
    check(2.0**-120 <= step <= 2.0**120, "a step out of range")
    return step


class DeadZone(Stage):
    quantiser = True

    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.step = step_in(fields)
        self.offsets = np.array([0.0, *(fields.i8(127) / 256 for _ in range(3))])

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        return _off_the_middle(y, self.offsets) * self.step, np.array(self.step)


class Trellis(Stage):
    quantiser = True

    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.step = step_in(fields)

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        return _off_the_middle(y, np.array([0.0, 0.065, -0.02, -0.02])) * self.step, np.array(self.step)


def _off_the_middle(codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    magnitudes = np.abs(codes)
    return np.asarray(np.sign(codes) * (magnitudes + offsets[np.minimum(magnitudes, 3)]))


class Sticky(Stage):
    quantiser = True

    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.step = step_in(fields)
        self.offsets = np.array([fields.i8(127) for _ in range(36)]).reshape(4, 3, 3) / 128
        check(self.offsets[0, 1, 1] == 0, "an offset of a zero between zeros")
        fields.varint(1 << 31, 1)

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        magnitudes = np.abs(y)
        rises = np.sign(np.diff(magnitudes, axis=0))
        edge = np.zeros_like(y[:1])
        before, after = 1 - np.concatenate([edge, rises])[: len(y)], 1 + np.concatenate([rises, edge])[: len(y)]
        signs = np.sign(y)
        beside = np.concatenate([edge, signs[:-1]])[: len(y)], np.concatenate([signs[1:], edge])[: len(y)]
        for other in beside:
            signs = np.where(signs == 0, other, signs)
        points = magnitudes + self.offsets[np.minimum(magnitudes, 3), before, after]
        return np.where(signs < 0, -points, points) * self.step, np.array(self.step)


class Coder(Stage):
    coder = True

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        """The integers (of `shape`, int64). sides: of all stages before."""
        raise NotImplementedError


class Planes(Coder):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.group, self.table = scope.group, scope.table("PLAIN TABLES")
        bands = (scope.group - 1).bit_length() + 1
        steps = np.array(uniform(fields, bands * scope.channels), np.int64).reshape(bands, scope.channels)
        steps[:, :1] = np.cumsum(steps[:, :1], axis=0)
        self.classes = np.cumsum(steps, axis=1)
        check(((self.classes >= 0) & (self.classes < 64)).all(), "classes of planes")

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        rows, tokens, rank = shape
        fields = Fields(data)
        planes = []  # frequency, vector, class, groups, codes
        for k in range(self.group):
            groups = [group for group in range(-(-rows // self.group)) if group * self.group + k < rows]
            own_classes = self.classes[k.bit_length()].tolist()
            planes += [(k, i, own_classes[i], groups, len(groups) * tokens) for i in range(rank)]
        flagged = [(own, m.bit_length() - 1) for _, _, own, _, m in planes if m and own <= 5]
        flag_classes = [min(max(own + 2 * octaves, 1), 18) for own, octaves in flagged]
        flags = iter(levels(fields.blob(), flag_classes, numbers("PLAIN TABLES")))
        offsets = np.zeros((-(-rows // self.group), tokens), np.int64)
        if self.group > 1:
            steps = uniform(fields, offsets.size)
            offsets = np.cumsum(np.array(steps, np.int64)).reshape(offsets.shape)
            check((np.abs(2 * offsets + 1) <= 23).all(), "offsets of tracks")
        classes: list[int] = []
        for k, _, own, groups, m in planes:
            coded = own
            if m and own <= 5:
                coded = max(own, 20 - 2 * (m.bit_length() - 1), 1) if bounded(next(flags), 0, 1) else 0
            moved = offsets[groups].ravel() if k else np.zeros(m, np.int64)
            classes += (np.clip(coded + moved, 1, 63) if coded else 0 * moved).tolist()
        found = np.array(levels(fields.rest(), classes, self.table), np.int64)
        codes, at = np.zeros(shape, np.int64), 0
        for k, i, _, groups, m in planes:
            places = [group * self.group + k for group in groups]
            codes[places, :, i] = found[at : at + m].reshape(len(groups), tokens)
            at += m
        return codes


def quarter_octaves(codes: np.ndarray) -> np.ndarray:
    check((np.abs(codes) <= 480).all(), "a scale out of range")
    return np.asarray(2.0 ** (codes / 4))
