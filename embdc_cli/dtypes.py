"""Element types: their names, how numpy stores them, and exact conversion to and from float32.

numpy has no bfloat16, so bf16 arrays travel as uint16 bit patterns beside the name "bfloat16".
Every array inside embdc is therefore a pair (array, dtype name); this module is the only place that converts.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.errors import UsageError

FLOATS: Final = ("float16", "bfloat16", "float32")
"""Types the lossy codecs take; float64 input is cast to float32 by the sources."""

STORAGE: Final[dict[str, np.dtype]] = {
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
    # companions of float tensors in files of many tensors; stored losslessly only
    "float64": np.dtype("<f8"),
    "int8": np.dtype("i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "uint32": np.dtype("<u4"),
    "uint64": np.dtype("<u8"),
    "bool": np.dtype("?"),
}

_ALIASES: Final = {
    "f16": "float16", "fp16": "float16", "half": "float16",
    "bf16": "bfloat16",
    "f32": "float32", "fp32": "float32", "float": "float32",
    "f64": "float64", "fp64": "float64", "double": "float64",
}  # fmt: skip


_LARGEST_BFLOAT16: Final = np.float32(2.0**128 - 2.0**120)


def parse(name: str) -> str:
    """The canonical dtype name of `name` or an alias such as `f16`; UsageError for anything else."""
    canonical = _ALIASES.get(name.lower(), name.lower())
    if canonical not in STORAGE:
        raise UsageError(f"dtype: expected one of f16, bf16, f32, found {name!r}")
    return canonical


def storage(name: str) -> np.dtype:
    """The little-endian numpy dtype that holds elements of `name`."""
    return STORAGE[name]


def item_bytes(name: str) -> int:
    """Bytes per element."""
    return STORAGE[name].itemsize


def to_float32(array: np.ndarray, name: str) -> np.ndarray:
    """`array` of dtype `name` as float32, exact for every value of float16, bfloat16 and float32."""
    if name == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def from_float32(x: np.ndarray, name: str) -> np.ndarray:
    """float32 `x` rounded to nearest even into dtype `name`; finite overflow saturates at the largest finite value.

    A reconstruction error must not turn 65 504 into infinity; NaN and infinities stay what they are.
    """
    if name == "float32":
        return np.ascontiguousarray(x, dtype=np.float32)
    if name == "float16":
        return _saturated(x, np.float32(65504.0)).astype(np.float16)
    if name == "bfloat16":
        kept = np.ascontiguousarray(_saturated(x, _LARGEST_BFLOAT16), dtype=np.float32)
        bits = kept.view(np.uint32)
        rounded = bits + (((bits >> 16) & 1) + 0x7FFF) >> 16
        if kept is not x:
            rounded = np.where(np.isnan(kept), (bits >> 16) & 0x8000 | 0x7FC0, rounded)
        return rounded.astype(np.uint16)
    raise UsageError(f"dtype: {name} cannot hold decoded values, expected float16, bfloat16 or float32")


def _saturated(x: np.ndarray, limit: np.float32) -> np.ndarray:
    """`x` with its finite values limited to +-limit: `x` itself where nothing is beyond, and nothing NaN."""
    if -limit <= x.min(initial=0.0) and x.max(initial=0.0) <= limit:  # of a NaN both are NaN, which compares false
        return x
    return np.where(np.isfinite(x), np.clip(x, -limit, limit), x)
