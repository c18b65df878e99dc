"""Codes to bytes: planes of equal frequency and basis vector, each under one class of the entropy coder.

Order: frequency k outer, basis vector i, then group x token. Plane (k, i) holds the codes of all tokens of all groups
that are long enough to have frequency k (the last group of a chunk may not be). The class of a code is that of its
plane plus, from frequency 1 on, the offset of its track (`activity`).
Planes whose class promises almost only zeros carry a flag in each chunk; one that is all zero is not coded at all, and
one that is not, although its class says so, is coded under a class that suits a single non-zero code. So every code is
exact, however wrong the classes are for this chunk. Codes: (F, N, r) int32.
Layout: [varint] bytes of the flags; flags; track offsets, if G > 1; levels (embdc_cli.entropy.levels) to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform import activity
from embdc_cli.codec.transform.bands import band_count, band_of, read_classes, write_classes
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.entropy.levels import bits_of_levels, decode_levels, encode_levels
from embdc_cli.entropy.tables import CLASSES, UNIT_CLASS, Tables

FLAGGED_CLASSES: Final = 5
"""Planes of classes 0..5 (mean magnitude up to 2^-7.5) carry a flag: there the coder's least cost per zero shows."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The bytes of a chunk, told apart.

    classes: (G * r,) uint8, of planes as they are coded. offsets: (groups, N) int8, of tracks. levels: their bytes.
    """

    classes: np.ndarray
    offsets: np.ndarray
    levels: memoryview


@dataclass(frozen=True, eq=False)
class Head:
    """What tells the classes of a chunk, as bytes and as in `Parts`."""

    data: bytes
    classes: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, eq=False)
class Planes(Coder, SegmentStage):
    """group: rows in a full temporal group. classes: (bands, r) uint8. tables: of the entropy coder."""

    stage = StageId.PLANES
    group: int
    classes: np.ndarray
    tables: Tables

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        head, levels, classes = self._classified(codes)
        return head.data + encode_levels(levels, classes, self.tables)

    def classify(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(levels, classes) as they go to the entropy coder, int32 and uint8 (F * N * r,): what tables are made of."""
        _, levels, classes = self._classified(codes)
        return levels, classes

    def _classified(self, codes: np.ndarray) -> tuple[Head, np.ndarray, np.ndarray]:
        """What comes before the levels, and `classify`."""
        sizes = self._sizes(codes.shape)
        levels = _to_planes(codes, self.group)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        present = np.zeros(sizes.shape, bool)
        if levels.size:
            present[sizes > 0] = np.logical_or.reduceat(levels != 0, starts[sizes > 0])
        head = self.head(present, activity.measure(codes, self.group), codes.shape)
        return head, levels, self._level_classes(head.classes, head.offsets, codes.shape)

    def head(self, present: np.ndarray, sums: np.ndarray, shape: Shape) -> Head:
        """What tells the classes of the codes of `shape`, of which planes are not all zeros, and sums along tracks.

        present: (G * r,) bool; sums: (groups, N) int64, as of `activity.measure`, not looked at where G is 1.
        """
        sizes = self._sizes(shape)
        classes, flagged = self._plane_classes(sizes)
        out = FieldWriter()
        flag_levels = present[flagged].astype(np.int32)
        out.blob(encode_levels(flag_levels, _flag_classes(classes[flagged], sizes[flagged])))
        offsets = np.zeros((-(-shape[0] // self.group), shape[1]), np.int8)
        final = _coded_classes(classes, flagged, present, sizes)
        if self.group > 1:
            offsets = activity.offsets_of(sums, final.reshape(self.group, -1), shape[0])
            activity.write(out, offsets)
        return Head(out.bytes(), final, offsets)

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        parts = self.part(data, shape)
        classes = self._level_classes(parts.classes, parts.offsets, shape)
        return _from_planes(decode_levels(parts.levels, classes, self.tables, MAX_LEVEL), shape, self.group)

    def part(self, data: memoryview, shape: Shape) -> Parts:
        """What tells the classes of the codes of `shape`, and their bytes. Raises CorruptArchive."""
        sizes = self._sizes(shape)
        classes, flagged = self._plane_classes(sizes)
        fields = FieldReader(data, "chunk")
        flags = decode_levels(fields.blob(), _flag_classes(classes[flagged], sizes[flagged]))
        if flags.size and not 0 <= flags.min() <= flags.max() <= 1:
            raise fields.corrupt("plane flags: expected 0 or 1")
        present = np.ones(sizes.shape, bool)
        present[flagged] = flags != 0
        final = _coded_classes(classes, flagged, present, sizes)
        groups = -(-shape[0] // self.group)
        offsets = np.zeros((groups, shape[1]), np.int8)
        if self.group > 1:
            offsets = activity.read(fields, groups, shape[1])
        return Parts(final, offsets, fields.rest())

    def plane_bits(self, codes: np.ndarray, side: bytes) -> list[np.ndarray]:
        levels, classes = self.classify(codes)
        sizes = self._sizes(codes.shape)
        planes = np.repeat(np.arange(sizes.size), sizes)
        bits = np.bincount(planes, bits_of_levels(levels, classes, self.tables), sizes.size)
        return [bits.reshape(self.group, codes.shape[2])]

    def _sizes(self, shape: Shape) -> np.ndarray:
        """Codes in each plane, (G * r,) int64 in plane order, for an array of `shape` (F, N, r)."""
        rows, tokens, rank = shape
        groups, rest = divmod(rows, self.group)
        per_frequency = tokens * (groups + (np.arange(self.group) < rest))
        return np.repeat(per_frequency, rank)

    def _plane_classes(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The segment's class of each plane, and which planes carry a flag."""
        classes = self.classes[band_of(self.group)].ravel()
        return classes, (classes <= FLAGGED_CLASSES) & (sizes > 0)

    def _level_classes(self, planes: np.ndarray, offsets: np.ndarray, shape: Shape) -> np.ndarray:
        """The class of each level in plane order, (F * N * r,) uint8, of plane classes (G * r,) uint8."""
        groups, rest = divmod(shape[0], self.group)
        base = planes.reshape(self.group, -1, 1, 1).astype(np.int8)
        lowest = (base > 0).astype(np.int8)
        highest = lowest * np.int8(CLASSES - 1)
        parts = []
        for start, stop, count in ((0, 1, None), (1, rest, None), (max(1, rest), self.group, groups)):
            moved = offsets[:count] if start else np.zeros_like(offsets[: groups + (rest > 0)])
            k = slice(start, stop)
            limited = np.minimum(np.maximum(base[k] + moved, lowest[k]), highest[k])
            parts.append(limited.view(np.uint8).ravel())
        return np.concatenate(parts)

    def write(self, out: FieldWriter) -> None:
        write_classes(out, self.classes)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Planes:
        return cls(scope.group, read_classes(fields, band_count(scope.group), scope.channels), scope.tables.planes)


def _coded_classes(classes: np.ndarray, flagged: np.ndarray, present: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The class each plane is coded under: 0 when its flag says that it is empty.

    A flagged plane that is not gets at least the class of a single code of magnitude 1, 20 - 2 floor(log2 size).
    """
    lone = np.maximum(UNIT_CLASS - 2 * _octaves(sizes), 1)
    raised = np.maximum(classes, lone)
    return np.where(flagged, np.where(present, raised, 0), classes).astype(np.uint8)


def _flag_classes(classes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Classes of the flags themselves: the expected number of non-zero codes, at most 1/2."""
    return np.asarray(np.clip(classes + 2 * _octaves(sizes), 1, UNIT_CLASS - 2).astype(np.uint8))


def _octaves(sizes: np.ndarray) -> np.ndarray:
    """floor(log2 size), int64; -1 for 0."""
    return np.frexp(sizes.astype(np.float64))[1].astype(np.int64) - 1


def _to_planes(codes: np.ndarray, group: int) -> np.ndarray:
    """(F, N, r) -> (F * N * r,) in plane order."""
    rows, tokens, rank = codes.shape
    whole = rows - rows % group
    full = codes[:whole].reshape(rows // group, group, tokens, rank).transpose(1, 3, 0, 2)
    if whole == rows:
        return full.ravel()
    rest = codes[whole:].transpose(0, 2, 1)[:, :, None]
    if not whole:
        return rest.ravel()
    shared = np.concatenate([full[: rows - whole], rest], axis=2)
    return np.concatenate([shared.ravel(), full[rows - whole :].ravel()])


def _from_planes(levels: np.ndarray, shape: Shape, group: int) -> np.ndarray:
    """The inverse of `_to_planes`: (F, N, r) contiguous."""
    rows, tokens, rank = shape
    groups, rest = divmod(rows, group)
    whole = groups * group
    codes = np.empty(shape, np.int32)
    full = codes[:whole].reshape(groups, group, tokens, rank).transpose(1, 3, 0, 2)
    shared = levels[: rest * rank * tokens * (groups + 1)].reshape(rest, rank, groups + 1, tokens)
    full[:rest] = shared[:, :, :groups]
    codes[whole:] = shared[:, :, groups].transpose(0, 2, 1)
    full[rest:] = levels[shared.size :].reshape(group - rest, rank, groups, tokens)
    return codes
