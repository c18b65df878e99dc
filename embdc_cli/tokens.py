"""Rows of a stream as chunks and as token vectors: what every part that looks at values agrees on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from embdc_cli import dtypes
from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec, Tensor

CHUNK_VALUES = 1 << 23  # 32 MiB as float32; a codec pass holds about six such arrays
SMALL_CHUNK_VALUES = 1 << 18  # a few milliseconds to decode
CHUNK_ROWS = 64
MAX_CHUNK_ROWS = 1 << 20  # as many as a chunk of any size may have, however well it packs

Cut = tuple[int, int]


def as_tokens(rows: np.ndarray, spec: StreamSpec) -> np.ndarray:
    """(n, D) float32: the vectors along the channel axis of `rows` in storage dtype."""
    x = dtypes.to_float32(rows, spec.dtype)
    if not x.size:
        return np.zeros((0, spec.channels), np.float32)
    if spec.row_shape and not spec.ragged:
        x = np.moveaxis(x, 1 + spec.channel_axis, -1)
    return x.reshape(-1, spec.channels)


def usual_chunk_rows(spec: StreamSpec) -> int:
    """Rows of a chunk where the user asks for none: 64, and more of small rows, whose chunks would be all overhead.

    100,000 vectors of 64 channels take 0.30 bits per value in chunks of 64 rows and 0.015 in chunks of 4096.
    """
    small = SMALL_CHUNK_VALUES // max(1, spec.row_values)
    return CHUNK_ROWS if spec.ragged else max(CHUNK_ROWS, small // CHUNK_ROWS * CHUNK_ROWS)


def chunk_rows(spec: StreamSpec, chunk_frames: int | None) -> int:
    """Rows of every chunk but the last of a stream that is not ragged; 0 where one row has more than CHUNK_VALUES."""
    return min(chunk_frames or usual_chunk_rows(spec), CHUNK_VALUES // max(1, spec.row_values), MAX_CHUNK_ROWS)


def cut_rows(tensor: Tensor, chunk_frames: int | None, scenes: Sequence[int] = ()) -> list[Cut]:
    """Row ranges [start, stop) of the chunks: at most `chunk_frames` rows, MAX_CHUNK_ROWS and CHUNK_VALUES values each.

    scenes: rows at which a chunk begins in any case, where all rows have equally many tokens.

    Raises: UsageError when a single row is larger than a chunk may be.
    """
    spec = tensor.spec
    if chunk_frames is None:
        chunk_frames = usual_chunk_rows(spec)
    if chunk_frames < 1:
        raise UsageError(f"--chunk-frames: expected at least 1, found {chunk_frames}")
    if tensor.token_counts is not None:
        sizes = tensor.token_counts * spec.channels
    else:
        sizes = np.full(spec.known_rows, spec.row_values)
    if len(sizes) and int(sizes.max()) > CHUNK_VALUES:
        raise UsageError(
            f"stream {spec.name!r}: one row has {int(sizes.max())} values, at most {CHUNK_VALUES} can be coded",
            hint="reshape the tensor so that its first axis has more rows",
        )
    if tensor.token_counts is None:
        rows = chunk_rows(spec, chunk_frames)
        bounds = [0, *scenes, spec.known_rows]
        return [(at, min(at + rows, stop)) for start, stop in pairwise(bounds) for at in range(start, stop, rows)]
    cuts, start, total = [], 0, 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == min(chunk_frames, MAX_CHUNK_ROWS) or total + int(size) > CHUNK_VALUES):
            cuts.append((start, row))
            start, total = row, 0
        total += int(size)
    if start < len(sizes):
        cuts.append((start, len(sizes)))
    return cuts
