"""transformers: what a model's `forward` takes as `mm_encoder_outputs`, as in version 5.23.

| model              | modality | tensor             | shape                               | type              |
|--------------------|----------|--------------------|-------------------------------------|-------------------|
| Qwen-VL            | both     | {modality}_embeds  | (sum of N, hidden)                  | that of the model |
|                    |          | {modality}_grid_thw | (n, 3), patches                    | int64             |
|                    |          | deepstack0, ... (Qwen3-VL) | (sum of N, hidden)          | that of the model |
|                    |          | second_per_grid_ts (2.5-VL video, where times are kept) | (n,) | float32     |
| LLaVA family       | image    | image_embeds       | (n, N, hidden)                      | that of the model |
| OneVision, NeXT-Video | video | video_embeds       | (n, N, hidden)                      | that of the model |

Where a version does not have that argument, and for own loops, the tokens are what `inputs_embeds` holds at the
placeholders.
Sources: transformers, the `forward` and `get_image_features` of Qwen2_5_VLModel, Qwen3VLModel, LlavaOnevisionModel,
LlavaNextVideoModel and LlavaModel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.handoff.consumers.consumer import Array, Arrays, all_tokens, grids, stacked_tokens
from embdc_cli.handoff.model import ORIGINAL_LLAVA, LanguageModel, Modality
from embdc_cli.handoff.visual import Visual

if TYPE_CHECKING:
    import torch

_LAYER: Final = "deepstack"


def check(model: LanguageModel, modality: Modality) -> None:
    del modality
    if model.kind in ORIGINAL_LLAVA:
        raise UsageError(
            f"--for hf: model {model.shown}, expected the format of transformers, found {model.kind}",
            hint="take the same model as -hf, or --for llava",
        )


def arrays(model: LanguageModel, modality: Modality, visuals: Sequence[Visual], dtype: str) -> Arrays:
    name = f"{modality}_embeds"
    if not model.is_grid:
        return {name: Array(dtype, stacked_tokens(visuals, modality))}
    layers = [np.concatenate(found) for found in zip(*(one.deepstack for one in visuals), strict=True)]
    deepstack = {f"{_LAYER}{number}": Array(dtype, layer) for number, layer in enumerate(layers)}
    return {name: Array(dtype, all_tokens(visuals)), **deepstack, **grids(model, modality, visuals)}


def call(modality: Modality, tensors: dict[str, torch.Tensor], counts: Sequence[int]) -> dict[str, Any]:
    """Keyword arguments of a model, beside `input_ids` with one placeholder per token."""
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    rest = dict(tensors)
    tokens: Any = rest.pop(f"{modality}_embeds")
    if tokens.ndim == 2:
        tokens = torch.split(tokens, list(counts))
    elif modality == "image":
        tokens = tokens.unbind()
    names = sorted((name for name in rest if name.startswith(_LAYER)), key=lambda name: int(name[len(_LAYER) :]))
    layers = [torch.split(rest.pop(name), list(counts)) for name in names]
    output = BaseModelOutputWithPooling(pooler_output=tokens)
    if layers:
        output["deepstack_features"] = layers
    return {"mm_encoder_outputs": {modality: output}, **rest}
