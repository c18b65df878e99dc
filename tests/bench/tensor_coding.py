"""Named tensors there and back: through an archive of `embdc`, or rounded to nearest and packed."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers.rounding import rounding
from safetensors.numpy import load_file, save_file

import embdc_cli as embdc

RTN = "rtn"
_PACK_FROM = 2  # axes: tensors of fewer stay as they are, in embdc and beside it
_CONVOLUTION = 4


@dataclass(frozen=True)
class Coded:
    """bits: per value, of all bytes. tensors: decoded, float32. nmse: over all tensors, each centred by its mean."""

    bits: float
    tensors: dict[str, np.ndarray]
    encode_seconds: float
    decode_seconds: float
    nmse: float


def through_archive(tensors: dict[str, np.ndarray], codec: str, **options: Any) -> Coded:
    """The file that `embdc.encode` writes of a safetensors file; options: target and what else `encode` takes."""
    with tempfile.TemporaryDirectory() as folder:
        source, archive, out = (str(Path(folder) / name) for name in ("x.safetensors", "x.embdc", "y.safetensors"))
        save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, source)
        started = time.perf_counter()
        result = embdc.encode(source, archive, codec=codec, **options)
        encoded = time.perf_counter()
        embdc.decode(archive, out)
        decoded = time.perf_counter()
        back = {name: y.astype(np.float32) for name, y in load_file(out).items()}
    return Coded(result["bits_per_value"], back, encoded - started, decoded - encoded, nmse(tensors, back))


def rounded_to_nearest(tensors: dict[str, np.ndarray], depth: int) -> Coded:
    """`depth` bits over the range of a row, through zstd -19; tensors of one axis as they are, counted.

    A row is the last axis; of convolutions, with four axes, all but the first.
    """
    started = time.perf_counter()
    bits, back = 0.0, {}
    for name, x in tensors.items():
        if x.ndim < _PACK_FROM:
            own, back[name] = 8.0 * x.itemsize, x.astype(np.float32)
        else:
            rows = x.reshape(len(x), -1) if x.ndim == _CONVOLUTION else x
            found = rounding("token").coded(rows, depth)
            own, back[name] = found.bits, np.ascontiguousarray(found.decoded.reshape(x.shape), np.float32)
        bits += own * x.size
    values = sum(x.size for x in tensors.values())
    return Coded(bits / values, back, time.perf_counter() - started, 0.0, nmse(tensors, back))


def nmse(tensors: dict[str, np.ndarray], back: dict[str, np.ndarray]) -> float:
    """Squared error over squared deviation from the mean of each tensor, over all of them."""
    error = energy = 0.0
    for name, x in tensors.items():
        wide = x.astype(np.float64)
        error += float(((wide - back[name]) ** 2).sum())
        energy += float(((wide - wide.mean()) ** 2).sum())
    return error / energy


def verdict(*, kept: bool | None) -> str:
    """Of a bar: held, missed, or none set."""
    return "" if kept is None else ("held" if kept else "MISSED")
