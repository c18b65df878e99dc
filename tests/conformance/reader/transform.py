"""Kind 1: models, chunks, token groups, exact values: embdc-codec(5), TRANSFORM."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.conformance.reader.codebook import Codebook
from tests.conformance.reader.errors import Unsupported, check
from tests.conformance.reader.fields import Fields, bounded, unzstd
from tests.conformance.reader.header import WIDTHS, Stream
from tests.conformance.reader.mixture import Mixture, TrackPaths, TrackPlanes
from tests.conformance.reader.stages import (
    CodebookKlt,
    Coder,
    DeadZone,
    DecodeVideo,
    FreeKlt,
    Normalise,
    Planes,
    Reconstruction,
    ReflectedKlt,
    Scope,
    Stage,
    Sticky,
    TimeDct,
    TokenScale,
    Trellis,
)
from tests.conformance.reader.time_context import TimeContext
from tests.conformance.reader.video import Hadamard, VideoBitstream, VideoSamples
from tests.conformance.reader.vq import VectorIndices, VectorQuantiser

STAGES: dict[int, type[Stage]] = {
    1: TokenScale,
    2: Normalise,
    3: Reconstruction,
    16: Stage,
    17: ReflectedKlt,
    18: FreeKlt,
    19: CodebookKlt,
    20: Hadamard,
    32: TimeDct,
    33: Mixture,
    64: DeadZone,
    66: Sticky,
    67: DeadZone,
    68: Trellis,
    69: VideoSamples,
    70: VectorQuantiser,
    128: Planes,
    131: TrackPlanes,
    132: TimeContext,
    133: TrackPaths,
    134: VideoBitstream,
    135: VectorIndices,
}
_LOSSLESS = {65, 96, 97, 98, 129, 130}
_MIXTURE = {33, 67, 68, 131, 133}
_BINARY = {
    "float16": (65504.0, 10, -14),
    "bfloat16": (float(2.0**128 - 2.0**120), 7, -126),
    "float32": (None, 23, -126),
}
"""Largest value, bits behind the point, least exponent of the element types."""


@dataclass(frozen=True)
class Decoded:
    """A chunk. values: (F, *row_shape) float64, before the cast to `dtype`, but for `exact` ones.

    exact: (positions, bits) that are bit for bit. step: root mean square of the quantiser's steps. codes: of each
    token group.
    """

    values: np.ndarray
    exact: tuple[np.ndarray, np.ndarray]
    step: float
    codes: list[np.ndarray]
    symbol_crc: int


class Models:
    """What the chunks of a segment share. Raises Unsupported for unknown stages, what `lookup` does for a codebook."""

    def __init__(
        self,
        data: bytes,
        stream: Stream,
        limits: Mapping[str, int],
        lookup: Callable[[bytes], Codebook],
        video: DecodeVideo | None = None,
        code_levels: int | None = None,
    ) -> None:
        fields = Fields(data)
        self.stream = stream
        listed = []
        for _ in range(fields.byte(16)):
            number, version = fields.varint(), fields.varint()
            if number not in (*STAGES, *_LOSSLESS) or not 1 <= version <= (2 if number == 70 else 1):
                raise Unsupported(f"stage {number}, version {version}")
            check(number in STAGES, "a stage of lossless coding")
            listed.append((number, version))
        channels = stream.row_shape[stream.channel_axis] if stream.row_shape else 1
        self.fold = fields.varint(8192)
        check(self.fold == channels or (self.fold and channels % self.fold == 0), "fold does not divide the channels")
        self.exponent = fields.i8(120)
        flags = fields.byte(15)
        self.keeps = bool(flags & 9)
        codebook = lookup(fields.raw(32)) if flags & 2 else None
        check(not flags & 4 or (codebook is not None and codebook.tables), "tables of no codebook")
        tables = codebook.tables if flags & 4 and codebook is not None else {}
        self.groups = _group_sizes(stream, channels // self.fold if self.fold else 1)
        self.chains = []
        for _ in self.groups:
            group = fields.byte(min(64, limits["max_group"]))
            check(group >= 1, "a group of no rows")
            scope = Scope(self.fold, group, limits, tables, codebook, video, code_levels=code_levels)
            self.chains.append(_chain(fields, listed, scope))
        fields.end()

    def decode(self, payload: bytes, rows: int) -> Decoded:
        """A chunk. rows: tokens, where they are ragged."""
        fields = Fields(payload)
        check(self.fold or rows * sum(self.groups) <= 1 << 20, "tokens without channels")
        record = fields.blob() if self.keeps else b""
        groups, steps, codes, crc = [], [], [], 0
        for chain, tokens in zip(self.chains, self.groups, strict=True):
            shape = (rows, tokens, self.fold)
            found, values, step = _decode_group(chain, fields.blob(), shape)
            codes.append(found)
            crc = zlib.crc32(found.astype("<i4").tobytes(), crc)
            groups.append(values.reshape(shape))
            steps.append(np.broadcast_to(step, shape))
        fields.end()
        values = self._rows(np.concatenate(groups, axis=1)) * 2.0**self.exponent
        rms = float(np.sqrt(np.mean(np.square(np.concatenate(steps, axis=1))))) if values.size else 0.0
        exact = _exact(record, values.size, WIDTHS[self.stream.dtype])
        return Decoded(values, exact, rms * 2.0**self.exponent, codes, crc)

    def _rows(self, tokens: np.ndarray) -> np.ndarray:
        """(F, *row_shape) of (F, N, D): the channel axis goes back to its place."""
        shape = list(self.stream.row_shape)
        if not shape:
            return tokens.reshape(len(tokens))
        axis = self.stream.channel_axis
        shape.append(shape.pop(axis))
        return np.moveaxis(tokens.reshape(len(tokens), *shape), -1, 1 + axis)


def _group_sizes(stream: Stream, folds: int) -> list[int]:
    """Tokens of each token group."""
    if stream.ragged:
        return [folds]
    others = [size for axis, size in enumerate(stream.row_shape) if axis != stream.channel_axis]
    total = int(np.prod(others, dtype=np.int64))
    special = min(stream.special_tokens, total) if len(others) == 1 else 0
    return [special * folds, (total - special) * folds] if special else [total * folds]


def _chain(fields: Fields, listed: list[tuple[int, int]], scope: Scope) -> list[Stage]:
    places = [fields.byte() for _ in range(fields.byte(16))]
    check(places and all(place < len(listed) for place in places), "a stage that is not listed")
    numbers = [listed[place][0] for place in places]
    mixed = [number for number in numbers if number in _MIXTURE]
    check(not mixed or (mixed in ([33, 67, 131], [33, 68, 133]) and numbers[-3:] == mixed), "stages of a mixture")
    check((70 in numbers) == (135 in numbers), "a vector quantiser without its indices")
    for number, scope.version in (listed[place] for place in places):
        scope.before.append(STAGES[number](fields, scope))
    *before, last = scope.before
    right = isinstance(last, Coder) and before and before[-1].quantiser
    check(right and not any(stage.coder or stage.quantiser for stage in before[:-1]), "no chain of stages")
    return scope.before


def _decode_group(chain: list[Stage], data: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes, values, steps) of one token group."""
    fields = Fields(data)
    *before, coder = chain
    assert isinstance(coder, Coder)
    told = [fields.blob() if stage.has_side else b"" for stage in before]
    sides: list[Any] = []
    for stage, side in zip(before, told, strict=True):
        sides.append(stage.side(side, shape) if stage.has_side else None)
        shape = stage.shape(shape)
    codes = coder.codes(fields.rest(), shape, sides)
    values, step = codes, np.zeros(())
    for stage, side in zip(reversed(before), reversed(sides), strict=True):
        values, step = stage.undo(values, step, side)
    return codes, values, step


