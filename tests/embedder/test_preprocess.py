"""preprocessor_config.json followed to the bit, against transformers' own Pillow processors."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from embdc_cli.embedder.preprocess import Preprocess
from embdc_cli.errors import MissingModel
from tests.embedder.encoder_folders import some_frames

CPU = torch.device("cpu")
CROP = {"height": 31, "width": 28}

# processor class, its module, settings; the classes fill in the same defaults as Preprocess
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "clip": ("CLIPImageProcessorPil", "clip", {"size": {"shortest_edge": 32}, "crop_size": CROP}),
    "clip_old": ("CLIPImageProcessorPil", "clip", {"size": 30, "crop_size": 28}),
    "clip_defaults": ("CLIPImageProcessorPil", "clip", {}),
    "siglip": ("SiglipImageProcessorPil", "siglip", {"size": {"height": 48, "width": 40}}),
    "siglip_defaults": ("SiglipImageProcessorPil", "siglip", {}),
    "vit": ("ViTImageProcessorPil", "vit", {"size": 32, "resample": 3}),
    "vit_defaults": ("ViTImageProcessorPil", "vit", {}),
    "vit_lanczos": ("ViTImageProcessorPil", "vit", {"resample": 1, "do_normalize": False}),
    "vit_plain": ("ViTImageProcessorPil", "vit", {"do_rescale": False, "do_normalize": False, "size": 20}),
    "dinov2": ("BitImageProcessorPil", "bit", {"size": {"shortest_edge": 37}, "crop_size": 32}),
    "deit": ("DeiTImageProcessorPil", "deit", {}),
}


def reference(name: str, frame: np.ndarray) -> np.ndarray:
    kind, module, settings = CASES[name]
    processor = getattr(importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}"), kind)
    pixels = processor(**settings)(frame, return_tensors="np")["pixel_values"]
    return np.asarray(pixels[0])


def ours(kind: str, settings: dict[str, Any], frame: np.ndarray) -> torch.Tensor:
    preprocess = Preprocess.from_config({"image_processor_type": kind, **settings}, "test")
    return preprocess.pixels(frame, preprocess.final_size(*frame.shape[:2]), CPU)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("tall", [False, True])
def test_pixels_equal_those_of_transformers(name: str, tall: bool) -> None:
    frame = some_frames(1)[0]
    if tall:  # taller, but not so much that newer Pillows filter columns first
        frame = np.ascontiguousarray(np.concatenate([frame, frame])[:64])
    expected = reference(name, frame)
    pixels = ours(CASES[name][0], CASES[name][2], frame).numpy()
    assert pixels.dtype == np.float32
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() == 0


@pytest.mark.parametrize("suffix", ["", "Fast", "Pil"])
def test_the_name_of_the_processor_tells_what_is_left_out(suffix: str) -> None:
    frame = some_frames(1)[0]
    assert torch.equal(ours("CLIPImageProcessor" + suffix, {}, frame), ours("CLIPFeatureExtractor", {}, frame))
    assert ours("CLIPImageProcessor" + suffix, {}, frame).shape == (3, 224, 224)


def test_dinov3_rescales_first_and_does_not_round_to_levels() -> None:
    frame = some_frames(1)[0]
    pixels = ours("DINOv3ViTImageProcessorFast", {"size": {"height": 32, "width": 48}}, frame)
    scaled = torch.from_numpy(frame).permute(2, 0, 1)[None] * (1 / 255)
    resized = torch.nn.functional.interpolate(scaled, (32, 48), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.allclose(pixels, (resized[0] - mean) / std, atol=2e-6)


@pytest.mark.parametrize("size", [(45, 60), (200, 30), (16, 16), (480, 640), (33, 500)])
@pytest.mark.parametrize("name", ["qwen", "naflex"])
def test_sizes_that_depend_on_the_frame(name: str, size: tuple[int, int]) -> None:
    if name == "qwen":
        module = importlib.import_module("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
        expected = module.smart_resize(*size, factor=8, min_pixels=640, max_pixels=20480)
        settings = {"patch_size": 4, "merge_size": 2, "min_pixels": 640, "max_pixels": 20480}
        kind = "Qwen2VLImageProcessor"
    else:
        module = importlib.import_module("transformers.models.siglip2.image_processing_pil_siglip2")
        expected = module.get_image_size_for_max_num_patches(*size, 16, 256)
        settings, kind = {}, "Siglip2ImageProcessor"
    preprocess = Preprocess.from_config({"image_processor_type": kind, **settings}, "test")
    assert preprocess.final_size(*size) == tuple(expected)


def test_qwen_sizes_may_be_given_as_edges() -> None:
    settings = {"size": {"shortest_edge": 640, "longest_edge": 20480}, "patch_size": 4, "merge_size": 2}
    preprocess = Preprocess.from_config({"image_processor_type": "Qwen2VLImageProcessorFast", **settings}, "test")
    assert preprocess.rule == {"rule": "pixels", "factor": 8, "least": 640, "most": 20480}


@pytest.mark.parametrize("kind", ["Siglip2ImageProcessor", "CLIPImageProcessor"])
def test_a_frame_of_another_size_comes_out_like_the_first(kind: str) -> None:
    preprocess = Preprocess.from_config({"image_processor_type": kind}, "test")
    size = preprocess.final_size(45, 60)
    other = np.full((70, 30, 3), 200, np.uint8)
    pixels = preprocess.pixels(other, size, CPU)
    assert pixels.shape == (3, *size)
    assert torch.allclose(pixels[0], pixels[0, 0, 0])  # a flat frame stays flat: nothing is padded


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_processor_type": "OddImageProcessor", "size": 32}, "has no image_mean"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 5}, "resample filter 5"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 5}}, "expected a size"),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, "expected a size"),
    ],
)
def test_what_cannot_be_followed_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MissingModel, match=words):
        Preprocess.from_config(settings, "test")


def test_what_the_archive_records() -> None:
    recorded = Preprocess.from_config({"image_processor_type": "CLIPImageProcessor"}, "test").provenance()
    assert recorded["resize"] == {"rule": "shortest_edge", "edge": 224}
    assert recorded["crop"] == [224, 224]
    assert recorded["filter"] == "bicubic"
    assert recorded["mean"] == [0.48145466, 0.4578275, 0.40821073]


@pytest.mark.parametrize("name", CASES)
def test_frames_on_the_device_give_the_same_pixels(name: str) -> None:
    kind, _, settings = CASES[name]
    preprocess = Preprocess.from_config({"image_processor_type": kind.removesuffix("Pil"), **settings}, "test")
    frame = some_frames(1)[0]
    size = preprocess.final_size(*frame.shape[:2])
    assert torch.equal(preprocess.pixels(torch.from_numpy(frame), size, CPU), preprocess.pixels(frame, size, CPU))
