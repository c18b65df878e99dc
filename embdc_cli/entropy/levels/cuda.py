"""Levels of many chunks from bytes to integers on a CUDA device, in Triton: what `decode_levels` gives for each.

Where every part of a chunk is follows from counts of what is before it, so kernels that count take turns with sums over
blocks of 1024 levels. In order: how many levels of a block are coded and their low bits; where the parts begin; rows
without those of class 0, which the symbols of rANS (`rans.cuda`) stand under; how many levels are not zero, and how
many escapes; the orders of the escapes; their Exp-Golomb codes, prefixes and then remainders, 256 bits or codes of a
chunk at once, as escapes are few; and levels, of symbols, low bits, escapes and signs. All but rANS and the escapes
run over blocks of all chunks side by side. Together they read or write 13 bytes for each coded level, 4 of which are
its value; in torch each of these sums and selections would be a pass of its own over 4 or 8 bytes for each level.

Bytes may be anything: what is read and written for a chunk lies within its own ranges, and whatever `decode_levels`
refuses sets the flag of the chunk. What exactly is wrong the CPU can say. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch

from embdc_cli.entropy.levels import LARGEST, checked_tables
from embdc_cli.entropy.levels import cuda_kernels as kernels
from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.entropy.rans.cuda import LAUNCH, device_of
from embdc_cli.entropy.tables import Tables, class_rows, class_shifts, escape_orders

BLOCK: Final = 1024  # levels of a program
_CHUNKS: Final = 32  # whose parts one program finds
_CODES: Final = 256  # bits or codes of escapes at once
_BYTES_PER_LEVEL: Final = 14
"""On the device for each level while it is decoded: row, symbol, order and excess of an escape, and the level."""
_BYTES_PER_BLOCK: Final = 48
_BYTES_PER_CHUNK: Final = 128


@dataclass(frozen=True, eq=False)
class LevelTables:
    """coder: of rANS; rows, shifts: (64,) uint8 by class; orders, direct: (32,) uint8 by row."""

    coder: rans.DeviceTables
    rows: torch.Tensor
    shifts: torch.Tensor
    orders: torch.Tensor
    direct: torch.Tensor

    @classmethod
    def of(cls, tables: Tables, direct: np.ndarray, device: torch.device) -> LevelTables:
        """direct: (32,) uint8, magnitudes below which there are symbols."""
        arrays = class_rows(), class_shifts(), escape_orders(), direct
        return cls(rans.tables_on(tables, device), *(torch.from_numpy(one.copy()).to(device) for one in arrays))


@lru_cache(maxsize=16)
def tables_on(tables: Tables | None, device: torch.device) -> LevelTables:
    """The tables on a device, the static ones by default; the same tensors for those that were asked for last."""
    tables = checked_tables(tables)
    return LevelTables.of(tables, tables.direct, device)


def launches(sizes: Sequence[int]) -> Iterator[slice]:
    """Chunks of so many levels in runs, each for a launch of its own.

    Every chunk of a launch gets as many programs as the longest: a run is such that they are at most twice as many as
    there are blocks, so neither their memory nor their number goes beyond what levels are there for.
    """
    start, longest, own = 0, 0, 0
    for at, size in enumerate(sizes):
        blocks = blocks_of(size)
        if at > start and (at + 1 - start) * max(longest, blocks) > 2 * (own + blocks):
            yield slice(start, at)
            start, longest, own = at, 0, 0
        longest, own = max(longest, blocks), own + blocks
    if start < len(sizes):
        yield slice(start, len(sizes))


def blocks_of(size: int) -> int:
    """Programs of a chunk of so many levels."""
    return max(1, -(-size // BLOCK))


def work_bytes(size: int) -> int:
    """What `decode_levels` has of the device for a chunk of so many levels in one of `launches`, levels included."""
    return _BYTES_PER_LEVEL * size + 2 * _BYTES_PER_BLOCK * blocks_of(size) + _BYTES_PER_CHUNK


@dataclass(frozen=True, eq=False)
class Parts:
    """Where the parts of p chunks are, in blocks of levels and in bytes.

    rows: (n,) uint8, of the coded levels, from where the span of each chunk begins; coded: (p, 2) int64, where they
    are; payloads: (p, 2) int64, of rANS; low_bits: (p, 2) int64, where low bits and signs begin; before: (2, p, blocks)
    int64, coded levels and low bits before each block; totals: (2, p) int64, of the chunks; errors: (p,) int32, 1 where
    a chunk is corrupt.
    """

    rows: torch.Tensor
    coded: torch.Tensor
    payloads: torch.Tensor
    low_bits: torch.Tensor
    before: torch.Tensor
    totals: torch.Tensor
    errors: torch.Tensor


def decode_levels(
    data: torch.Tensor,
    chunks: torch.Tensor,
    classes: torch.Tensor,
    spans: torch.Tensor,
    longest: int,
    tables: LevelTables,
    largest: int = LARGEST,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The levels (n,) int32 of all chunks, and a flag (p,) int32 for each, 1 where it is corrupt.

    data: (bytes,) uint8; chunks: (p, 2) int64, where in `data` each begins and ends; classes: (n,) uint8; spans: (p, 2)
    int64, where in `classes`, and so among the levels, each has its own, no two the same; longest: no span is longer,
    fewer than 2^31 levels. Levels of corrupt chunks are anything, as are those outside the spans. Takes `work_bytes` of
    each chunk of a launch while it runs.
    """
    with device_of(data):
        parts = parts_of(data, chunks, classes, spans, longest, tables)
        symbols, errors = rans.decode(data, parts.payloads, parts.rows, parts.coded, tables.coder)
        parts.errors.bitwise_or_(errors)
        return levels_of(symbols, data, chunks, classes, spans, parts, tables, largest), parts.errors


