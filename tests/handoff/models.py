"""Tiny language models with vision towers and random weights, and prompts with a placeholder for every token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

IMAGE, VIDEO = 90, 91
TINY = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
LANGUAGE = {
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 512,
}  # fmt: skip
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 1]}
QWEN = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": 92, "vision_end_token_id": 93}
PATCHES = {"image_size": 40, "patch_size": 8}
LLAVA = {"image_token_index": IMAGE, "vision_feature_layer": -2}


def _qwen2() -> Any:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 24, "num_heads": 2, "patch_size": 4}
    text = {**LANGUAGE, "rope_parameters": {**ROPE, "mrope_section": [2, 2, 2]}}
    return Qwen2VLForConditionalGeneration(Qwen2VLConfig(vision_config=vision, text_config=text, **QWEN))


def _qwen25() -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4, "window_size": 16,
        "out_hidden_size": 24, "fullatt_block_indexes": [2], "tokens_per_second": 4,
    }  # fmt: skip
    text = {**LANGUAGE, "rope_parameters": {**ROPE, "mrope_section": [2, 2, 2]}}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(vision_config=vision, text_config=text, **QWEN))


def _qwen3() -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4, "out_hidden_size": 24,
        "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16,
    }  # fmt: skip
    text = {**LANGUAGE, "head_dim": 12, "rope_parameters": {**ROPE, "mrope_section": [2, 2, 2]}}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(vision_config=vision, text_config=text, **QWEN))


def _llava() -> Any:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    vision = {"model_type": "clip_vision_model", **TINY, **PATCHES}
    text = {"model_type": "llama", **LANGUAGE}
    return LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, **LLAVA))


def _onevision() -> Any:
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    vision = {"model_type": "siglip_vision_model", **TINY, **PATCHES}
    text = {"model_type": "qwen2", **LANGUAGE}
    config = LlavaOnevisionConfig(vision_config=vision, text_config=text, video_token_index=VIDEO, **LLAVA)
    return LlavaOnevisionForConditionalGeneration(config)


def _next_video() -> Any:
    from transformers import LlavaNextVideoConfig, LlavaNextVideoForConditionalGeneration

    vision = {"model_type": "clip_vision_model", **TINY, **PATCHES}
    text = {"model_type": "llama", **LANGUAGE}
    config = LlavaNextVideoConfig(vision_config=vision, text_config=text, video_token_index=VIDEO, **LLAVA)
    return LlavaNextVideoForConditionalGeneration(config)


BUILDERS: dict[str, Callable[[], Any]] = {
    "qwen2_vl": _qwen2, "qwen2_5_vl": _qwen25, "qwen3_vl": _qwen3, "llava": _llava, "llava_onevision": _onevision,
    "llava_next_video": _next_video,
}  # fmt: skip


def build(name: str, folder: Path) -> Any:
    """The model `name` in float32, saved in `folder`."""
    torch.manual_seed(sorted(BUILDERS).index(name))
    model = BUILDERS[name]().eval()
    model.save_pretrained(folder)
    return model


def prompt(token: int, counts: list[int]) -> dict[str, torch.Tensor]:
    """A prompt with words around `count` placeholders for each of `counts`, and what kind every token is."""
    ids = [5, 6]
    for count in counts:
        ids += [92, *[token] * count, 93, 7]
    kinds = [{IMAGE: 1, VIDEO: 2}.get(one, 0) for one in ids]
    return {"input_ids": torch.tensor([ids]), "mm_token_type_ids": torch.tensor([kinds])}
