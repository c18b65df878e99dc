"""The projector of a LLaVA, which makes tokens of its language model from those of its vision tower.

Archives of CLIP or SigLIP hold what the tower gives. Where the model's folder has its weights, the projector is that of
transformers, with the model's own config and weights, in the type of these.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, Final

import numpy as np

from embdc_cli.device import check_device, computing_device
from embdc_cli.errors import MissingModel, UsageError
from embdc_cli.handoff.choose import Chosen
from embdc_cli.handoff.model import LanguageModel, Tower, transformers_config
from embdc_cli.handoff.weights import MissingWeight, read_weights

_NAME: Final = "multi_modal_projector"
_FRAMES: Final = 16
"""Projected at once: what bounds memory on a device."""


def comes_from_tower(chosen: Chosen, model: LanguageModel) -> bool:
    """Whether the stream has the channels of the model's vision tower.

    Where these are as many as its language model takes, it has, if it is the output of an encoder of transformers.
    """
    tower, channels = model.tower, chosen.view.spec.channels
    if tower is None or channels != tower.channels or chosen.deepstack:
        return False
    return channels != model.hidden or _encoder(chosen).get("kind") == "huggingface"


def check_layer(chosen: Chosen, model: LanguageModel) -> None:
    """Nothing, when the layer that the archive records is that which the projector takes, or none is recorded.

    Raises: UsageError.
    """
    encoder = _encoder(chosen)
    if model.tower is None or model.tower.layer is None or encoder.get("kind") != "huggingface":
        return
    found = encoder.get("layer")
    if not _is_layer(found, model.tower, model.tower.layer, same=chosen.encoder == model.shown):
        raise UsageError(
            f"--for: stream {chosen.view.name!r} for model {model.shown}, expected layer {model.tower.layer} of its "
            f"vision tower, found {'the last, as the tower gives it' if found is None else f'layer {found}'}",
            hint=f"embdc encode --layer {model.tower.layer}",
        )


def _is_layer(found: Any, tower: Tower, wanted: int, *, same: bool) -> bool:
    """Whether `found`, as --layer of `embdc encode`, may be `wanted` of the tower.

    A tower that is not the `same` may have more layers than the model has kept of it: what is counted from its end
    then lies further behind. The last as the tower gives it has gone through a norm, except that of CLIP.
    """
    at = wanted if wanted >= 0 else tower.last + 1 + wanted
    if found is None:
        return at == tower.last and tower.kind == "clip_vision_model"
    if not isinstance(found, int):
        return False
    if found >= 0:
        return found == at
    counted = tower.last + 1 + found
    return counted == at or (counted < at and not same)


def _encoder(chosen: Chosen) -> dict[str, Any]:
    return chosen.item.header.encoder or {}


@lru_cache(maxsize=1)
def open_projector(model: LanguageModel, device: str) -> Projector:
    """The projector of `model`; the last one is kept, so that many items read it once. Raises: as Projector."""
    return Projector(model, device)


class Projector:
    """The projector of one model, on the device of a word of --device: the CPU for `auto`."""

    def __init__(self, model: LanguageModel, device: str) -> None:
        """Raises: MissingWeight, MissingModel for wrong ones, UsageError, ResourceError where the device is missing."""
        import torch

        check_device(device)
        config = transformers_config(model.folder, f"model {model.shown}")
        name = f"{type(config).__name__.removesuffix('Config')}MultiModalProjector"
        kind = getattr(import_module(type(config).__module__.replace(".configuration_", ".modeling_")), name)
        with torch.device("meta"):
            self._module = kind(config)
        shapes = {f"{_NAME}.{key}": weight.shape for key, weight in self._module.state_dict().items()}
        weights = read_weights(model.folder, shapes)
        missing = [key for key in shapes if key not in weights]
        if missing:
            raise MissingWeight(f"expected the weight {missing[0]} in the safetensors of {model.shown}, found none")
        wrong = next((key for key, shape in shapes.items() if weights[key].shape != shape), None)
        if wrong is not None:
            expected, found = list(shapes[wrong]), list(weights[wrong].shape)
            raise MissingModel(f"model {model.shown}: weight {wrong}, expected {expected}, found {found}")
        state = {key.removeprefix(f"{_NAME}."): weight for key, weight in weights.items()}
        self._module.load_state_dict(state, assign=True)
        self._module = self._module.to(computing_device(device)).eval().requires_grad_(False)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(T, N, channels of the tower) float32 to (T, N, hidden) float32."""
        import torch

        weight = next(self._module.parameters())
        with torch.inference_mode():
            parts = (torch.from_numpy(x[first : first + _FRAMES]) for first in range(0, len(x), _FRAMES))
            done = [self._module(part.to(weight.device, weight.dtype)).float().cpu() for part in parts]
        return np.asarray(torch.cat(done).numpy())
