"""Codes under time contexts on a CUDA device, in Triton: many chunks in one launch, the bytes and codes of the stage.

A program of four warps for each chunk, since within a chunk every token waits for the one before. To decode one:
    class       one step of the coder, by one lane
    table rows  512 channels at once, all warps: 16 features, packed weights and 2 x 16 multiplications for a code, some
                200 instructions; of its 33 loads those of features find most in the L1 cache (3 planes of N x D bytes)
    symbols     ceil((D + 1) / lanes) steps of the coder of some 100 instructions, up to 32 symbols each
    codes       512 channels at once, all warps: escapes, signs, checks, features and traces for the tokens to come
and barriers between. A step waits for the state that the one before leaves: three loads of frequencies, one vote on who
needs a word, one shuffle; words, the next rows and the first three frequencies of each are loaded before. All warps go
through a step alike, and one stores. Tables are renewed by one pass over 1169 x 16 counts, all warps, once in 2^13
symbols at most; counts are sums of integers, atomic, so that order is nothing.
So one chunk takes as long as its tokens and steps one after the other, of either about 1 for 32 codes; chunks run side
by side, several on a multiprocessor, and a launch that does not fill the device takes as long as its longest. Tokens
of class 0 take no steps. Encoding has all symbols of a token at once: a pass for intervals, with no steps; then one of
a warp for each chunk, of one division, one vote and up to 32 symbols a step, backwards.

Bytes may be anything: words, escapes and signs are read within the chunk's own, symbols are below 16 always,
places in tables are clipped, and a token with an impossible code is its chunk's last.
Nothing waits for the device. Importing this imports Triton.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import torch

from embdc_cli.codec.transform.time_context.chunk_table import ChunkTable, Column
from embdc_cli.codec.transform.time_context.cuda_contexts import BUCKETS
from embdc_cli.codec.transform.time_context.cuda_decode import decode_chunks
from embdc_cli.codec.transform.time_context.cuda_encode import HEAD, find_intervals, write_words
from embdc_cli.codec.transform.time_context.model import (
    BUCKET,
    COST_UNIT,
    FEATURE,
    ROWS,
    SYMBOLS,
    ContextModel,
    costs,
    static_model,
)
from embdc_cli.codec.transform.time_context.payload import join_parts
from embdc_cli.entropy.bits import packed_bytes
from embdc_cli.entropy.rans.layout import BYTES_PER_LANE

LAUNCH: Final = {"num_warps": 4, "enable_fp_fusion": False}  # no floats to fuse, but from 3.9 on Triton would warn
_MOST_AT_ONCE: Final = 512  # channels: four to a thread


def decode(data: torch.Tensor, table: ChunkTable, work: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (table.offsets[-1],) int32 of all chunks, and for each chunk 1 where its bytes are corrupt, int32.

    data: (bytes,) uint8 on a device, with the chunks where the table says; work: (table.work_bytes,) uint8 or more,
    there too, of any content: 7 bytes for each of N x D, 4 for each of D and of N, 112 kB for the tables of a chunk.
    Corrupt is what the stage refuses; codes of such a chunk are any numbers. Raises ValueError for too little memory.
    """
    _check_room(data, table.data_bytes, work, table.work_bytes)
    device = data.device
    chunks = len(table.rows)
    codes = torch.empty(int(table.offsets[-1]), dtype=torch.int32, device=device)
    faults = torch.empty(chunks, dtype=torch.int32, device=device)
    if not chunks:
        return codes, faults
    with torch.cuda.device(data.get_device()):  # Triton launches on the current one
        decode_chunks[(chunks,)](
            data, _upload(table.rows, device), _upload(table.escapes, device), *_on(static_model(), device)[:3],
            *_parts(table, work), codes, faults, _block(table), **LAUNCH,
        )  # fmt: skip
    return codes, faults


