"""The vision part of a transformers checkpoint, alone: of a whole vision-language model only its tower is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import torch
from safetensors import SafetensorError

from embdc_cli.embedder.hub_folder import HubFolder
from embdc_cli.errors import MissingModel

# where vision-language checkpoints keep the tower, for classes that do not know their own prefix
_PREFIXES: Final = (None, {r"^(model\.)?(vision_tower|vision_model|vision_encoder|visual)\.": ""})
_OPTIONAL: Final = "pooler."
"""Weights that may be missing: only the stream `pooled` needs them."""


@dataclass(frozen=True)
class LoadedModel:
    """A tower in eval mode, its own (vision) config, and whether its pooled output is trained."""

    model: Any
    config: Any
    has_pooler: bool


def load_tower(folder: HubFolder, device: torch.device, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """The tower in `folder` in `dtype` on `device`; safetensors only, and no code from the folder is run.

    Raises MissingModel when transformers has no such tower, or weights are missing.
    """
    with _quiet():
        from transformers import AutoConfig, AutoModel

        try:
            whole = AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise _unusable(folder, error) from error
        config = getattr(whole, "vision_config", None) or whole
        kind = _class_of(AutoModel, config)
        if kind is None:
            raise MissingModel(
                f"encoder {folder.shown}: transformers has no vision tower for model type {config.model_type!r}",
                hint="expected for example CLIP, SigLIP, DINOv2, DINOv3, ViT, InternVL or Qwen2.5-VL",
            )
        missing: list[str] = []
        for mapping in _PREFIXES:
            try:
                model, report = kind.from_pretrained(
                    folder.path, config=config, dtype=dtype, key_mapping=mapping, use_safetensors=True,
                    local_files_only=True, trust_remote_code=False, output_loading_info=True,
                )  # fmt: skip
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise _unusable(folder, error) from error
            unsure = [*report["missing_keys"], *(str(key) for key in report.get("mismatched_keys", ()))]
            missing = sorted(key for key in unsure if not key.startswith(_OPTIONAL))
            if not missing:
                has_pooler = len(unsure) == 0
                return LoadedModel(model.to(device).eval().requires_grad_(False), config, has_pooler)
    lacking = f"{len(missing)} weights of its vision tower are not in the checkpoint, first {missing[0]}"
    raise MissingModel(f"encoder {folder.shown}: {lacking}")


def _class_of(auto: Any, config: Any) -> Any:
    """The model class for a vision config, None when there is none that takes pictures."""
    try:
        kind = auto._model_mapping[type(config)]
    except KeyError:
        kind = _class_beside(config)
    kind = kind[0] if isinstance(kind, list | tuple) else kind
    if kind is None:
        return None
    takes_pictures = kind.main_input_name == "pixel_values" or hasattr(config, "spatial_merge_size")
    return kind if takes_pictures else None


def _class_beside(config: Any) -> Any:
    """For towers that no auto class knows (Qwen2-VL's): the class in the model's own module that has this config."""
    module = import_module(type(config).__module__.replace(".configuration_", ".modeling_"))
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
    return next((kind for kind in kinds if getattr(kind, "config_class", None) is type(config)), None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from writing progress bars and reports to stderr."""
    from transformers import utils

    logging: Any = utils.logging  # untyped
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _unusable(folder: HubFolder, error: Exception) -> MissingModel:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return MissingModel(f"encoder {folder.shown}: cannot be loaded, {reason}")
