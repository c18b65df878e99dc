"""What a serving stack is here, and the tensors that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.handoff.model import LanguageModel, Modality
from embdc_cli.handoff.visual import Visual

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Array:
    """A tensor of the output: values in the storage of dtype."""

    dtype: str
    values: np.ndarray


Arrays = dict[str, Array]


@dataclass(frozen=True)
class Consumer:
    """check: refuses (UsageError) a model or modality that the stack takes no embeddings for.

    arrays: the tensors of visuals, whose tokens are of the given dtype, by the stack's own names. call: these, as
    torch tensors, nested as the stack takes them as arguments; counts are the tokens of each picture or video.
    """

    check: Callable[[LanguageModel, Modality], None]
    arrays: Callable[[LanguageModel, Modality, Sequence[Visual], str], Arrays]
    call: Callable[[Modality, dict[str, torch.Tensor], Sequence[int]], dict[str, Any]]


def all_tokens(visuals: Sequence[Visual]) -> np.ndarray:
    """(sum of all counts, D)."""
    return np.concatenate([one.tokens for one in visuals])


def joined_tokens(visuals: Sequence[Visual]) -> np.ndarray:
    """(sum of all counts, D * (1 + layers)): each token with its DeepStack layers behind it."""
    return np.concatenate([np.concatenate([one.tokens, *one.deepstack], axis=1) for one in visuals])


def stacked_tokens(visuals: Sequence[Visual], what: str) -> np.ndarray:
    """(n, N, D) of n pictures or videos with N tokens each. Raises: UsageError where they differ."""
    counts = sorted({count for one in visuals for count in one.counts})
    if len(counts) > 1:
        raise UsageError(
            f"--for: expected {what}s with equally many tokens, found {counts[0]} and {counts[-1]}",
            hint="hand them over one after the other with --item",
        )
    tokens = all_tokens(visuals)
    return tokens.reshape(-1, counts[0], tokens.shape[-1])


def grids(model: LanguageModel, modality: Modality, visuals: Sequence[Visual]) -> Arrays:
    """{modality}_grid_thw (n, 3) int64, and second_per_grid_ts (n,) float32 where model and archive have such times."""
    found = {f"{modality}_grid_thw": Array("int64", np.concatenate([np.asarray(one.grid_thw) for one in visuals]))}
    seconds = [one.seconds_per_row for one in visuals if one.seconds_per_row is not None]
    if modality == "video" and model.kind == "qwen2_5_vl" and len(seconds) == len(visuals):
        found["second_per_grid_ts"] = Array("float32", np.array(seconds, np.float32))
    return found
