"""Tokens to coefficients under a mixture of KLTs: each track less the mean of its mode, in its basis, then DCT in time.

    y[k, i] = sum_t c_k(t) (x_t - mean_m) . v_mi        k < 2^level, i < r_m,  m the mode of the track

x: (F, N, D) float32. y: flat float32, blocks of equal mode and level one after the other, in each frequency k outer,
then vector i, then the block's tracks. Cut and modes of the tracks travel with every chunk (`cutting`).
Source: mixtures of probabilistic PCA, Tipping and Bishop, Neural Computation 11, 1999; transforms that follow the
signal's activity in time, Mallat, "A Wavelet Tour of Signal Processing", ch. 8 (best bases). Not here: labels for
each row (a track of one row is one), bases that modes share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec import quarter_octave
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage, Shape
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.mixture.cutting import TrackTables, read_tracks, write_tracks
from embdc_cli.codec.transform.mixture.modes import Mode, read_modes, write_modes
from embdc_cli.codec.transform.mixture.search import Searcher
from embdc_cli.codec.transform.mixture.tracks import Block, Tracks
from embdc_cli.codec.transform.parameters import Scope, SegmentStage
from embdc_cli.codec.transform.time_dct import matrix


@dataclass(frozen=True, eq=False)
class Mixture(ArrayStage, SegmentStage):
    """offsets: (LEVELS, LEVELS) int64, what level and band add to the classes.

    reach_code: of the encoder's search, in quarter octaves; kept so that every chunk is searched alike.
    """

    stage = StageId.MIXTURE
    has_side = True
    modes: tuple[Mode, ...]
    offsets: np.ndarray
    tables: TrackTables
    reach_code: int

    def measure(self, x: np.ndarray) -> bytes:
        reach = 2.0 ** (self.reach_code / 4)
        levels, modes = Searcher([(m.mean, m.synthesis) for m in self.modes], reach).maps(x)
        out = FieldWriter()
        write_tracks(out, Tracks.of_maps(levels, modes), self.tables, len(self.modes))
        return out.bytes()

    def tracks_of(self, side: bytes) -> Tracks:
        """The tracks that the side information tells of. Raises CorruptArchive."""
        return read_tracks(FieldReader(side, "tracks"), self.tables, len(self.modes))

    def shape(self, shape: Shape, side: bytes) -> Shape:
        fields = FieldReader(side, "tracks")
        found = fields.varint(limit=shape[0]), fields.varint(limit=shape[1])
        if found != shape[:2]:
            raise fields.corrupt(f"expected {shape[0]} rows of {shape[1]} tokens, found {found[0]} of {found[1]}")
        tracks = self.tracks_of(side)
        return (sum(self.size(block) for block in tracks.blocks),)

    def size(self, block: Block) -> int:
        """Coefficients of a block."""
        return block.token_index.size * self.modes[block.mode].rank

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        tokens = x.reshape(-1, x.shape[2])
        parts = []
        for block in self.tracks_of(side).blocks:
            mode = self.modes[block.mode]
            y = (tokens[block.token_index.ravel()] - mode.mean) @ mode.synthesis.T
            y = np.matmul(matrix(block.rows), y.reshape(len(block.tracks), block.rows, mode.rank))
            parts.append(y.transpose(1, 2, 0).ravel())
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        tracks = self.tracks_of(side)
        x = np.empty((tracks.rows * tracks.tokens, self.modes[0].channels), np.float32)
        end = 0
        for block in tracks.blocks:
            mode = self.modes[block.mode]
            start, end = end, end + self.size(block)
            part = y[start:end].reshape(block.rows, mode.rank, len(block.tracks)).transpose(2, 0, 1)
            in_time = np.matmul(matrix(block.rows).T, part).reshape(block.token_index.size, mode.rank)
            x[block.token_index.ravel()] = in_time @ mode.synthesis + mode.mean
        return x.reshape(tracks.rows, tracks.tokens, -1)

    def write(self, out: FieldWriter) -> None:
        out.varint(self.reach_code + quarter_octave.LIMIT)
        self.tables.write(out)
        write_modes(out, self.modes, self.offsets)

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Mixture:
        reach_code = fields.varint(limit=2 * quarter_octave.LIMIT) - quarter_octave.LIMIT
        tables = TrackTables.read(fields)
        modes, offsets = read_modes(fields, scope.channels, scope.limits)
        scope.mixture = cls(modes, offsets, tables, reach_code)
        return scope.mixture
