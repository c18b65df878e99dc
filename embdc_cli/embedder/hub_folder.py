"""An encoder's folder: local, or fetched from the Hugging Face hub into its cache; safetensors only, never code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from embdc_cli.errors import MissingModel

_HUB_NAME: Final = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"
_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class HubFolder:
    """path: holds config.json, the preprocessor's config and the weights. revision: hub commit, None when local.

    hub_name: the name on the hub, None for a local folder (whose path is nobody's business).
    """

    path: Path
    shown: str
    hub_name: str | None
    revision: str | None
    weights: tuple[Path, ...]

    def json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in the file `name`, None when there is no such file; MissingModel when it is no object."""
        path = self.path / name
        if not path.is_file():
            return None
        try:
            value = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MissingModel(f"encoder {self.shown}: {name} cannot be read, {error}") from error
        if not isinstance(value, dict):
            raise MissingModel(f"encoder {self.shown}: {name}: expected a JSON object, found {type(value).__name__}")
        return value

    def preprocessor(self) -> dict[str, Any]:
        """The image processor's settings, nested in processor_config.json or in a file of their own."""
        nested = (self.json("processor_config.json") or {}).get("image_processor")
        found = nested if isinstance(nested, dict) else self.json("preprocessor_config.json")
        if found is None:
            raise MissingModel(
                f"encoder {self.shown}: expected preprocessor_config.json, found none",
                hint="copy the one of the model it was made from; it says how frames become pixels",
            )
        return found

    def weights_digest(self) -> str:
        """Hex sha256 of the weight files one after the other, in the order of their names (`cat ... | sha256sum`)."""
        digest = hashlib.sha256()
        for path in self.weights:
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        return digest.hexdigest()


def open_folder(encoder: str) -> HubFolder:
    """The folder of `encoder`: a local path, else a name on the hub (from the cache alone with HF_HUB_OFFLINE=1).

    Raises MissingModel with the reason.
    """
    local = Path(encoder)
    if local.is_dir():
        return _folder(local, encoder, None, None)
    if local.exists():
        raise MissingModel(f"encoder {encoder}: expected a folder or a .pt2 file, found another file")
    if not _HUB_NAME.fullmatch(encoder):
        raise MissingModel(f"encoder {encoder}: no such folder", hint=_HINT)
    path = _fetch(encoder)
    return _folder(path, encoder, encoder, path.name)


_HINT: Final = "--encoder takes patch-dct, a .pt2 file, a folder with config.json, or a name on the Hugging Face hub"


def _folder(path: Path, shown: str, hub_name: str | None, revision: str | None) -> HubFolder:
    if not (path / "config.json").is_file():
        raise MissingModel(f"encoder {shown}: expected config.json in the folder, found none", hint=_HINT)
    folder = HubFolder(path, shown, hub_name, revision, ())
    index = folder.json(_INDEX)
    names = sorted(set(index["weight_map"].values())) if index and "weight_map" in index else [_SINGLE]
    weights = tuple(path / Path(str(name)).name for name in names)
    missing = [one.name for one in weights if not one.is_file()]
    if missing:
        pickled = next((one.name for one in sorted(path.glob("*.bin")) + sorted(path.glob("*.pt"))), None)
        found = f"found {pickled}" if pickled else "found none"
        hint = "pickled weights can run code and are never loaded; save the model as safetensors" if pickled else None
        raise MissingModel(f"encoder {shown}: expected {missing[0]}, {found}", hint=hint)
    return HubFolder(path, shown, hub_name, revision, weights)


def _fetch(name: str) -> Path:
    """The snapshot of `name` in the hub's cache, downloaded if need be and allowed."""
    from huggingface_hub import snapshot_download

    with _hub_errors(f"encoder {name}"):
        files = ["config.json", "*processor_config.json", _INDEX]
        path = Path(snapshot_download(name, allow_patterns=files))
        weights = ["model-*.safetensors"] if (path / _INDEX).is_file() else [_SINGLE]
        return Path(snapshot_download(name, allow_patterns=[*files, *weights]))


def fetched(name: str, file: str, what: str, revision: str | None = None) -> Path:
    """One file of the repository `name` on the hub, in its cache. Raises: MissingModel.

    what: a word for messages. revision: a commit, None for the newest.
    """
    if not _HUB_NAME.fullmatch(name):
        raise MissingModel(f"{what} {name}: no such folder", hint=f"name a folder with {file}, or a model on the hub")
    from huggingface_hub import hf_hub_download

    with _hub_errors(f"{what} {name}"):
        return Path(hf_hub_download(name, file, revision=revision))


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """MissingModel with the reason where the hub does not give something; no progress bars meanwhile."""
    from huggingface_hub import constants, utils
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    client_errors = (kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception))
    failures: tuple[type[Exception], ...] = (OSError, ValueError, *client_errors)  # whatever HTTP client it uses
    bars: Any = utils  # lazy exports, unknown to type checkers
    bars.disable_progress_bars()
    try:
        yield
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        offline = constants.HF_HUB_OFFLINE
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        first = "unset HF_HUB_OFFLINE" if offline else "check the name and the network"
        raise MissingModel(
            f"{what}: no such folder, not in the hub's cache, and {why}",
            hint=f"{first}, or fetch it elsewhere and copy the folder here",
        ) from error
    except failures as error:
        raise MissingModel(f"{what}: cannot be fetched from the hub, {_first_line(error)}") from error
    finally:
        bars.enable_progress_bars()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
