"""Single tensors of a model's safetensors, beside its config.json; no other bytes of them are read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from embdc_cli.errors import MissingModel

if TYPE_CHECKING:
    import torch


class MissingWeight(MissingModel):
    """A tensor that is needed is not in the safetensors, or these are not here."""


_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"


def read_weights(folder: Path, endings: Iterable[str]) -> dict[str, torch.Tensor]:
    """The tensors whose names have one of `endings`, by these; those that are not here are left out.

    Raises: MissingModel for files that are no safetensors.
    """
    from safetensors import SafetensorError, safe_open

    wanted = set(endings)
    found: dict[str, torch.Tensor] = {}
    for path in _files(folder, wanted):
        try:
            with safe_open(path, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118  # no mapping
                    found |= {one: weights.get_tensor(key) for one in wanted if _ends(key, one)}
        except (SafetensorError, OSError) as error:
            raise MissingModel(f"model {folder.name}: {path.name} cannot be read, {error}") from error
    return found


def _files(folder: Path, wanted: Iterable[str]) -> list[Path]:
    """The files that may hold tensors of `wanted` endings."""
    index = folder / _INDEX
    names = {_SINGLE}
    if index.is_file():
        try:
            places = json.loads(index.read_text("utf-8"))["weight_map"].items()
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise MissingModel(f"model {folder.name}: {_INDEX} cannot be read, {error!r}") from error
        names = {Path(str(file)).name for key, file in places if any(_ends(key, one) for one in wanted)}
    return [folder / name for name in sorted(names) if (folder / name).is_file()]


def _ends(key: str, ending: str) -> bool:
    """Whether `ending` is whole parts of the dotted name `key`."""
    return key == ending or key.endswith(f".{ending}")
