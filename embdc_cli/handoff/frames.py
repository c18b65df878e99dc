"""The frame family, LLaVA: every frame has the same number of tokens, fewer of them in videos, and learnt newlines.

A picture of LLaVA has side * side tokens: one view of it, without the tiles of higher resolution. Of a video each frame
is pooled, after the projector in LLaVA-OneVision and LLaVA-Video (27 x 27 tokens become 14 x 14 = 196 by bilinear
interpolation, 13 x 13 = 169 by averages), before it in LLaVA-NeXT-Video. Whether an archive holds what the vision tower
or what the projector gives, pooled or not, the rest is done here, except that what LLaVA-NeXT-Video has projected is
pooled already. The newline token is a weight of the language model. It is taken from a stream `image_newline` of the
archive, else from the model's safetensors.
"""

from __future__ import annotations

import numpy as np

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.errors import MissingModel, UsageError
from embdc_cli.handoff.choose import Chosen
from embdc_cli.handoff.model import LanguageModel, Pooling
from embdc_cli.handoff.projector import Projector, check_layer, comes_from_tower, open_projector
from embdc_cli.handoff.visual import Visual, cast, read, spacing
from embdc_cli.handoff.weights import MissingWeight, read_weights
from embdc_cli.handoff.width import check_width, wrong_width
from embdc_cli.options import DecodeOptions


def token_count(chosen: Chosen, model: LanguageModel, options: DecodeOptions) -> int:
    """Tokens that `chosen` puts into a prompt, after checking all that can be checked.

    Raises: UsageError, MissingModel for a projector that cannot be read.
    """
    _projector(chosen, model, options)
    if chosen.view.spec.ragged:
        raise UsageError(f"--for: stream {chosen.view.name!r}, expected equally many tokens in every row")
    side = _side(chosen, model, options)
    rows, newlines = len(chosen.rows), _newlines(model, options)
    behind = {"": 0, "frame": rows, "grid": rows * side, "one": rows if options.modality == "image" else 1}
    return rows * side * side + behind[newlines]


