"""Tiny vision towers with random weights, saved as their real counterparts are: whole models in folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

TINY = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT = {**TINY, "vocab_size": 100, "max_position_embeddings": 8}
LANGUAGE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3]}
PATCHES = {"image_size": 32, "patch_size": 8}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}

FRAME_SIZE = (45, 60)


@dataclass(frozen=True)
class Encoder:
    """A saved model. vision: the module in memory that was saved, to be called directly."""

    folder: Path
    vision: Any


def _clip() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import CLIPConfig, CLIPModel

    model = CLIPModel(CLIPConfig(vision_config={**TINY, **PATCHES}, text_config=TEXT, projection_dim=16))
    settings = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32}
    return model, model.vision_model, settings


def _siglip() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import SiglipConfig, SiglipModel

    model = SiglipModel(SiglipConfig(vision_config={**TINY, **PATCHES}, text_config=TEXT))
    settings = {"image_processor_type": "SiglipImageProcessor", "size": 32, "resample": 2, **HALF}
    return model, model.vision_model, settings


def _siglip2() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Siglip2Config, Siglip2Model

    vision = {**TINY, "patch_size": 8, "num_patches": 16}
    model = Siglip2Model(Siglip2Config(vision_config=vision, text_config=TEXT))
    settings = {"image_processor_type": "Siglip2ImageProcessorFast", "patch_size": 8, "max_num_patches": 16}
    return model, model.vision_model, settings


def _vit() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(**TINY, **PATCHES))
    return model, model.vit, {"feature_extractor_type": "ViTFeatureExtractor", "size": 32}


def _dinov2() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Dinov2Config, Dinov2Model

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = Dinov2Model(Dinov2Config(**sizes, image_size=40, patch_size=8))
    # not the size it was trained for: position embeddings are interpolated
    settings = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 37}, "crop_size": 32}
    return model, model, settings


def _dinov2_registers() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**sizes, **PATCHES))
    return model, model, {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32}


def _dinov3() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    model = DINOv3ViTModel(DINOv3ViTConfig(**TINY, **PATCHES, num_register_tokens=4))
    settings = {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 32, "width": 32}}
    return model, model, settings


def _internvl() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    vision = {**TINY, "image_size": [32, 32], "patch_size": [8, 8]}
    config = InternVLConfig(vision_config=vision, text_config={"model_type": "qwen2", **LANGUAGE})
    model = InternVLForConditionalGeneration(config)
    size = {"height": 32, "width": 32}
    settings = {"image_processor_type": "GotOcr2ImageProcessorFast", "size": size, "resample": 3, **HALF}
    return model, model.model.vision_tower, settings


def _llava() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    vision = {"model_type": "clip_vision_model", **TINY, **PATCHES}
    config = LlavaConfig(vision_config=vision, text_config={"model_type": "llama", **LANGUAGE})
    model = LlavaForConditionalGeneration(config)
    settings = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32}
    return model, model.model.vision_tower, settings


def _qwen25() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4, "window_size": 16,
        "out_hidden_size": 24, "fullatt_block_indexes": [2],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(vision_config=vision, text_config={**LANGUAGE, "rope_parameters": ROPE})
    model = Qwen2_5_VLForConditionalGeneration(config)
    return model, model.model.visual, QWEN


QWEN = {
    "image_processor_type": "Qwen2VLImageProcessor", "patch_size": 4, "merge_size": 2, "temporal_patch_size": 2,
    "min_pixels": 64, "max_pixels": 2048,
}  # fmt: skip


def _qwen3() -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4, "out_hidden_size": 24,
        "deepstack_visual_indexes": [1], "num_position_embeddings": 16,
    }  # fmt: skip
    text = {**LANGUAGE, "head_dim": 16, "rope_parameters": ROPE}
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(vision_config=vision, text_config=text))
    return model, model.model.visual, QWEN


BUILDERS: dict[str, Callable[[], tuple[Any, Any, dict[str, Any]]]] = {
    "clip": _clip, "siglip": _siglip, "siglip2": _siglip2, "vit": _vit, "dinov2": _dinov2,
    "dinov2_registers": _dinov2_registers, "dinov3": _dinov3, "internvl": _internvl, "llava": _llava,
    "qwen2_5_vl": _qwen25, "qwen3_vl": _qwen3,
}  # fmt: skip


def build(name: str, folder: Path) -> Encoder:
    """The encoder `name`, saved in `folder`."""
    torch.manual_seed(sorted(BUILDERS).index(name))
    model, vision, settings = BUILDERS[name]()
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return Encoder(folder, vision)


def some_frames(count: int, seed: int = 0) -> list[np.ndarray]:
    """`count` smooth frames of FRAME_SIZE."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 9, 10, 3))
    return [frame.repeat(5, 0).repeat(6, 1).astype(np.uint8) for frame in coarse]
