"""SGLang: an entry of `image_data` or `video_data` in the format `precomputed_embedding`.

| model            | modality | tensor         | shape                            | type              |
|------------------|----------|----------------|----------------------------------|-------------------|
| Qwen2-VL, 2.5-VL | image    | feature        | (sum of N, hidden)               | that of the model |
|                  |          | image_grid_thw | (n, 3), patches                  | int64             |
|                  | video    | feature        | (sum of N, hidden)               | that of the model |
|                  |          | video_grid_thw | (n, 3), patches                  | int64             |
|                  |          | second_per_grid_ts (2.5-VL, where times are kept) | (n,) | float32    |
| Qwen3-VL         | both     | feature        | (sum of N, hidden * (1 + layers)) | that of the model |

Refused: the LLaVA family. The prompt is given as `input_ids` with one placeholder per token.
Sources: SGLang documentation, "Query VLM with Offline Engine", section "Precomputed Embeddings";
python/sglang/srt/multimodal/processors/base_processor.py; issue 6483, which models take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embdc_cli.errors import UsageError
from embdc_cli.handoff.consumers.consumer import Array, Arrays, grids, joined_tokens
from embdc_cli.handoff.model import GRID, LanguageModel, Modality
from embdc_cli.handoff.visual import Visual

if TYPE_CHECKING:
    import torch


def check(model: LanguageModel, modality: Modality) -> None:
    del modality
    if not model.is_grid:
        raise UsageError(f"--for sglang: model {model.shown}, expected one of {', '.join(GRID)}, found {model.kind}")


def arrays(model: LanguageModel, modality: Modality, visuals: Sequence[Visual], dtype: str) -> Arrays:
    return {"feature": Array(dtype, joined_tokens(visuals)), **grids(model, modality, visuals)}


def call(modality: Modality, tensors: dict[str, torch.Tensor], counts: Sequence[int]) -> dict[str, Any]:
    """Keyword arguments of `Engine.generate`."""
    del counts
    return {f"{modality}_data": [{"format": "precomputed_embedding", "modality": modality.upper(), **tensors}]}