class Encoded(NamedTuple):
    """Chunks in parts, on a device. data: uint8, with the payloads (chunks, 2) int64 from where to where.

    escapes: int32, of each chunk from its table.offsets on; signs: int32, a bit for each code but 0, of chunk i from
    table.offsets[i] // 32 + i on; found: (chunks, 5) int64, symbols, their cost, escapes, codes but 0, negative codes.
    """

    data: torch.Tensor
    payloads: torch.Tensor
    escapes: torch.Tensor
    signs: torch.Tensor
    found: torch.Tensor

    def chunks(self, table: ChunkTable) -> list[bytes]:
        """The bytes of all chunks, on the host, as the stage writes them. Waits for the device."""
        escape_spans, sign_spans, sign_bytes = [], [], []
        for i, (at, found) in enumerate(zip(table.offsets[:-1].tolist(), self.found.tolist(), strict=True)):
            _, _, escaped, nonzero, negative = found
            escape_spans.append((at, at + escaped))
            sign_spans.append((at // 32 + i, at // 32 + i + (-(-nonzero // 32) if negative else 0)))
            sign_bytes.append(packed_bytes(nonzero) if negative else None)
        chunks = []
        for rans, escapes, signs, size in zip(
            _parts_on_host(self.data, self.payloads.tolist()),
            _parts_on_host(self.escapes, escape_spans),
            _parts_on_host(self.signs, sign_spans),
            sign_bytes,
            strict=True,
        ):
            own = None if size is None else signs.tobytes()[:size]
            chunks.append(join_parts(rans.tobytes(), escapes, own) if rans.size else b"")
        return chunks


def _parts_on_host(numbers: torch.Tensor, spans: list[tuple[int, int]]) -> list[np.ndarray]:
    """From where to where, copied at once."""
    ends = np.cumsum([end - begin for begin, end in spans])
    joined = torch.cat([numbers[:0], *(numbers[begin:end] for begin, end in spans)]).cpu().numpy()
    return np.split(joined, ends[:-1]) if spans else []


def encode(codes: torch.Tensor, table: ChunkTable, work: torch.Tensor) -> Encoded:
    """The chunks of codes (table.offsets[-1],) int32, each within +-MAX_LEVEL, as they come one after the other.

    Of a table of `DeviceChunk.of`. work: as in `decode`; besides, 10 bytes for each code and 6 for each token of each
    row while it encodes, of which 6 for each code are in what is returned. Nothing waits for the device.
    """
    _check_room(codes, int(table.offsets[-1]), work, table.work_bytes)
    device = codes.device
    chunks, count = len(table.rows), int(table.offsets[-1])
    symbols = count + table.places
    payloads = torch.empty((chunks, 2), dtype=torch.int64, device=device)
    escapes = torch.empty(count, dtype=torch.int32, device=device)
    signs = torch.zeros(count // 32 + chunks, dtype=torch.int32, device=device)
    found = torch.empty((chunks, 5), dtype=torch.int64, device=device)
    intervals = torch.empty(symbols, dtype=torch.int32, device=device)
    data = torch.empty(2 * symbols + HEAD.value * chunks, dtype=torch.uint8, device=device)
    encoded = Encoded(data, payloads, escapes, signs, found)
    if not chunks:
        return encoded
    with torch.cuda.device(codes.get_device()):
        rows = _upload(table.rows, device)
        find_intervals[(chunks,)](
            rows, codes, *_on(static_model(), device), *_parts(table, work),
            intervals, escapes, signs, found, _block(table), **LAUNCH,
        )  # fmt: skip
        write_words[(chunks,)](
            rows, intervals, found, data, payloads, BYTES_PER_LANE * 8 * COST_UNIT, **(LAUNCH | {"num_warps": 1})
        )
    return encoded


def _check_room(given: torch.Tensor, expected: int, work: torch.Tensor, work_bytes: int) -> None:
    if given.numel() < expected or work.numel() < work_bytes:
        found = (given.numel(), work.numel())
        raise ValueError(f"sizes of input and working memory: expected at least {expected, work_bytes}, found {found}")


def _block(table: ChunkTable) -> int:
    """Channels at once."""
    return min(max(1 << int(table.rows[:, Column.CHANNELS].max() - 1).bit_length(), 32), _MOST_AT_ONCE)


def _parts(table: ChunkTable, work: torch.Tensor) -> list[torch.Tensor]:
    """What the kernels write to meanwhile, each beginning at a multiple of 16 bytes; counts and tables as at first."""
    counts = len(table.rows) * ROWS * SYMBOLS
    sizes = [
        (counts, torch.int32),
        (counts, torch.int16),
        (table.maps, torch.int16),
        (table.maps, torch.int16),
        (3 * table.maps, torch.uint8),
        (table.channels, torch.int16),
        (table.channels, torch.int16),
        (table.tokens, torch.int32),
    ]
    parts, at = [], 0
    for size, dtype in sizes:
        parts.append(work[at : at + size * dtype.itemsize].view(dtype))
        at += size * dtype.itemsize
    parts[0].zero_()
    parts[1].view(len(table.rows), -1).copy_(_first_cums(static_model(), work.device))
    return parts


def _upload(numbers: np.ndarray, device: torch.device) -> torch.Tensor:
    host = torch.from_numpy(numbers)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host


@cache
def _on(model: ContextModel, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Weights and biases (25, 16), features and buckets (512,), counts (ROWS, 16), costs, as the kernels take them."""
    change = np.concatenate([model.change_weights.T, model.change_biases.T])
    level = np.concatenate([model.level_weights.T, model.level_biases.T])
    if max(abs(change).max(), abs(level).max()) > np.iinfo(np.int16).max:
        raise ValueError("context model: expected weights and biases of 16 bits, found wider ones")
    packed = np.zeros((len(change), BUCKETS.value), np.int32)
    packed[:, : change.shape[1]] = level << 16 | change & 0xFFFF
    maps = np.concatenate([FEATURE, BUCKET]).astype(np.uint8)
    return tuple(torch.from_numpy(one).to(device) for one in (packed, maps, model.counts, costs()))


@cache
def _first_cums(model: ContextModel, device: torch.device) -> torch.Tensor:
    return torch.from_numpy((np.cumsum(model.freq, axis=1) - model.freq).astype(np.int16).ravel()).to(device)
