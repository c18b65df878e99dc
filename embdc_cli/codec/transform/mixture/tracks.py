"""Tracks: one token over a dyadic run of rows, with the mode that codes it.

A chunk is cut into spans of 64 rows from its first row on (the last may be short). Within a span each token is cut on
its own: a track has 2^level rows and starts at a multiple of that, so still tokens take one long track and moving ones
many short. Tracks are listed by first row, then token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

SPAN: Final = 64
LEVELS: Final = 7
"""Levels 0..6: tracks of 1, 2, 4, .. 64 rows."""


@dataclass(frozen=True, eq=False)
class Block:
    """The tracks of one mode and one level. token_index: (n, 2^level) positions in the chunk's (F * N) tokens; row by
    row it lies in `Tracks.order`.
    """

    mode: int
    level: int
    tracks: np.ndarray
    token_index: np.ndarray

    @property
    def rows(self) -> int:
        return 1 << self.level


@dataclass(frozen=True, eq=False)
class Tracks:
    """rows F, tokens N of the chunk. starts, token, level, mode: (n,) int64 each, in the order above."""

    rows: int
    tokens: int
    starts: np.ndarray
    token: np.ndarray
    level: np.ndarray
    mode: np.ndarray

    @classmethod
    def of_maps(cls, levels: np.ndarray, modes: np.ndarray) -> Tracks:
        """The tracks of maps (F, N) that say, for every row of every token, level and mode of its track."""
        rows, tokens = levels.shape
        inside = np.arange(rows)[:, None] % SPAN
        starts, token = map(np.ascontiguousarray, np.nonzero(inside % (1 << levels.astype(np.int64)) == 0))
        return cls(
            rows,
            tokens,
            starts,
            token,
            levels[starts, token].astype(np.int64),
            modes[starts, token].astype(np.int64),
        )

    @classmethod
    def single_rows(cls, rows: int, tokens: int) -> Tracks:
        """Every row of every token on its own, in mode 0."""
        return cls.of_maps(np.zeros((rows, tokens), np.int8), np.zeros((rows, tokens), np.int16))

    @cached_property
    def by_block(self) -> np.ndarray:
        """(n,) int64: the tracks by mode, then level; within a block they keep their order."""
        return np.argsort(self.mode * LEVELS + self.level, kind="stable")

    @cached_property
    def order(self) -> np.ndarray:
        """(F * N,) int64: positions in the chunk's tokens, block by block; within one by row, then track."""
        first, counts, levels = self._cuts
        sizes = counts << levels
        block = np.repeat(np.arange(len(sizes)), sizes)
        row, track = np.divmod(np.arange(len(block)) - (np.cumsum(sizes) - sizes)[block], counts[block])
        token = (self.starts * self.tokens + self.token)[self.by_block]
        return np.asarray(token[first[block] + track] + row * self.tokens)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """In the order of `by_block`."""
        first, counts, levels = self._cuts
        modes = self.mode[self.by_block[first]].tolist()
        blocks, start, end = [], 0, 0
        for mode, level, count in zip(modes, levels.tolist(), counts.tolist(), strict=True):
            index = self.order[end : end + (count << level)].reshape(1 << level, count).T
            blocks.append(Block(mode, level, self.by_block[start : start + count], index))
            start, end = start + count, end + index.size
        return tuple(blocks)

    @cached_property
    def _cuts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(blocks,) int64 each: where its tracks begin in `by_block`, how many they are, and their level."""
        key = (self.mode * LEVELS + self.level)[self.by_block]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        return first, np.diff(first, append=len(key)), key[first] % LEVELS


def longest_levels(rows: int) -> np.ndarray:
    """(rows,) int64: the largest level of a track that may start at each row of a chunk of `rows` rows."""
    row = np.arange(rows, dtype=np.int64)
    level = np.zeros(rows, np.int64)
    for candidate in range(1, LEVELS):
        length = 1 << candidate
        level[(row % SPAN % length == 0) & (row + length <= rows)] = candidate
    return level
