"""One look at a stream before anything is coded: where it is cut, its statistics, its digest, its first bad value."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embdc_cli import dtypes
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.metrics import ChannelMoments
from embdc_cli.values import StreamSpec, Tensor

CHUNK_VALUES = 1 << 23  # 32 MiB as float32; a codec pass holds about six such arrays

Cut = tuple[int, int]


def channels_of(spec: StreamSpec) -> int:
    """Length of the last axis; 1 for a scalar."""
    return spec.row_shape[-1] if spec.row_shape else 1


def as_tokens(rows: np.ndarray, spec: StreamSpec) -> np.ndarray:
    """(n, D) float32 view or copy of rows in storage dtype."""
    return dtypes.to_float32(rows, spec.dtype).reshape(-1, channels_of(spec))


def cut_rows(tensor: Tensor, chunk_frames: int) -> list[Cut]:
    """Row ranges [start, stop) of the chunks: at most `chunk_frames` rows and CHUNK_VALUES values each.

    Raises: UsageError when a single row is larger than a chunk may be.
    """
    spec = tensor.spec
    if chunk_frames < 1:
        raise UsageError(f"--chunk-frames: expected at least 1, found {chunk_frames}")
    if tensor.token_counts is not None:
        sizes = tensor.token_counts * channels_of(spec)
    else:
        sizes = np.full(spec.known_rows, spec.row_values)
    if len(sizes) and int(sizes.max()) > CHUNK_VALUES:
        raise UsageError(
            f"stream {spec.name!r}: one row has {int(sizes.max())} values, at most {CHUNK_VALUES} can be coded",
            hint="reshape the tensor so that its first axis has more rows",
        )
    if tensor.token_counts is None:
        rows = min(chunk_frames, CHUNK_VALUES // max(1, spec.row_values))
        return [(start, min(start + rows, spec.known_rows)) for start in range(0, spec.known_rows, rows)]
    cuts, start, total = [], 0, 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == chunk_frames or total + int(size) > CHUNK_VALUES):
            cuts.append((start, row))
            start, total = row, 0
        total += int(size)
    if start < len(sizes):
        cuts.append((start, len(sizes)))
    return cuts


@dataclass
class Survey:
    """What one reading of a stream tells: channel moments (None for companions) and a digest of all its values."""

    moments: ChannelMoments | None
    digest: str


def survey(tensor: Tensor, cuts: Sequence[Cut], *, nonfinite: str, lossy: bool) -> Survey:
    """Read the stream once. nonfinite: "refuse" or "keep" (then such values count as the channel's mean so far).

    Raises: SourceError naming the first NaN or infinity when they are refused.
    """
    spec = tensor.spec
    digest = hashlib.sha256()
    moments = ChannelMoments(channels_of(spec)) if lossy else None
    for start, stop in cuts:
        rows = tensor.read(start, stop)
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        if moments is None or not rows.size:
            continue
        tokens = as_tokens(rows, spec)
        bad = ~np.isfinite(tokens)
        if bad.any():
            if nonfinite != "keep":
                raise _nonfinite_error(spec, tokens, bad, start)
            tokens = np.where(bad, moments.mean.astype(np.float32), tokens)
        moments.add(tokens)
    return Survey(moments, digest.hexdigest())


def _nonfinite_error(spec: StreamSpec, tokens: np.ndarray, bad: np.ndarray, row0: int) -> SourceError:
    flat = int(np.argmax(bad))
    value = tokens.reshape(-1)[flat]
    if spec.ragged:
        position = f"value {flat} of the rows from {row0}"
    else:
        rows = tokens.size // max(1, spec.row_values)
        row, *inside = (int(i) for i in np.unravel_index(flat, (rows, *spec.row_shape)))
        position = str([row0 + row, *inside] if spec.timed else inside)
    name = "NaN" if np.isnan(value) else "infinity"
    return SourceError(
        f"stream {spec.name!r}: {name} at {position}, expected finite values",
        hint="--nonfinite keep stores such positions exactly; --lossless keeps every bit",
    )
