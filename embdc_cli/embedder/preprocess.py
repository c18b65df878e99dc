"""preprocessor_config.json in torch: resize, centre crop, rescale, normalise, as transformers' Pillow processors do.

Sizes a processor may ask for, each a rule from frame size to resized size:
  height, width        both edges, whatever the aspect
  shortest_edge        the shorter edge, aspect kept (usually with a centre crop after it)
  min and max pixels   Qwen-VL: edges are multiples of patch_size * merge_size, area within bounds
  max_num_patches      SigLIP 2 NaFlex: edges are multiples of patch_size, as many patches as allowed
All frames of a video come out in the size of its first frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from embdc_cli.embedder.network import planar_on
from embdc_cli.embedder.protocol import Frame
from embdc_cli.embedder.resample import FILTERS, resize
from embdc_cli.errors import MissingModel

Size = tuple[int, int]  # height, width

_CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_HALF: Final = (0.5, 0.5, 0.5)

_COMMON: Final[dict[str, Any]] = {
    "do_resize": True, "resample": 2, "do_center_crop": False, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True,
}  # fmt: skip
_CLIP_LIKE: Final[dict[str, Any]] = {
    "resample": 3, "size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": 224,
    "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD,
}  # fmt: skip
# what a config may leave out, by the name of its processor class
_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "CLIP": _CLIP_LIKE,
    "Bit": _CLIP_LIKE,
    "ViT": {"size": 224, "image_mean": _HALF, "image_std": _HALF},
    "Siglip": {"resample": 3, "size": 224, "image_mean": _HALF, "image_std": _HALF},
    "Siglip2": {"patch_size": 16, "max_num_patches": 256, "image_mean": _HALF, "image_std": _HALF},
    "DINOv3ViT": {"size": 224, "image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD},
    "DeiT": {
        "resample": 3, "size": 256, "do_center_crop": True, "crop_size": 224, "image_mean": _HALF, "image_std": _HALF,
    },
    "Qwen2VL": {
        "resample": 3, "min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280, "patch_size": 14, "merge_size": 2,
        "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD,
    },
}  # fmt: skip
_SHORTEST_EDGE_WHEN_A_NUMBER: Final = ("CLIP", "Bit")
_RESCALED_FIRST: Final = ("DINOv3ViT",)


@dataclass(frozen=True)
class Preprocess:
    """Frames to the pixels a tower takes. kernel: key of FILTERS; crop: None for no centre crop.

    rescaled_first: rescale before the resize, which is then not rounded to uint8 (DINOv3).
    """

    resized: Callable[[int, int], Size]
    rule: dict[str, Any]
    kernel: int
    crop: Size | None
    rescale: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    rescaled_first: bool = False

    @classmethod
    def from_config(cls, config: dict[str, Any], shown: str) -> Preprocess:
        """The preprocessing that `config` (preprocessor_config.json of the encoder `shown`) asks for.

        Raises MissingModel for what is not supported, or not said.
        """
        family = _family(config)
        given = {key: value for key, value in config.items() if value is not None}
        settings = {**_COMMON, **_DEFAULTS.get(family, {}), **given}
        if settings["resample"] not in FILTERS:
            raise MissingModel(f"encoder {shown}: resample filter {settings['resample']} is not supported")
        rule = _size_rule(settings, family, shown)
        crop = _square_or_pair(settings.get("crop_size"), shown) if settings["do_center_crop"] else None
        if settings["do_normalize"] and not ("image_mean" in settings and "image_std" in settings):
            raise MissingModel(f"encoder {shown}: preprocessor_config.json has no image_mean and image_std")
        normalize = settings["do_normalize"]
        return cls(
            resized=_RULES[rule["rule"]](rule),
            rule=rule,
            kernel=settings["resample"],
            crop=crop,
            rescale=float(settings["rescale_factor"]) if settings["do_rescale"] else None,
            mean=_channels(settings["image_mean"]) if normalize else None,
            std=_channels(settings["image_std"]) if normalize else None,
            rescaled_first=family in _RESCALED_FIRST,
        )

    def final_size(self, height: int, width: int) -> Size:
        """Size of the pixels for a frame of `height` x `width`."""
        return self.crop or self.resized(height, width)

    def pixels(self, frame: Frame, size: Size, device: torch.device) -> torch.Tensor:
        """Pixels (3, *size) float32 on `device` of a frame (H, W, 3) uint8."""
        image = planar_on(frame, device)
        if self.rescaled_first and self.rescale is not None:
            image = image.to(torch.float32) * self.rescale
        wanted = self.resized(frame.shape[0], frame.shape[1])
        crop = self.crop is not None and all(have >= want for have, want in zip(wanted, size, strict=True))
        if not crop:
            wanted = size  # a frame of another size than the first, or one too narrow to be cropped
        image = resize(image, *wanted, self.kernel, exact=not self.rescaled_first)
        if crop:
            top, left = (wanted[0] - size[0]) // 2, (wanted[1] - size[1]) // 2
            image = image[:, top : top + size[0], left : left + size[1]]
        if self.rescale is not None and not self.rescaled_first:
            image = image * self.rescale
        image = image.to(torch.float32)
        if self.mean is not None and self.std is not None:
            mean = torch.tensor(self.mean, device=device).reshape(3, 1, 1)
            std = torch.tensor(self.std, device=device).reshape(3, 1, 1)
            image = (image - mean) / std
        return image.contiguous()

    def provenance(self) -> dict[str, Any]:
        """What the archive records of it."""
        return {
            "resize": self.rule,
            "filter": FILTERS[self.kernel][0],
            "antialias": "float" if self.rescaled_first else "pillow",
            "crop": list(self.crop) if self.crop else None,
            "rescale": self.rescale,
            "mean": list(self.mean) if self.mean else None,
            "std": list(self.std) if self.std else None,
        }


def _family(config: dict[str, Any]) -> str:
    """`CLIP` for CLIPImageProcessor, CLIPImageProcessorFast, CLIPFeatureExtractor..."""
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    for suffix in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(suffix)
    return name


def _size_rule(settings: dict[str, Any], family: str, shown: str) -> dict[str, Any]:
    """The rule as plain data: its name and numbers."""
    if not settings["do_resize"]:
        return {"rule": "none"}
    if family == "Siglip2" or "max_num_patches" in settings:
        return {"rule": "patches", "patch": settings["patch_size"], "most": settings["max_num_patches"]}
    size = settings.get("size")
    if family == "Qwen2VL":
        bounds = size if isinstance(size, dict) else {}
        return {
            "rule": "pixels",
            "factor": settings["patch_size"] * settings["merge_size"],
            "least": bounds.get("shortest_edge", settings["min_pixels"]),
            "most": bounds.get("longest_edge", settings["max_pixels"]),
        }
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return {"rule": "shortest_edge", "edge": size["shortest_edge"]}
    if isinstance(size, int) and family in _SHORTEST_EDGE_WHEN_A_NUMBER:
        return {"rule": "shortest_edge", "edge": size}
    height, width = _square_or_pair(size, shown)
    return {"rule": "exact", "height": height, "width": width}


def _square_or_pair(size: object, shown: str) -> Size:
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    raise MissingModel(f"encoder {shown}: expected a size such as 224 or height and width, found {size!r}")


def _channels(values: object) -> tuple[float, ...]:
    return tuple(float(value) for value in values) if isinstance(values, list | tuple) else (float(str(values)),) * 3


def _shortest_edge(rule: dict[str, Any]) -> Callable[[int, int], Size]:
    def resized(height: int, width: int) -> Size:
        edge = int(rule["edge"])
        longer = int(edge * max(height, width) / min(height, width))
        return (longer, edge) if width <= height else (edge, longer)

    return resized


def _within_pixels(rule: dict[str, Any]) -> Callable[[int, int], Size]:
    """Source: smart_resize of Qwen2-VL's image processor."""

    def resized(height: int, width: int) -> Size:
        factor, least, most = rule["factor"], rule["least"], rule["most"]
        rounded = round(height / factor) * factor, round(width / factor) * factor
        if rounded[0] * rounded[1] > most:
            shrink = math.sqrt(height * width / most)
            return (
                max(factor, math.floor(height / shrink / factor) * factor),
                max(factor, math.floor(width / shrink / factor) * factor),
            )
        if rounded[0] * rounded[1] < least:
            grow = math.sqrt(least / (height * width))
            return math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
        return rounded

    return resized


def _within_patches(rule: dict[str, Any]) -> Callable[[int, int], Size]:
    """Source: get_image_size_for_max_num_patches of SigLIP 2's image processor, bisection included."""

    def resized(height: int, width: int) -> Size:
        patch, most = rule["patch"], rule["most"]

        def scaled(scale: float) -> Size:
            edges = (max(patch, math.ceil(edge * scale / patch) * patch) for edge in (height, width))
            return next(edges), next(edges)

        low, high = 1e-6, 100.0
        while high - low >= 1e-5:
            middle = (low + high) / 2
            size = scaled(middle)
            if size[0] // patch * (size[1] // patch) <= most:
                low = middle
            else:
                high = middle
        return scaled(low)

    return resized


_RULES: Final[dict[str, Callable[[dict[str, Any]], Callable[[int, int], Size]]]] = {
    "none": lambda rule: lambda height, width: (height, width),
    "exact": lambda rule: lambda height, width: (rule["height"], rule["width"]),
    "shortest_edge": _shortest_edge,
    "pixels": _within_pixels,
    "patches": _within_patches,
}