def parts_of(
    data: torch.Tensor,
    chunks: torch.Tensor,
    classes: torch.Tensor,
    spans: torch.Tensor,
    longest: int,
    tables: LevelTables,
) -> Parts:
    """Where the parts of the chunks are, as far as that follows from classes. Arguments as for `decode_levels`."""
    rans.check(chunks, spans, data=data, classes=classes)
    device, count, blocks = classes.device, len(chunks), blocks_of(longest)
    counts = torch.zeros((2, count, blocks), dtype=torch.int64, device=device)
    errors = torch.zeros(count, dtype=torch.int32, device=device)
    ranges = torch.zeros((3, count, 2), dtype=torch.int64, device=device)
    coded, payloads, low_bits = ranges.unbind()
    rows = torch.empty_like(classes)
    if not count:
        return Parts(rows, coded, payloads, low_bits, counts, counts.sum(2), errors)
    grid = (count * blocks,)
    kernels.count_coded[grid](classes, spans, tables.shifts, counts, errors, count, blocks, BLOCK=BLOCK, **LAUNCH)
    before = torch.cumsum(counts, 2)
    totals = before[..., -1].clone()  # which is no view where there is one block
    before -= counts
    kernels.find_parts[(-(-count // _CHUNKS),)](
        *(data, chunks, spans, totals, coded, payloads, low_bits, errors, count, blocks * BLOCK),
        CHUNKS=_CHUNKS,
        num_warps=1,
        **LAUNCH,
    )
    kernels.keep_coded[grid](classes, spans, tables.rows, before, rows, blocks, BLOCK=BLOCK, **LAUNCH)
    return Parts(rows, coded, payloads, low_bits, before, totals, errors)


def levels_of(
    symbols: torch.Tensor,
    data: torch.Tensor,
    chunks: torch.Tensor,
    classes: torch.Tensor,
    spans: torch.Tensor,
    parts: Parts,
    tables: LevelTables,
    largest: int,
) -> torch.Tensor:
    """The levels (n,) int32, as `decode_levels` gives them; flags in `parts` are set where raw bits are corrupt.

    symbols: (n,) uint8 in the order of `parts.rows`.
    """
    levels = torch.empty(classes.shape, dtype=torch.int32, device=classes.device)
    count, blocks = parts.before.shape[1:]
    if not count:
        return levels
    grid = (count * blocks,)
    counts = torch.zeros_like(parts.before)
    where = data, classes, spans, parts.before, parts.low_bits, tables.shifts, symbols
    kernels.count_raw[grid](*where, counts, parts.errors, count, blocks, BLOCK=BLOCK, **LAUNCH)
    raw = torch.cumsum(counts, 2)
    totals = raw[..., -1].clone()
    raw -= counts
    excess = torch.empty((2, len(classes)), dtype=torch.int32, device=classes.device)
    kernels.keep_orders[grid](
        *(classes, spans, parts.before, tables.rows, tables.orders, symbols, raw, counts, excess[0], count, blocks),
        BLOCK=BLOCK,
        **LAUNCH,
    )
    kernels.read_escapes[(count,)](
        *(data, chunks, spans, parts.totals, parts.low_bits, totals, excess[0], excess[1], parts.errors, count),
        CODES=_CODES,
        **LAUNCH,
    )
    kernels.merge[grid](
        *(*where, tables.rows, tables.direct, raw, excess[0], levels, parts.errors, count, blocks, largest),
        BLOCK=BLOCK,
        **LAUNCH,
    )
    return levels
