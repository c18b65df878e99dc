"""Runs of chunks that share models: a new segment begins where new models cost less than what the present ones waste.

The stream is looked at in pieces, one after the other. A piece is coded with the models of the segment before it (one
chunk of it, really coded); only when that costs more per value than the segment's own first piece did, models
included, is the piece fitted anew, and only when its own models then cost less does it begin a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.fit import Fit
from embdc_cli.tokens import Cut

if TYPE_CHECKING:
    from embdc_cli.codec.stage import ChunkCodec
    from embdc_cli.codec.transform.models import TransformModels

MAX_SEGMENTS: Final = 16
"""Each is fitted again at every step that is tried, unless memory holds the fits of all."""
_MAX_PIECES: Final = 64
_PIECE_TOKENS: Final = 64
"""Tokens per channel in a piece: fewer do not pay for bases of their own."""
_SCENE_SHARE: Final = 4  # a scene is a piece of its own from this fraction of the usual tokens on
_WORTHWHILE: Final = 0.98  # costs of new models are foretold to within about 2 %


@dataclass
class Segment:
    """models: None while nothing is decided, or for lossless chunks."""

    number: int
    cuts: list[Cut]
    models: bytes | None = None
    fitted_index: int | None = None
    fitted: TransformModels | None = None


def pieces_of(cuts: Sequence[Cut], tokens: Sequence[int], channels: int, scenes: frozenset[int]) -> list[list[Cut]]:
    """The chunks in runs of enough tokens for models of their own; a run never goes on across a scene's start.

    tokens: in each chunk. scenes: rows at which scenes begin.
    """
    enough = max(_PIECE_TOKENS * channels, sum(tokens) // _MAX_PIECES)
    pieces: list[list[Cut]] = []
    held = enough
    for cut, count in zip(cuts, tokens, strict=True):
        if held >= enough or (cut[0] in scenes and held >= enough // _SCENE_SHARE):
            pieces.append([])
            held = 0
        pieces[-1].append(cut)
        held += count
    if len(pieces) > 1 and held < (enough // _SCENE_SHARE if pieces[-1][0][0] in scenes else enough):
        last = pieces.pop()
        pieces[-1] += last
    return pieces


def divide(
    pieces: Sequence[list[Cut]],
    step: float,
    fit: Callable[[list[Cut]], Fit],
    codec: Callable[[bytes], ChunkCodec],
    coded: Callable[[ChunkCodec, Cut], tuple[float, int, int]],
) -> list[Segment]:
    """The segments. coded: (squared error, bytes, values) of one chunk under a codec. step: about the one to come."""
    segments: list[Segment] = []
    worth = 0.0
    present: ChunkCodec | None = None
    for piece in pieces:
        if present is not None and len(segments) < MAX_SEGMENTS:
            middle = piece[len(piece) // 2]
            error, size, values = coded(present, middle)
            reused = (error / step**2 + LAMBDA * 8 * size) / max(1, values)
        if present is None or (reused > worth and len(segments) < MAX_SEGMENTS):
            fitted = fit(piece)
            foretold = fitted.foretell(step)
            own = foretold.cost / max(1, foretold.values)
            if present is None or own < _WORTHWHILE * reused:
                segments.append(Segment(len(segments), []))
                present, worth = codec(fitted.models(step).to_bytes()), own
        segments[-1].cuts.extend(piece)
    return segments


def plain_error(errors: np.ndarray, variances: np.ndarray | None) -> float:
    """Squared error of channels (D,) in the domain that is coded: divided by variances (D,) where they weigh alike."""
    if variances is None:
        return float(errors.sum())
    return float(np.divide(errors, variances, out=np.zeros_like(errors), where=variances > 0).sum())
