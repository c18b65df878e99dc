"""Many chunks for one launch of `cuda.py`: what a host knows of each, as a row of integers, without torch.

The host reads lengths, lanes and escapes (`payload.py`); states, words and signs stay bytes, wherever the chunks lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader
from embdc_cli.codec.transform.time_context.model import ROWS, SYMBOLS
from embdc_cli.codec.transform.time_context.payload import read_payload
from embdc_cli.entropy.rans.layout import split_payload

PADDED_TO: Final = 16
"""Channels of working memory come in so many at a time, so that a thread may load several at once."""
_CODES: Final = 1 << 30  # of a chunk with their padding, at most: places within a chunk have 32 bits


class Column(IntEnum):
    """What a row of the table holds. Places of bytes count from the start of the data of all chunks."""

    FRAMES = 0
    TOKENS = 1
    CHANNELS = 2
    WIDTH = 3  # tokens in a row of their grid, at most TOKENS
    LANES = 4
    STATES_AT = 5
    WORDS_AT = 6
    WORDS = 7
    ESCAPES_AT = 8
    ESCAPES = 9
    SIGNS_AT = 10
    SIGN_BYTES = 11  # -1 where no code is negative
    CODES_AT = 12
    # sums over the chunks before, for working memory: N, D with its padding, their product, and F N
    TOKENS_BEFORE = 13
    CHANNELS_BEFORE = 14
    MAPS_BEFORE = 15
    PLACES_BEFORE = 16


@dataclass(frozen=True, eq=False)
class DeviceChunk:
    """What a chunk's row says of the chunk alone. fields: by `Column`; escapes: (k,) int32."""

    fields: dict[Column, int]
    escapes: np.ndarray

    @classmethod
    def of(cls, shape: tuple[int, int, int], width: int) -> DeviceChunk:
        """A chunk of codes (F, N, D) that has no bytes yet. Raises ValueError for more codes than a kernel counts."""
        frames, tokens, channels = shape
        if frames * tokens * (channels + PADDED_TO) > _CODES:
            raise ValueError(f"codes of one chunk on a device: expected at most {_CODES}, found {shape}")
        fields = {Column.WIDTH: 1, Column.SIGN_BYTES: -1}
        if prod(shape):
            fields |= {Column.FRAMES: frames, Column.TOKENS: tokens, Column.CHANNELS: channels}
            fields[Column.WIDTH] = min(width, tokens)
        return cls(fields, np.zeros(0, np.int32))

    @classmethod
    def read(cls, data: memoryview, at: int, shape: tuple[int, int, int], width: int) -> DeviceChunk:
        """The chunk with these bytes, which begin `at` bytes into the data of all; its codes have `shape` (F, N, D).

        Raises CorruptArchive for what can be told without decoding, ValueError for more codes than a kernel counts.
        """
        chunk = cls.of(shape, width)
        if not prod(shape):
            FieldReader(data, "chunk").end()
            return chunk
        fields = dict(chunk.fields)
        payload = read_payload(data, shape)
        states, words = split_payload(data[payload.rans])
        fields[Column.LANES], fields[Column.WORDS] = states.size, words.size
        fields[Column.STATES_AT] = at + payload.rans.start + 1
        fields[Column.WORDS_AT] = at + payload.rans.stop - 2 * words.size
        fields[Column.ESCAPES] = payload.escapes.size
        if payload.signs is not None:
            fields[Column.SIGNS_AT] = at + payload.signs.start
            fields[Column.SIGN_BYTES] = payload.signs.stop - payload.signs.start
        return cls(fields, payload.escapes)


@dataclass(frozen=True, eq=False)
class ChunkTable:
    """rows: (chunks, 17) int64, see `Column`; escapes: (k,) int32 of all chunks; offsets: (chunks + 1,) int64.

    The codes of chunk i are offsets[i]..offsets[i + 1] of all codes, in the order (F, N, D). tokens, channels, maps,
    places: sums over the chunks of N, of D padded, of their products, and of F N.
    """

    rows: np.ndarray
    escapes: np.ndarray
    offsets: np.ndarray
    tokens: int
    channels: int
    maps: int
    places: int

    @classmethod
    def of(cls, chunks: Sequence[DeviceChunk]) -> ChunkTable:
        rows = np.zeros((len(chunks), len(Column)), np.int64)
        for row, chunk in zip(rows, chunks, strict=True):
            row[list(chunk.fields)] = list(chunk.fields.values())
        codes = rows[:, :3].prod(axis=1)
        channels = -(-rows[:, Column.CHANNELS] // PADDED_TO) * PADDED_TO
        sizes = {
            Column.ESCAPES_AT: rows[:, Column.ESCAPES],
            Column.CODES_AT: codes,
            Column.TOKENS_BEFORE: rows[:, Column.TOKENS],
            Column.CHANNELS_BEFORE: channels,
            Column.MAPS_BEFORE: rows[:, Column.TOKENS] * channels,
            Column.PLACES_BEFORE: rows[:, Column.FRAMES] * rows[:, Column.TOKENS],
        }
        for column, size in sizes.items():
            rows[:, column] = np.cumsum(size) - size
        return cls(
            rows,
            np.concatenate([np.zeros(0, np.int32), *(chunk.escapes for chunk in chunks)]),
            np.concatenate([[0], np.cumsum(codes)]),
            *(int(sizes[one].sum()) for one in list(sizes)[2:]),
        )

    @property
    def data_bytes(self) -> int:
        """Where the last byte of any chunk is, at most."""
        words = self.rows[:, Column.WORDS_AT] + 2 * self.rows[:, Column.WORDS]
        signs = self.rows[:, Column.SIGNS_AT] + self.rows[:, Column.SIGN_BYTES]
        return int(max(words.max(initial=0), signs.max(initial=0)))

    @property
    def work_bytes(self) -> int:
        """Working memory of a launch: 7 bytes for each of N x D, 4 for each D and each N, 112 kB for each chunk."""
        return 7 * self.maps + 4 * self.channels + 4 * self.tokens + 6 * len(self.rows) * ROWS * SYMBOLS
