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

from embdc_cli.values import Tensor


def digest_of(settings: dict[str, Any], files: Sequence[str | None], tensors: Sequence[Tensor]) -> str:
    """SHA-256 in hexadecimal digits. settings: JSON values. files: those that options name; one that is none counts
    with its name.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in files:
        digest.update(json.dumps(_content(name)).encode())
    for tensor in tensors:
        spec = tensor.spec
        about = [spec.name, spec.dtype, str(spec.axes), list(spec.row_shape), spec.known_rows]
        digest.update(json.dumps(about).encode())
        for row in sorted({0, max(0, spec.known_rows - 1)}):
            digest.update(np.ascontiguousarray(tensor.read(row, row + 1)).tobytes())
    return digest.hexdigest()


def _content(name: str | None) -> str | None:
    if name is None or not Path(name).is_file():
        return name
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
