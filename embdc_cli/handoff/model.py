"""What a language model takes of visual embeddings, read from its config.json; its weights are not needed.

Configs of transformers are read by its own classes, since a saved config leaves out what is default; those of the
original LLaVA code base (`llava_qwen` and others, which transformers does not know) as plain JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from embdc_cli import dtypes
from embdc_cli.embedder.hub_folder import fetched
from embdc_cli.errors import MissingModel

Modality = Literal["image", "video"]

GRID: Final = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
FRAMES: Final = ("llava", "llava_next", "llava_next_video", "llava_onevision")
ORIGINAL_LLAVA: Final = ("llava_qwen", "llava_llama", "llava_mistral", "llava_mixtral")

_CONFIG: Final = "config.json"
_TOWER_SIZES: Final = re.compile(r"patch(\d+)-(\d+)")


class NoLanguageModel(MissingModel):
    """The config is of something else than a known model that takes visual embeddings."""


@dataclass(frozen=True)
class Pooling:
    """How frames of a video lose tokens. mode: bilinear, average or max; where: before or after the projector."""

    mode: str
    stride: int
    before_projector: bool = False

    def side(self, side: int) -> int:
        """Tokens along an edge of `side` afterwards."""
        return -(-side // self.stride) if self.mode == "bilinear" else side // self.stride


@dataclass(frozen=True)
class Tower:
    """The vision tower before a projector. channels: of its tokens, of all layers that the projector takes at once.

    kind: its type in transformers. layer: which of its hidden states is taken, as the config says it, None for several.
    last: the index of the last one.
    """

    channels: int
    kind: str
    layer: int | None
    last: int


@dataclass(frozen=True)
class LanguageModel:
    """shown: its hub name, or the name of its folder. hidden: channels of a token.

    dtype: of its weights, None where the config is silent. max_tokens: it was made for.
    Of the grid family: merge, patches along an edge of a token; deepstack, how many further layers a token carries.
    Of the frame family: side, tokens along an edge of a frame before pooling; pooling of videos; newlines: where the
    learnt token goes by modality: "" nowhere, "one" at the end, "frame" behind each, "grid" behind each row; tower,
    None where its config does not say what the projector takes.
    """

    shown: str
    folder: Path
    kind: str
    hidden: int
    dtype: str | None
    max_tokens: int | None
    merge: int = 1
    deepstack: int = 0
    side: int = 0
    pooling: Pooling | None = None
    image_newlines: str = ""
    video_newlines: str = ""
    tower: Tower | None = None

    @property
    def is_grid(self) -> bool:
        return self.kind in GRID


def read_model(name: str, revision: str | None = None) -> LanguageModel:
    """The model in a folder with config.json, or of that name on the hub. Raises: MissingModel.

    revision: its commit on the hub, where no folder is looked for. With HF_HUB_OFFLINE=1 only the hub's cache is read.
    """
    local = revision is None and Path(name).is_dir()
    path = Path(name) / _CONFIG if local else fetched(name, _CONFIG, "model", revision)
    shown = Path(name).resolve().name if local else name
    where = f"model {shown}: {_CONFIG}"
    try:
        plain = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MissingModel(f"{where} cannot be read, {error}", hint=_HINT) from error
    kind = plain.get("model_type") if isinstance(plain, dict) else None
    if kind in ORIGINAL_LLAVA:
        return _original_llava(shown, path.parent, plain)
    if kind not in GRID + FRAMES:
        known = ", ".join(GRID + FRAMES + ORIGINAL_LLAVA)
        raise NoLanguageModel(f"{where}: model_type, expected one of {known}, found {kind!r}", hint=_HINT)
    config = transformers_config(path.parent, where)
    text, vision = config.get_text_config(), config.vision_config
    facts: dict[str, Any] = {
        "shown": shown,
        "folder": path.parent,
        "kind": kind,
        "hidden": int(text.hidden_size),
        "dtype": _dtype(getattr(config, "dtype", None) or getattr(text, "dtype", None)),
        "max_tokens": getattr(text, "max_position_embeddings", None),
    }
    if kind in GRID:
        levels = getattr(vision, "deepstack_visual_indexes", None) or ()
        return LanguageModel(**facts, merge=int(vision.spatial_merge_size), deepstack=len(levels))
    facts |= {"side": int(vision.image_size) // int(vision.patch_size), "tower": _tower(config)}
    if kind == "llava_onevision":
        pooling = Pooling("bilinear", 2)
        return LanguageModel(**facts, pooling=pooling, image_newlines="one", video_newlines="one")
    if kind == "llava_next_video":
        pooling = Pooling(config.spatial_pool_mode, int(config.spatial_pool_stride), before_projector=True)
        return LanguageModel(**facts, pooling=pooling, image_newlines="one")
    return LanguageModel(**facts, image_newlines="one" if kind == "llava_next" else "")


_HINT: Final = "name a folder with the config.json of the model, or its name on the hub"


def transformers_config(folder: Path, where: str) -> Any:
    """The config.json in `folder`, in the class of transformers. where: for messages. Raises: MissingModel."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a config that is wrong fails in as many ways as there are classes
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise MissingModel(f"{where} cannot be read, {reason}", hint=_HINT) from error


def _tower(config: Any) -> Tower:
    vision, layers = config.vision_config, config.vision_feature_layer
    several = not isinstance(layers, int)
    return Tower(
        channels=int(vision.hidden_size) * (len(layers) if several else 1),
        kind=str(vision.model_type),
        layer=None if several else int(layers),
        last=int(vision.num_hidden_layers),
    )


def _original_llava(shown: str, folder: Path, plain: dict[str, Any]) -> LanguageModel:
    """LLaVA-NeXT, LLaVA-OneVision and LLaVA-Video as their authors publish them."""
    where = f"model {shown}: {_CONFIG}"
    hidden, tower = plain.get("hidden_size"), str(plain.get("mm_vision_tower"))
    sizes = _TOWER_SIZES.search(tower)
    if not isinstance(hidden, int):
        raise MissingModel(f"{where}: hidden_size, expected a number, found {hidden!r}", hint=_HINT)
    if sizes is None:
        raise MissingModel(
            f"{where}: mm_vision_tower, expected a name with patch and size, such as patch14-384, found {tower!r}",
            hint="take the same model in the format of transformers, -hf",
        )
    unpads = "unpad" in str(plain.get("mm_patch_merge_type", "flat"))
    newlines = {"grid": "grid", "frame": "frame", "one_token": "one" if unpads else "", "no_token": ""}
    position = plain.get("mm_newline_position", "one_token")
    if position not in newlines:
        raise MissingModel(f"{where}: mm_newline_position, expected one of {', '.join(newlines)}, found {position!r}")
    spatial = str(plain.get("mm_patch_merge_type", "flat")).startswith("spatial")
    return LanguageModel(
        shown=shown,
        folder=folder,
        kind=str(plain["model_type"]),
        hidden=hidden,
        dtype=_dtype(plain.get("torch_dtype", plain.get("dtype"))),
        max_tokens=plain.get("max_position_embeddings"),
        side=int(sizes[2]) // int(sizes[1]),
        pooling=Pooling(plain.get("mm_spatial_pool_mode", "bilinear"), int(plain.get("mm_spatial_pool_stride") or 1)),
        image_newlines="one" if unpads else "",
        video_newlines=newlines[position] if spatial else "",
    )


def _dtype(found: Any) -> str | None:
    name = str(found).removeprefix("torch.")
    return name if name in dtypes.FLOATS else None
