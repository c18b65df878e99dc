"""What error the transform minimises: plain, per channel, per token, or the metric of a consumer's weights.

    none      sum (x - y)^2
    channel   sum ((x - y) / sigma_c)^2         every channel counts alike
    token     sum ((x - y) / std(x_token))^2    what LayerNorm lets through
    FILE      sum |W (x - y)|^2                 W (K, D) a projector's or head's weight, or (D,) its diagonal

A weighting moves bits between channels and tokens; it never changes what a target (--target-nmse, ...) means.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.errors import EmbdcError, SourceError, UsageError

NAMES: Final = ("none", "channel", "token")

RIDGE: Final = 1e-3
"""Added to W^T W, relative to its diagonal: what W ignores is coded at 1/32 of the precision instead of dropped."""


@dataclass(frozen=True, eq=False)
class Weighting:
    """kind: none, channel, token or matrix. weights: (K, D) or (D,) float64 for matrix, else None."""

    kind: str = "none"
    weights: np.ndarray | None = None

    @classmethod
    def parse(cls, text: str) -> Weighting:
        """The weighting that `--weighting TEXT` asks for; anything but a name is a .npy or .safetensors file.

        Raises: SourceError for a file that is missing, unreadable or not a finite matrix; UsageError for its suffix.
        """
        if text in NAMES:
            return cls(text)
        weights = _load(Path(text)).astype(np.float64)
        if weights.ndim not in (1, 2) or not weights.size:
            raise SourceError(f"weighting {text}: expected a vector or a matrix, found shape {weights.shape}")
        if not np.isfinite(weights).all() or not weights.any():
            raise SourceError(f"weighting {text}: expected finite values that are not all zero")
        return cls("matrix", weights / np.abs(weights).max())  # only ratios matter, and squares must not overflow

    def metric(self, channels: int, name: str) -> np.ndarray | None:
        """(D, D) float64 W^T W of a matrix, (D,) its diagonal of a vector, None for named weightings.

        Raises: UsageError when the weights are for another number of channels than stream `name` has.
        """
        if self.weights is None:
            return None
        if self.weights.shape[-1] != channels:
            raise UsageError(
                f"--weighting: stream {name!r} has {channels} channels, found weights for {self.weights.shape[-1]}",
                hint="the last axis of the weights is the channel axis",
            )
        if self.weights.ndim == 1:
            return np.asarray(self.weights**2)
        return np.asarray(self.weights.T @ self.weights)


def scaled_metric(metric: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(D, D) float64: `metric` (D, D) for channels divided by `scale` (D,), with a ridge so that it has full rank."""
    scaled = metric * np.outer(scale, scale)
    ridged: np.ndarray = scaled + RIDGE * float(np.diagonal(scaled).mean()) * np.eye(len(scaled))
    return ridged


def _load(path: Path) -> np.ndarray:
    """The one array in a file."""
    readers = {".npy": _load_npy, ".safetensors": _load_safetensors}
    if path.suffix not in readers:
        raise UsageError(
            f"--weighting: expected {', '.join(NAMES)} or a .npy or .safetensors file, found {str(path)!r}"
        )
    if not path.is_file():
        raise SourceError(f"weighting {path}: no such file")
    try:
        return readers[path.suffix](path)
    except EmbdcError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise SourceError(f"weighting {path}: cannot be read: {error}") from error


def _load_npy(path: Path) -> np.ndarray:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise SourceError(f"weighting {path}: expected an array of numbers")
    return array


def _load_safetensors(path: Path) -> np.ndarray:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]  # safetensors has no annotations
    except SafetensorError as error:
        raise SourceError(f"weighting {path}: cannot be read: {error}") from error
    if len(tensors) != 1:
        names = ", ".join(sorted(name for name, _ in tensors))
        raise SourceError(f"weighting {path}: expected one tensor, found {len(tensors)}: {names}")
    names_of = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
    tensor = tensors[0][1]
    if tensor["dtype"] not in names_of:
        raise SourceError(f"weighting {path}: expected a float tensor, found {tensor['dtype']}")
    dtype = names_of[tensor["dtype"]]
    array = np.frombuffer(tensor["data"], dtypes.storage(dtype)).reshape(tensor["shape"])
    return array if dtype == "float64" else dtypes.to_float32(array, dtype)
