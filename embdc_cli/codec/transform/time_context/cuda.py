"""Codes under time contexts on a CUDA device, in Triton: many chunks in one launch, decoded as the stage decodes them.

A program of four warps for each chunk, since within a chunk every token waits for the one before: its class, its table
rows, its D symbols, its codes and features, with barriers between them. Table rows and codes are found for 512 channels
at once by all warps: 16 features, 16 packed weights and 32 multiplications for a code, about 200 instructions; 17 loads
of which the features are shared with neighbours and so mostly in the L1 cache (three planes of N x D bytes). Symbols
take ceil((D + 1) / lanes) steps, up to 32 at once, of about 100 instructions; what a step waits for is its predecessor's
state: three loads of frequencies, one vote on who needs a word, one shuffle. The next step's table rows, the first
three frequencies and up to 32 words are loaded meanwhile. All warps go through the steps alike, and one writes.
Renewal of the tables is one pass over 1169 x 16 counts by all warps, at most once a row and once in 2^13 symbols; counts
are kept by atomic additions of integers, whose order does not matter. So the longest chunk bounds the time of a launch
that does not fill the device, at one such step for 32 symbols; chunks do not wait for each other.

Bytes may be anything: words, escapes and signs are read only within the chunk's own, symbols are below 16 whatever the
state, table rows and features are clipped, and a token with an impossible code ends its chunk.
Nothing waits for the device. Importing this imports Triton.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import torch

from embdc_cli.codec.transform.time_context.chunk_table import ChunkTable, Column
from embdc_cli.codec.transform.time_context.cuda_contexts import BUCKETS
from embdc_cli.codec.transform.time_context.cuda_decode import decode_chunks
from embdc_cli.codec.transform.time_context.model import BUCKET, FEATURE, ROWS, SYMBOLS, ContextModel, static_model

_WARPS: Final = 4
_MOST_AT_ONCE: Final = 512  # channels: four to a thread


def decode(data: torch.Tensor, table: ChunkTable, work: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (table.offsets[-1],) int32 of all chunks, and for each chunk 1 where its bytes are corrupt, int32.

    data: (bytes,) uint8 on a device, with the chunks where the table says; work: (table.work_bytes,) uint8 or more,
    there too, of any content: 7 bytes for each of N x D, 4 for each of D and of N, 112 kB for the tables of a chunk.
    Corrupt is what the stage refuses; codes of such a chunk are any numbers. Raises ValueError for too little memory.
    """
    if data.numel() < table.data_bytes or work.numel() < table.work_bytes:
        expected, found = (table.data_bytes, table.work_bytes), (data.numel(), work.numel())
        raise ValueError(f"bytes of chunks and of working memory: expected at least {expected}, found {found}")
    device = data.device
    chunks = len(table.rows)
    codes = torch.empty(int(table.offsets[-1]), dtype=torch.int32, device=device)
    faults = torch.empty(chunks, dtype=torch.int32, device=device)
    if not chunks:
        return codes, faults
    hits, cums, change, level, features, rows, symbols, classes = _parts(table, work)
    *constants, first_cums = _on(static_model(), device)
    hits.zero_()
    cums.view(chunks, -1).copy_(first_cums)
    block = min(max(1 << int(table.rows[:, Column.CHANNELS].max() - 1).bit_length(), 32), _MOST_AT_ONCE)
    decode_chunks[(chunks,)](
        data, _upload(table.rows, device), _upload(table.escapes, device), *constants,
        hits, cums, change, level, features, rows, symbols, classes, codes, faults,
        block, num_warps=_WARPS, enable_fp_fusion=False,
    )  # fmt: skip
    return codes, faults


def _parts(table: ChunkTable, work: torch.Tensor) -> list[torch.Tensor]:
    """What the kernel writes to while it decodes, each beginning at a multiple of 16 bytes."""
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
    return parts


def _upload(numbers: np.ndarray, device: torch.device) -> torch.Tensor:
    host = torch.from_numpy(numbers)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host


@cache
def _on(model: ContextModel, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Weights and biases (25, 16), features and buckets (512,), counts (ROWS, 16), tables as the kernel takes them."""
    change = np.concatenate([model.change_weights.T, model.change_biases.T])
    level = np.concatenate([model.level_weights.T, model.level_biases.T])
    if max(abs(change).max(), abs(level).max()) > np.iinfo(np.int16).max:
        raise ValueError("context model: expected weights and biases of 16 bits, found wider ones")
    packed = np.zeros((len(change), BUCKETS.value), np.int32)
    packed[:, : change.shape[1]] = level << 16 | change & 0xFFFF
    maps = np.concatenate([FEATURE, BUCKET]).astype(np.uint8)
    cums = (np.cumsum(model.freq, axis=1) - model.freq).astype(np.int16).ravel()
    return tuple(torch.from_numpy(one).to(device) for one in (packed, maps, model.counts, cums))