def visual(archive: Archive, chosen: Chosen, model: LanguageModel, options: DecodeOptions, dtype: str) -> Visual:
    """`chosen`, decoded. Raises: CorruptArchive, MissingModel without a newline, TargetMissed for values not finite."""
    side, newlines = _side(chosen, model, options), _newlines(model, options)
    newline = _newline(chosen, model) if newlines else np.zeros(0, np.float32)
    part = read(archive, chosen.view, chosen.rows, options)
    x = part.values.reshape(len(part.numbers), chosen.tokens, -1)
    pooling = model.pooling if chosen.tokens != side * side else None
    if pooling is not None and pooling.before_projector:
        x = _pooled(x, model.side, pooling)
    projector = _projector(chosen, model, options)
    if projector is not None:
        x = projector(x)
    if pooling is not None and not pooling.before_projector:
        x = _pooled(x, model.side, pooling)
    tokens = cast(x, dtype, chosen.view, part.numbers)
    if newlines:
        ends = cast(newline[None], dtype, chosen.newline or chosen.view, [0])[0]
        each = newlines if options.modality == "video" or newlines != "one" else "frame"
        tokens = _with_newlines(tokens, ends, each, side)
    pictures = len(part.numbers) if options.modality == "image" else 1
    tokens = tokens.reshape(-1, model.hidden)
    counts = [len(tokens) // pictures] * pictures
    return Visual(chosen, tokens, counts, part.numbers, part.lost, spacing(chosen, part.numbers))


def _projector(chosen: Chosen, model: LanguageModel, options: DecodeOptions) -> Projector | None:
    """What `chosen` has still to go through, None where it has. Raises: UsageError, MissingModel."""
    if not comes_from_tower(chosen, model):
        check_width(chosen, model)
        return None
    check_layer(chosen, model)
    try:
        return open_projector(model, options.device)
    except MissingWeight as error:
        hint = f"they are as the vision tower of the model gives them; its projector is not here: {error.message}"
        raise wrong_width(chosen, model, hint) from error


def _side(chosen: Chosen, model: LanguageModel, options: DecodeOptions) -> int:
    """Tokens along an edge of a frame as the language model gets it. Raises: UsageError for a wrong number of them."""
    found, whole = chosen.tokens, model.side
    if options.grid is not None:
        chosen.layout(options.grid)
    if options.modality == "image":
        if found == whole * whole:
            return whole
        raise _wrong(chosen, model, f"{whole * whole} tokens a picture")
    if model.pooling is None:
        raise UsageError(f"--modality: model {model.shown}, {model.kind}, takes no video", hint="--modality image")
    pooled = model.pooling.side(whole)
    projected, first = not comes_from_tower(chosen, model), model.pooling.before_projector
    expected = {}
    if first or projected:
        expected[f"{pooled * pooled} tokens a frame"] = pooled * pooled
    if not (first and projected):
        expected[f"{whole * whole} to be pooled"] = whole * whole
    if found not in expected.values():
        raise _wrong(chosen, model, ", or ".join(expected))
    return pooled


def _wrong(chosen: Chosen, model: LanguageModel, expected: str) -> UsageError:
    special = chosen.tokens - model.side**2
    hint = f"{special} more than the grid: leave special tokens out when encoding" if 0 < special <= 8 else None
    return UsageError(
        f"--for: stream {chosen.view.name!r} for model {model.shown}, expected {expected}, found {chosen.tokens}",
        hint=hint,
    )


def _newlines(model: LanguageModel, options: DecodeOptions) -> str:
    return model.image_newlines if options.modality == "image" else model.video_newlines


def _pooled(x: np.ndarray, side: int, pooling: Pooling) -> np.ndarray:
    """(T, side * side, D) float32 to (T, n, D), as the model pools. Raises: MissingModel for a mode unknown here."""
    import torch
    from torch.nn import functional

    maps = torch.from_numpy(x).reshape(len(x), side, side, -1).permute(0, 3, 1, 2).contiguous()
    if pooling.mode == "bilinear":
        small = functional.interpolate(maps, size=[pooling.side(side)] * 2, mode="bilinear")
    elif pooling.mode == "average":
        small = functional.avg_pool2d(maps, pooling.stride)
    elif pooling.mode == "max":
        small = functional.max_pool2d(maps, pooling.stride)
    else:
        raise MissingModel(f"model: pooling, expected bilinear, average or max, found {pooling.mode!r}")
    return small.permute(0, 2, 3, 1).reshape(len(x), -1, x.shape[-1]).numpy()


def _with_newlines(tokens: np.ndarray, newline: np.ndarray, each: str, side: int) -> np.ndarray:
    """(T, N, D) with a newline at the end ("one": (T * N + 1, D)), behind each "frame", or row of the "grid"."""
    frames, _, channels = tokens.shape
    if each == "one":
        return np.concatenate([tokens.reshape(-1, channels), newline[None]])
    lines = tokens if each == "frame" else tokens.reshape(frames * side, side, channels)
    ends = np.broadcast_to(newline, (len(lines), 1, channels))
    return np.concatenate([lines, ends], axis=1).reshape(frames, -1, channels)


def _newline(chosen: Chosen, model: LanguageModel) -> np.ndarray:
    """(D,) float32. Raises: MissingModel where neither archive nor model has it."""
    if chosen.newline is not None:
        view = chosen.newline
        found = dtypes.to_float32(view.numpy(range(view.spec.known_rows)), view.spec.dtype).reshape(-1)
        if len(found) != model.hidden:
            raise UsageError(f"--for: stream {view.name!r}, expected {model.hidden} values, found {len(found)}")
        return found
    weights = read_weights(model.folder, ["image_newline"])
    if weights:
        return np.asarray(weights["image_newline"].float().numpy()).reshape(-1)
    raise MissingModel(
        f"model {model.shown}: expected the weight image_newline, found none",
        hint="name the folder with the model's safetensors, or encode the token as a stream image_newline",
    )
