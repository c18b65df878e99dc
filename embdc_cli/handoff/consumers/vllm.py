"""vLLM, offline and online, started with `enable_mm_embeds`: a value of `multi_modal_data`.

| model            | modality | tensor         | shape                            | type               |
|------------------|----------|----------------|----------------------------------|--------------------|
| Qwen2-VL, 2.5-VL | image    | image_embeds   | (sum of N, hidden)               | that of the model  |
|                  |          | image_grid_thw | (n, 3), patches                  | int64              |
|                  | video    | video_embeds   | (sum of N, hidden)               | that of the model  |
|                  |          | video_grid_thw | (n, 3), patches                  | int64              |
|                  |          | second_per_grid_ts (2.5-VL, where times are kept) | (n,) | float32     |
| Qwen3-VL         | image    | image_embeds   | (sum of N, hidden * (1 + layers)) | that of the model |
|                  |          | image_grid_thw | (n, 3), patches                  | int64              |
| LLaVA family     | image    | image_embeds   | (n, N, hidden)                   | that of the model  |

Refused: video of the LLaVA family, whose video input takes pixels only; video of Qwen3-VL, whose prompt needs the
times of frames, which embeddings do not bring along there.
Sources: vLLM documentation, "Multimodal Inputs", section "Embedding Inputs"; vllm/model_executor/models/qwen2_vl.py
(Qwen2VLImageEmbeddingInputs, Qwen2VLVideoEmbeddingInputs), qwen3_vl.py and llava_onevision.py; pull request 10221.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embdc_cli.errors import UsageError
from embdc_cli.handoff.consumers.consumer import Array, Arrays, grids, joined_tokens, stacked_tokens
from embdc_cli.handoff.model import ORIGINAL_LLAVA, LanguageModel, Modality
from embdc_cli.handoff.visual import Visual

if TYPE_CHECKING:
    import torch


def check(model: LanguageModel, modality: Modality) -> None:
    if model.kind in ORIGINAL_LLAVA:
        raise UsageError(
            f"--for vllm: model {model.shown}, expected the format of transformers, found {model.kind}",
            hint="take the same model as -hf, or --for llava",
        )
    if modality == "video" and (not model.is_grid or model.deepstack):
        raise UsageError(
            f"--for vllm: {model.kind} takes embeddings of images there, found --modality video",
            hint="--modality image makes each row a picture",
        )


def arrays(model: LanguageModel, modality: Modality, visuals: Sequence[Visual], dtype: str) -> Arrays:
    if not model.is_grid:
        return {f"{modality}_embeds": Array(dtype, stacked_tokens(visuals, modality))}
    return {f"{modality}_embeds": Array(dtype, joined_tokens(visuals)), **grids(model, modality, visuals)}


def call(modality: Modality, tensors: dict[str, torch.Tensor], counts: Sequence[int]) -> dict[str, Any]:
    """What goes under `multi_modal_data`."""
    del counts
    return {modality: tensors if len(tensors) > 1 else tensors[f"{modality}_embeds"]}
