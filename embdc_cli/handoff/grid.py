"""The grid family, Qwen-VL: tokens of pictures and videos of any size, with (t, h, w) of each in patches.

A token stands for merge x merge patches, so h = merge * rows and w = merge * columns of the token grid; t counts rows
of the archive, each of which is one step of the temporal patch. Tokens go row after row, frame after frame.
Qwen3-VL adds DeepStack layers to a token: as streams of their own, or behind it in a stream of hidden * (1 + layers)
channels.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.archive import Archive
from embdc_cli.errors import UsageError
from embdc_cli.handoff.choose import Chosen
from embdc_cli.handoff.model import LanguageModel
from embdc_cli.handoff.visual import Visual, cast, read, spacing
from embdc_cli.handoff.width import check_width, is_joined
from embdc_cli.options import DecodeOptions


def token_count(chosen: Chosen, model: LanguageModel, options: DecodeOptions) -> int:
    """Tokens that `chosen` puts into a prompt, after checking all that can be checked. Raises: UsageError."""
    check_width(chosen, model)
    if options.on_damage == "skip" and (chosen.deepstack or _is_flat(chosen)):
        raise UsageError(
            "--on-damage: skip is not with DeepStack streams or a stream of grids: rows would not belong together"
        )
    if not _is_flat(chosen):
        chosen.layout(options.grid)
        return len(chosen.rows) * chosen.tokens
    return int(_recorded(chosen, model, options).prod(axis=1).sum()) // model.merge**2


def visual(archive: Archive, chosen: Chosen, model: LanguageModel, options: DecodeOptions, dtype: str) -> Visual:
    """`chosen`, decoded. Raises: CorruptArchive, TargetMissed for values that are not finite."""
    parts = [read(archive, view, chosen.rows, options) for view in (chosen.view, *chosen.deepstack)]
    rows = parts[0].numbers
    views = (chosen.view, *chosen.deepstack)
    casts = [cast(part.values, dtype, view, rows) for part, view in zip(parts, views, strict=True)]
    tokens, *deepstack = (x.reshape(-1, x.shape[-1]) for x in casts)
    if is_joined(chosen, model):
        tokens, *deepstack = (np.ascontiguousarray(x) for x in np.split(tokens, 1 + model.deepstack, axis=1))
    if _is_flat(chosen):
        grids, seconds = _recorded(chosen, model, options), None
    else:
        down, across = (model.merge * edge for edge in chosen.layout(options.grid))
        steps = [1] * len(rows) if options.modality == "image" else [len(rows)]
        grids, seconds = np.array([[t, down, across] for t in steps], np.int64), spacing(chosen, rows)
    counts = [int(count) for count in grids.prod(axis=1) // model.merge**2]
    return Visual(chosen, tokens, counts, rows, parts[0].lost, seconds, deepstack, grids)


def _is_flat(chosen: Chosen) -> bool:
    """Whether rows are tokens, or have different numbers of them, so that only a stream of grids says what they are."""
    return len(chosen.view.spec.row_shape) == 1


def _recorded(chosen: Chosen, model: LanguageModel, options: DecodeOptions) -> np.ndarray:
    """(n, 3) int64: the grids of a dump that keeps them beside its tokens. Raises: UsageError where they do not fit."""
    name, spec = f"{options.modality}_grid_thw", chosen.view.spec
    if chosen.grid_thw is None:
        raise UsageError(
            f"--for: stream {chosen.view.name!r} of {spec.axes}, expected [T,N,D] or [T,H,W,D], or a stream {name} "
            f"of the grids beside it, found neither",
            hint="--modality says whether these are pictures or videos",
        )
    if options.frames is not None or options.time is not None:
        raise UsageError("--frames: rows are tokens of whole pictures here, of which --for takes all")
    counts = chosen.view.token_counts
    tokens = spec.known_rows if counts is None else int(counts.sum())
    beside = chosen.grid_thw
    grids = beside.numpy(range(beside.spec.known_rows))
    if grids.ndim != 2 or grids.shape[1] != 3 or grids.dtype.kind not in "iu":
        raise UsageError(f"--for: stream {beside.name!r}, expected integers [n,3], found {list(grids.shape)}")
    grids = grids.astype(np.int64)
    if not len(grids) or grids.min() < 1 or (grids[:, 1:] % model.merge).any():
        raise UsageError(f"--for: stream {beside.name!r}, expected edges in multiples of {model.merge} patches")
    expected = int(grids.prod(axis=1).sum()) // model.merge**2
    if expected != tokens:
        raise UsageError(
            f"--for: stream {chosen.view.name!r}, expected {expected} tokens by {beside.name!r}, found {tokens}"
        )
    return grids
