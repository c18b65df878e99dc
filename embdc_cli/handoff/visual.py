"""Embeddings on their way to a language model: rows decoded, in its type, and known to be finite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.decoding import decoded
from embdc_cli.errors import CorruptArchive, TargetMissed
from embdc_cli.handoff.choose import Chosen
from embdc_cli.options import DecodeOptions
from embdc_cli.stream_view import StreamView

_LARGEST: Final = {
    "float16": 65504.0,
    "bfloat16": float(np.float32(2.0**128 - 2.0**120)),
    "float32": float(np.finfo(np.float32).max),
}


@dataclass
class Visual:
    """What one item gives: pictures or one video, one after the other.

    tokens: (sum of counts, D) in the storage of its dtype. counts: tokens of each picture, or of the video.
    deepstack: layers beside it, of the shape of tokens. grid_thw: (n, 3) int64 in patches, of the grid family.
    rows: the rows of the archive in it. lost: those that damage has cost. seconds_per_row: from one to the next, None
    where no times are kept.
    """

    chosen: Chosen
    tokens: np.ndarray
    counts: list[int]
    rows: list[int]
    lost: list[range]
    seconds_per_row: float | None
    deepstack: list[np.ndarray] = field(default_factory=list)
    grid_thw: np.ndarray | None = None


@dataclass(frozen=True)
class Rows:
    """Rows of a stream that could be read, (T, N, D) float32 as decoded or (n, D) flat; which; and those lost."""

    values: np.ndarray
    numbers: list[int]
    lost: list[range]


def read(archive: Archive, view: StreamView, rows: range, options: DecodeOptions) -> Rows:
    """`rows` of `view`, decoded; with `on_damage` skip without those that are damaged. Raises: CorruptArchive."""
    pieces = list(view.pieces(rows))
    kept: list[np.ndarray] = []
    numbers: list[int] = []
    lost: list[range] = []
    for (_, part), found in zip(pieces, decoded(archive, view, pieces, view.spec.dtype, options.jobs), strict=True):
        if not isinstance(found, CorruptArchive):
            kept.append(dtypes.to_float32(found, view.spec.dtype))
            numbers += part
        elif options.on_damage == "skip":
            lost.append(part)
        else:
            raise found
    if not kept:
        raise CorruptArchive(f"stream {view.name!r}: nothing of what was asked for can be read")
    return Rows(np.concatenate(kept), numbers, lost)


def cast(x: np.ndarray, dtype: str, view: StreamView, rows: Sequence[int]) -> np.ndarray:
    """float32 `x`, whose first axis is `rows` of `view`, in `dtype`. Raises: TargetMissed where that is not finite."""
    wrong = ~(np.abs(x) <= _LARGEST[dtype])  # also where it is NaN
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        value, where = float(x[at]), f"row {rows[at[0]] if len(rows) == len(x) else at[0]}"
        hint = "--dtype bf16 holds it" if np.isfinite(value) else "leave these rows out with --frames"
        raise TargetMissed(
            f"--for: stream {view.name!r}, {where}, channel {at[-1]}: expected a finite {dtype}, found {value:g}",
            hint=hint,
        )
    return dtypes.from_float32(x, dtype)


def spacing(chosen: Chosen, rows: Sequence[int]) -> float | None:
    """Mean seconds from one of `rows` to the next, None where no times are kept."""
    timeline = chosen.view.timeline
    if timeline is None or len(timeline) <= rows[-1]:
        return None
    if len(rows) > 1:
        return (timeline.seconds(rows[-1]) - timeline.seconds(rows[0])) / (len(rows) - 1)
    return float((timeline.end(rows[0]) - timeline.start(rows[0])) * timeline.timebase)