def _exact(record: bytes, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(positions, bits) of a record of exact values."""
    if not record:
        return np.zeros(0, np.int64), np.zeros(0, f"<u{width}")
    fields = Fields(record)
    runs, count = fields.varint(size), fields.varint(size)
    data = unzstd(fields.rest(), 8 * runs + width * count)
    gaps = np.frombuffer(data, "<u4", runs).tolist()
    lengths = np.frombuffer(data, "<u4", runs, 4 * runs).tolist()
    positions: list[int] = []
    end = 0
    check(sum(lengths) == count and sum(gaps) + count <= size, "exact values beyond the rows")
    for gap, length in zip(gaps, lengths, strict=True):
        positions += range(end + gap, end + gap + length)
        end = bounded(end + gap + length, 0, size)
    return np.array(positions, np.int64), np.frombuffer(data, f"<u{width}", count, 8 * runs)


def spacing(values: np.ndarray, dtype: str) -> np.ndarray:
    """Half the distance between neighbours of an element type at each value: what the last cast may add."""
    _, digits, least = _BINARY[dtype]
    exponents = np.maximum(np.frexp(values)[1] - 1, least)
    return np.asarray(np.ldexp(0.5, exponents - digits))


def limited(values: np.ndarray, dtype: str) -> np.ndarray:
    """Within the range of the element type."""
    largest = _BINARY[dtype][0] or float(np.finfo(np.float32).max)
    return np.asarray(np.clip(values, -largest, largest))
