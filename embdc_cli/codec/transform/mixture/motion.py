"""How much each track moves: an offset to the classes of its temporal frequencies, or that it does not move at all.

    class = class of (mode, vector, octave) + offset of (level, band) + activity of the track

limited to 1..63; the activity, in half octaves, is left out at frequency 0. A track that does not move says so, and its
codes of frequencies from 1 on are class 0: never sent, so that a still scene costs neither bits nor time. So are codes
beyond the extents of a large block (`extents`).
Layout: [blob] one symbol for each track of more than one row, behind the tracks (`cutting`) of the chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.activity import HIGHEST, LOWEST
from embdc_cli.codec.transform.mixture.code_classes.reference import STILL
from embdc_cli.codec.transform.mixture.extents import Extents, in_use
from embdc_cli.codec.transform.mixture.frequencies import band_of, kind_of
from embdc_cli.codec.transform.mixture.modes import Mode
from embdc_cli.codec.transform.mixture.tracks import Block, Tracks
from embdc_cli.entropy import rans
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.tables import CLASSES, UNIT_CLASS, Tables, classes_of_means

_CODE_CLASSES: Final = "embdc_cli.codec.transform.mixture.code_classes"
_ACTIVITIES: Final = Tables(
    np.array(
        [[1000, 8, 8, 16, 24, 40, 60, 90, 140, 220, 320, 420, 480, 420, 320, 220, 140, 80, 40, 20, 12, 8, 5, 3, 2]]
    )
)
"""A law for activities, rough on purpose: they take a few tenths of a percent of the bits."""


@dataclass(frozen=True, eq=False)
class ClassParts:
    """What classes are made of, block by block.

    planes: (p,) uint8, classes of planes without activity, 0 for those beyond an extent. symbols: (t,) uint8 of tracks.
    shapes: (blocks, 3) int64: planes and tracks of each, and the rank of its mode: so many of its planes does no
    activity move.
    """

    planes: np.ndarray
    symbols: np.ndarray
    shapes: np.ndarray


class Motion:
    """The classes of the codes of `modes`. offsets: (LEVELS, BANDS) int64 by level and band."""

    def __init__(self, modes: Sequence[Mode], offsets: np.ndarray) -> None:
        self._modes = modes
        self._offsets = offsets
        self._bases: dict[tuple[int, int], np.ndarray] = {}

    def activities(self, magnitudes: np.ndarray, tracks: Tracks) -> np.ndarray:
        """(n,) uint8 symbols of the tracks: 0 for no motion, else 1 + offset - LOWEST. magnitudes: of all codes."""
        found = np.zeros(len(tracks.level), np.uint8)
        for block, part in self._parts(magnitudes, tracks):
            rank = self._modes[block.mode].rank
            if block.level == 0 or not rank:
                continue
            moving = part.reshape(block.rows * rank, -1)[rank:].sum(axis=0, dtype=np.int64)
            classes = self._base(block.mode, block.level)[rank:].astype(np.float64)
            expected = float(np.exp2((classes - UNIT_CLASS) / 2).sum())
            offsets = classes_of_means(moving, np.full(len(moving), expected)).astype(np.int64) - UNIT_CLASS
            found[block.tracks] = np.where(moving > 0, 1 + np.clip(offsets, LOWEST, HIGHEST) - LOWEST, STILL)
        return found

    def classes(self, tracks: Tracks, activities: np.ndarray, extents: Extents) -> np.ndarray:
        """(n,) uint8: the class of every code, in the order of the codes."""
        parts = self.parts(tracks, activities, extents)
        return np.asarray(kernels(_CODE_CLASSES).spread(parts.planes, parts.symbols, parts.shapes))

    def parts(self, tracks: Tracks, activities: np.ndarray, extents: Extents) -> ClassParts:
        """What `classes` are made of."""
        planes = [np.zeros(0, np.uint8)]
        for number, block in enumerate(tracks.blocks):
            base = self._base(block.mode, block.level)
            if number in extents:
                base = base * in_use(block, extents[number], self._modes[block.mode].rank).ravel()
            planes.append(base)
        ranks = np.array([self._modes[block.mode].rank for block in tracks.blocks], np.int64)
        shapes = np.column_stack([self.paths(tracks), ranks])
        return ClassParts(np.concatenate(planes), activities[tracks.by_block], shapes)

    def paths(self, tracks: Tracks) -> np.ndarray:
        """(blocks, 2) int64: planes and tracks of every block, as trellises see them."""
        shapes = [(block.rows * self._modes[block.mode].rank, len(block.tracks)) for block in tracks.blocks]
        return np.array(shapes, np.int64).reshape(-1, 2)

    def _parts(self, codes: np.ndarray, tracks: Tracks) -> list[tuple[Block, np.ndarray]]:
        sizes = self._sizes(tracks)
        return list(zip(tracks.blocks, np.split(codes, np.cumsum(sizes)[:-1]), strict=True)) if sizes else []

    def _sizes(self, tracks: Tracks) -> list[int]:
        return [block.token_index.size * self._modes[block.mode].rank for block in tracks.blocks]

    def _base(self, mode: int, level: int) -> np.ndarray:
        """(2^level * r,) uint8: classes by frequency and vector, activity left out; the same for every chunk."""
        if (mode, level) not in self._bases:
            bands = band_of(1 << level)
            classes = self._modes[mode].classes
            classes = classes[kind_of(len(classes))[bands]] + self._offsets[level][bands][:, None]
            self._bases[mode, level] = np.clip(classes, 1, CLASSES - 1).astype(np.uint8).ravel()
        return self._bases[mode, level]


def write_activities(out: FieldWriter, activities: np.ndarray, tracks: Tracks) -> None:
    """Of tracks of more than one row, rANS under one fixed table."""
    moving = activities[tracks.level > 0]
    out.blob(rans.encode(moving, np.zeros_like(moving), _ACTIVITIES))


def read_activities(fields: FieldReader, tracks: Tracks) -> np.ndarray:
    """(n,) uint8 as `write_activities` wrote them. Raises CorruptArchive."""
    activities = np.zeros(len(tracks.level), np.uint8)
    moving = tracks.level > 0
    activities[moving] = rans.decode(fields.blob(), np.zeros(int(moving.sum()), np.uint8), _ACTIVITIES)
    return activities
