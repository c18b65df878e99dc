"""The original LLaVA code base: what stands at `<image>` in `inputs_embeds`, pooled and with its newlines.

| model        | modality | tensor         | shape              | type              |
|--------------|----------|----------------|--------------------|-------------------|
| LLaVA family | image    | image_features | (sum of N, hidden) | that of the model |
|              | video    | video_features | (sum of N, hidden) | that of the model |
|              | both     | token_counts   | (n,)               | int64             |

The N tokens of a video are frames * (pooled tokens), with a newline at the end, behind each frame or behind each row of
a frame as `mm_newline_position` says.
Sources: LLaVA-NeXT, llava/model/llava_arch.py (get_2dPool, add_token_per_grid, add_token_per_frame,
prepare_inputs_labels_for_multimodal).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.handoff.consumers.consumer import Array, Arrays, all_tokens
from embdc_cli.handoff.model import FRAMES, ORIGINAL_LLAVA, LanguageModel, Modality
from embdc_cli.handoff.visual import Visual

if TYPE_CHECKING:
    import torch


def check(model: LanguageModel, modality: Modality) -> None:
    del modality
    if model.is_grid:
        expected = ", ".join(ORIGINAL_LLAVA + FRAMES)
        raise UsageError(f"--for llava: model {model.shown}, expected one of {expected}, found {model.kind}")


def arrays(model: LanguageModel, modality: Modality, visuals: Sequence[Visual], dtype: str) -> Arrays:
    del model
    counts = np.array([count for one in visuals for count in one.counts], np.int64)
    return {f"{modality}_features": Array(dtype, all_tokens(visuals)), "token_counts": Array("int64", counts)}


def call(modality: Modality, tensors: dict[str, torch.Tensor], counts: Sequence[int]) -> dict[str, Any]:
    """One tensor (N, hidden) for each picture or video."""
    import torch

    tokens = torch.split(tensors[f"{modality}_features"], list(counts))
    return {f"{modality}_features": list(tokens)}
