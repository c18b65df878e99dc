"""Whether a `.pt2` file can be loaded without unpickling anything: torch.export.load would unpickle what it finds."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import torch

from embdc_cli.errors import MissingModel

_HINT: Final = "save it with torch.export.save, without custom objects"
_COMPILED: Final = "/data/aotinductor/"
_TENSOR_CONSTANT: Final = "tensor_"


def check_exported(path: Path) -> None:
    """MissingModel unless `path` is an exported program of plain tensors and graph, with nothing that can run code."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, str(path))
    except FileNotFoundError:
        raise MissingModel(f"encoder {path}: no such file") from None
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError) as error:
        raise MissingModel(f"encoder {path}: expected an exported program (.pt2), {error}", hint=_HINT) from error


def _check(archive: zipfile.ZipFile, shown: str) -> None:
    names = archive.namelist()
    if not any(name.endswith("/archive_format") for name in names):
        raise MissingModel(f"encoder {shown}: expected an exported program (.pt2), found another zip file", hint=_HINT)
    for name in names:
        if _COMPILED in f"/{name}":
            raise MissingModel(f"encoder {shown}: holds compiled code, {name}, which is not loaded", hint=_HINT)
        if "/data/weights/" in name or "/data/constants/" in name:
            _check_payload(archive, name, shown)
        if "/data/sample_inputs/" in name:
            _check_unpickles_safely(archive.read(name), name, shown)


def _check_payload(archive: zipfile.ZipFile, name: str, shown: str) -> None:
    """Weights and constants: raw tensors listed in a JSON file, none of them pickled."""
    if name.endswith("_config.json"):
        entries = json.loads(archive.read(name)).get("config", {}).values()
        constants = "/data/constants/" in name
        for entry in entries:
            opaque = constants and not str(entry.get("path_name")).startswith(_TENSOR_CONSTANT)
            if entry.get("use_pickle") or opaque:
                raise _pickled(shown, str(entry.get("path_name")))
    elif name.endswith(".pt"):
        raise _pickled(shown, name)


def _check_unpickles_safely(data: bytes, name: str, shown: str) -> None:
    if not data:
        return
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except (UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError) as error:
        raise _pickled(shown, name) from error


def _pickled(shown: str, name: str) -> MissingModel:
    return MissingModel(f"encoder {shown}: holds a pickled object, {name}, which could run code", hint=_HINT)
