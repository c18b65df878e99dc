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
    """The tracks of one mode and one level. token_index: (n, 2^level) positions in the chunk's (F * N) tokens."""

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
    def blocks(self) -> tuple[Block, ...]:
        """By mode, then level; within a block the tracks keep their order."""
        key = self.mode * LEVELS + self.level
        order = np.argsort(key, kind="stable")
        cuts = np.flatnonzero(np.diff(key[order])) + 1
        blocks = []
        for members in np.split(order, cuts) if len(order) else ():
            first = members[0]
            level = int(self.level[first])
            first_token = self.starts[members] * self.tokens + self.token[members]
            index = first_token[:, None] + np.arange(1 << level) * self.tokens
            blocks.append(Block(int(self.mode[first]), level, members, index))
        return tuple(blocks)


def longest_levels(rows: int) -> np.ndarray:
    """(rows,) int64: the largest level of a track that may start at each row of a chunk of `rows` rows."""
    row = np.arange(rows, dtype=np.int64)
    level = np.zeros(rows, np.int64)
    for candidate in range(1, LEVELS):
        length = 1 << candidate
        level[(row % SPAN % length == 0) & (row + length <= rows)] = candidate
    return level
