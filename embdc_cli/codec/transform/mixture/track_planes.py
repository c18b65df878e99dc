"""Codes of a mixture to bytes: the class of each from its mode, vector, level, band, and the activity of its track.

    class = class of (mode, vector, frequency 0 or not) + offset of (level, band) + activity of the track

limited to 1..63; the activity is left out at frequency 0. It tells how much the track moves beyond what its mode and
level promise, as in `activity`; a track that does not move at all says so, and all its codes but those of frequency 0
are skipped: a still scene costs neither bits nor time. Order as in `stage`. Codes: flat int32.
Layout: [blob] activities, rANS under the segment's table; levels (embdc_cli.entropy.levels) to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.activity import HIGHEST, LOWEST
from embdc_cli.codec.transform.bands import band_of
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.tracks import Tracks
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope, SegmentStage
from embdc_cli.entropy import rans
from embdc_cli.entropy.levels import decode_levels, encode_levels
from embdc_cli.entropy.tables import CLASSES, UNIT_CLASS, Tables, classes_of_means

_STILL: Final = 0  # symbol of a track without motion; others are offsets above LOWEST - 1
_ACTIVITIES: Final = Tables(
    np.array(
        [[1000, 8, 8, 16, 24, 40, 60, 90, 140, 220, 320, 420, 480, 420, 320, 220, 140, 80, 40, 20, 12, 8, 5, 3, 2]]
    )
)
"""A law for activities, rough on purpose: they take a few tenths of a percent of the bits."""


@dataclass(frozen=True, eq=False)
class TrackPlanes(Coder, SegmentStage):
    """mixture: whose codes they are. tables: of the entropy coder."""

    stage = StageId.TRACK_PLANES
    mixture: Mixture
    tables: Tables

    def encode(self, codes: np.ndarray, side: bytes) -> bytes:
        tracks = self.mixture.tracks_of(side)
        activities = self.activities(codes, tracks)
        out = FieldWriter()
        moving = activities[tracks.level > 0]
        out.blob(rans.encode(moving, np.zeros_like(moving), _ACTIVITIES))
        return out.bytes() + encode_levels(codes, self._classes(tracks, activities), self.tables)

    def decode(self, data: memoryview, shape: Shape, side: bytes) -> np.ndarray:
        tracks = self.mixture.tracks_of(side)
        fields = FieldReader(data, "chunk")
        activities = np.zeros(len(tracks.level), np.uint8)
        moving = tracks.level > 0
        row = np.zeros(int(moving.sum()), np.uint8)
        activities[moving] = rans.decode(fields.blob(), row, _ACTIVITIES)
        codes = decode_levels(fields.rest(), self._classes(tracks, activities), self.tables)
        if codes.size and not -MAX_LEVEL <= int(codes.min()) <= int(codes.max()) <= MAX_LEVEL:
            raise fields.corrupt(f"a code is beyond {MAX_LEVEL}")
        return codes

    def activities(self, codes: np.ndarray, tracks: Tracks) -> np.ndarray:
        """(n,) uint8 symbols of the tracks: 0 for no motion, else 1 + offset - LOWEST in half octaves."""
        found = np.zeros(len(tracks.level), np.uint8)
        end = 0
        for block in tracks.blocks:
            start, end = end, end + self.mixture.size(block)
            rank = self.mixture.modes[block.mode].rank
            if block.level == 0 or not rank:
                continue
            moving = np.abs(codes[start:end]).reshape(block.rows * rank, -1)[rank:].sum(axis=0, dtype=np.int64)
            classes = self._base(block.mode, block.level)[rank:].astype(np.float64)
            expected = float(np.exp2((classes - UNIT_CLASS) / 2).sum())
            offsets = classes_of_means(moving, np.full(len(moving), expected)).astype(np.int64) - UNIT_CLASS
            found[block.tracks] = np.where(moving > 0, 1 + np.clip(offsets, LOWEST, HIGHEST) - LOWEST, _STILL)
        return found

    def _classes(self, tracks: Tracks, activities: np.ndarray) -> np.ndarray:
        """(n,) uint8: the class of every code."""
        parts = []
        for block in tracks.blocks:
            rank = self.mixture.modes[block.mode].rank
            base = self._base(block.mode, block.level)
            parts.append(np.repeat(base[:rank].astype(np.uint8), len(block.tracks)))
            if block.level:
                symbols = activities[block.tracks].astype(np.int16)
                moved = np.clip(base[rank:, None] + (symbols - 1 + LOWEST), 1, CLASSES - 1)
                parts.append(np.where(symbols == _STILL, 0, moved).astype(np.uint8).ravel())
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    def _base(self, mode: int, level: int) -> np.ndarray:
        """(2^level * r,) int16: classes by frequency and vector, activity left out."""
        bands = band_of(1 << level)
        classes = self.mixture.modes[mode].classes[np.minimum(bands, 1)] + self.mixture.offsets[level][bands][:, None]
        return np.asarray(np.clip(classes, 1, CLASSES - 1).astype(np.int16).ravel())

    def write(self, out: FieldWriter) -> None:
        del out

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> TrackPlanes:
        if scope.mixture is None:
            raise fields.corrupt("track planes: expected a mixture before them")
        return cls(scope.mixture, scope.tables)
