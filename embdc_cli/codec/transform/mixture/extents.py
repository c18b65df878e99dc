"""How far a large block of tracks reaches: for each band of frequencies, the vectors up to the last one in use there.

What lies beyond is class 0: neither sent nor decoded, and the quantiser gives zeros. With a thousand channels that is
more than half of all codes, and of the time that coding them takes. In a small block the extents would cost more bits
than the zeros they save: its vectors all count as in use.
Layout: uniform levels (`parameters`): for each large block in turn, for each of its bands, how many vectors fewer than
in the band before, in the first band than the mode has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.mixture.frequencies import band_count, band_of
from embdc_cli.codec.transform.mixture.tracks import Block, Tracks
from embdc_cli.codec.transform.parameters import read_uniform_levels, write_uniform_levels

LARGE: Final = 1 << 16
"""Codes of a block from which on it has extents."""

Extents = dict[int, np.ndarray]
"""(bands,) int64 for each large block, by its place in `Tracks.blocks`."""


def measure_extents(codes: np.ndarray, tracks: Tracks, ranks: Sequence[int]) -> Extents:
    """codes: of all blocks, flat. ranks: vectors of each mode."""
    extents, start = {}, 0
    for number, block in enumerate(tracks.blocks):
        rank = ranks[block.mode]
        part = codes[start : start + block.token_index.size * rank].reshape(block.rows, rank, len(block.tracks))
        start += part.size
        if part.size >= LARGE:
            used = np.logical_or.reduceat(part.any(axis=2), _first_frequencies(block.rows))
            extents[number] = np.where(used, np.arange(1, rank + 1), 0).max(axis=1, initial=0)
    return extents


def in_use(block: Block, extent: np.ndarray | None, rank: int) -> np.ndarray:
    """(2^level, r) bool: which planes of a block are within its extent (bands,), None for all."""
    if extent is None:
        return np.ones((block.rows, rank), bool)
    return np.asarray(np.arange(rank) < extent[band_of(block.rows)][:, None])


def write_extents(out: FieldWriter, extents: Extents, tracks: Tracks, ranks: Sequence[int]) -> None:
    fewer = [-np.diff(one, prepend=ranks[tracks.blocks[number].mode]) for number, one in extents.items()]
    if fewer:
        write_uniform_levels(out, np.concatenate(fewer))


def read_extents(fields: FieldReader, tracks: Tracks, ranks: Sequence[int]) -> Extents:
    """As `write_extents` wrote them. Raises CorruptArchive when one is out of range."""
    large = [
        number for number, block in enumerate(tracks.blocks) if block.token_index.size * ranks[block.mode] >= LARGE
    ]
    if not large:
        return {}
    counts = [band_count(tracks.blocks[number].rows) for number in large]
    fewer = np.split(read_uniform_levels(fields, sum(counts)).astype(np.int64), np.cumsum(counts)[:-1])
    extents = {}
    for number, steps in zip(large, fewer, strict=True):
        rank = ranks[tracks.blocks[number].mode]
        extents[number] = rank - np.cumsum(steps)
        if not 0 <= extents[number].min() <= extents[number].max() <= rank:
            raise fields.corrupt(f"extents: expected 0 to {rank} vectors")
    return extents


def _first_frequencies(rows: int) -> np.ndarray:
    """(bands,) int64: the first frequency of each band."""
    return np.asarray(np.searchsorted(band_of(rows), np.arange(band_count(rows))))
