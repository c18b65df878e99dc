"""Runs of chunks that share models: a stream is halved where models for each half cost less than models for both.

Costs are foretold (`codec.transform.fit`), of the whole segment with its models. A run is halved at the scene nearest
to its middle, where scenes begin in it, else in the middle, and its halves are halved in turn. So a still hour is one
segment, whose models cost next to nothing, and a film has one for about every scene that is long enough to pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from embdc_cli.codec.transform.fit import Fit
from embdc_cli.tokens import Cut

if TYPE_CHECKING:
    from embdc_cli.codec.transform.models import TransformModels

MAX_HALVINGS: Final = 4
"""One after the other, so 16 segments; each is fitted again at every step, unless memory holds the fits of all."""
_MAX_PIECES: Final = 64
_PIECE_TOKENS: Final = 64
"""Tokens per channel in a piece: fewer do not pay for bases of their own."""
_SCENE_SHARE: Final = 4  # a scene is a piece of its own from this fraction of the usual tokens on
_WORTHWHILE: Final = 0.98  # costs are foretold to within about 2 %


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
    pieces: Sequence[list[Cut]], scenes: frozenset[int], step: float, fit: Callable[[list[Cut]], Fit]
) -> list[Segment]:
    """The segments. scenes: rows at which scenes begin. step: about the one to come."""

    def cost(some: Sequence[list[Cut]]) -> float:
        return fit([cut for piece in some for cut in piece]).foretell(step).cost

    def parts(some: Sequence[list[Cut]], whole: float, halvings: int) -> list[Sequence[list[Cut]]]:
        if len(some) < 2 or not halvings:
            return [some]
        at = _halfway(some, scenes)
        halves = some[:at], some[at:]
        costs = [cost(half) for half in halves]
        if sum(costs) >= _WORTHWHILE * whole:
            return [some]
        return [part for half, own in zip(halves, costs, strict=True) for part in parts(half, own, halvings - 1)]

    found = parts(pieces, cost(pieces), MAX_HALVINGS) if len(pieces) > 1 else [pieces]
    return [Segment(number, [cut for piece in part for cut in piece]) for number, part in enumerate(found)]


def _halfway(pieces: Sequence[list[Cut]], scenes: frozenset[int]) -> int:
    """How many of the pieces are the first half: up to the scene nearest to the middle, if one begins in between."""
    between = range(1, len(pieces))
    begun = [at for at in between if pieces[at][0][0] in scenes]
    return min(begun or between, key=lambda at: abs(2 * at - len(pieces)))
