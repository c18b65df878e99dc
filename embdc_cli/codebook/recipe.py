"""Everything about a training that decides its bytes, as a digest, which binds a checkpoint to it.

Files are named by what is in them. Of the inputs it has shapes, first and last rows: as much as tells two corpora
apart without reading them, which is what a training that goes on wants to be spared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embdc_cli.codebook.engine import HERE, Engine
from embdc_cli.values import Tensor


def digest_of(
    settings: dict[str, Any], files: Sequence[str | None], tensors: Sequence[Tensor], engine: Engine = HERE
) -> str:
    """SHA-256 in hexadecimal digits. settings: JSON values. files: those that options name; one that is none counts
    with its name.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in files:
        digest.update(json.dumps(_content(name)).encode())
    edges = engine.map(_edges, [(tensor,) for tensor in tensors])
    for tensor, rows in zip(tensors, edges, strict=True):
        spec = tensor.spec
        about = [spec.name, spec.dtype, str(spec.axes), list(spec.row_shape), spec.known_rows]
        digest.update(json.dumps(about).encode())
        digest.update(rows)
    return digest.hexdigest()


def _edges(tensor: Tensor) -> bytes:
    """First and last row."""
    rows = sorted({0, max(0, tensor.spec.known_rows - 1)})
    return b"".join(np.ascontiguousarray(tensor.read(row, row + 1)).tobytes() for row in rows)


def _content(name: str | None) -> str | None:
    if name is None or not Path(name).is_file():
        return name
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
