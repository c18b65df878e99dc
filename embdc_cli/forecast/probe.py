"""What a linear head makes of decoded tokens against the original ones: the loss of a task, not of a signal.

logits    l = W x + b, for every token x
top-1     share of tokens for which argmax l(y) = argmax l(x)
KL        mean over tokens of sum_k p_k (log p_k - log q_k), p and q the softmax of l(x) and l(y), in nats
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.errors import SourceError, UsageError

_BLOCK_TOKENS: Final = 4096
_TYPES: Final = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


@dataclass(frozen=True, eq=False)
class Probe:
    """weight: (K, D) float64. bias: (K,) float64."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def load(cls, path: str) -> Probe:
        """The head in a .npy file (its weight) or a .safetensors file (`weight`, perhaps `bias`; any prefix).

        Raises: UsageError for another suffix, SourceError for what is missing, unreadable or no head.
        """
        readers = {".npy": _load_npy, ".safetensors": _load_safetensors}
        suffix = Path(path).suffix
        if suffix not in readers:
            raise UsageError(f"--probe: expected a .npy or .safetensors file, found {path!r}")
        if not Path(path).is_file():
            raise SourceError(f"--probe: {path}: no such file")
        try:
            weight, bias = readers[suffix](Path(path))
        except (OSError, EOFError, ValueError) as error:
            raise SourceError(f"--probe: {path}: cannot be read: {error}") from error
        if weight.ndim != 2 or weight.dtype.kind != "f" or not weight.size:
            raise SourceError(f"--probe: {path}: expected a float weight (K, D), found {weight.dtype} {weight.shape}")
        if bias is None:
            bias = np.zeros(len(weight))
        if bias.shape != (len(weight),):
            raise SourceError(f"--probe: {path}: expected a bias ({len(weight)},), found {bias.shape}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise SourceError(f"--probe: {path}: expected finite values")
        return cls(weight.astype(np.float64), bias.astype(np.float64))

    @property
    def channels(self) -> int:
        """D."""
        return int(self.weight.shape[1])


@dataclass
class ProbeSums:
    """What the head has said of original and decoded tokens so far."""

    probe: Probe
    tokens: int = 0
    agreeing: int = 0
    divergence: float = 0.0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take in original x and decoded y, both (n, D) float32; tokens that are not finite are left out."""
        for start in range(0, len(x), _BLOCK_TOKENS):
            original, decoded = x[start : start + _BLOCK_TOKENS], y[start : start + _BLOCK_TOKENS]
            finite = np.isfinite(original).all(axis=1)
            p, q = self._log_softmax(original[finite]), self._log_softmax(decoded[finite])
            self.tokens += len(p)
            self.agreeing += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
            self.divergence += float((np.exp(p) * (p - q)).sum())

    def _log_softmax(self, tokens: np.ndarray) -> np.ndarray:
        logits: np.ndarray = tokens.astype(np.float64) @ self.probe.weight.T + self.probe.bias
        logits -= logits.max(axis=1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))

    def summary(self) -> dict[str, float | None]:
        """{top1_agreement, kl}; None without tokens."""
        if not self.tokens:
            return {"top1_agreement": None, "kl": None}
        return {"top1_agreement": self.agreeing / self.tokens, "kl": self.divergence / self.tokens}


def _load_npy(path: Path) -> tuple[np.ndarray, None]:
    return np.asarray(np.load(path, allow_pickle=False)), None


def _load_safetensors(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]  # safetensors has no annotations
    except SafetensorError as error:
        raise ValueError(error) from error
    found: dict[str, list[np.ndarray]] = {"weight": [], "bias": []}
    for name, tensor in tensors:
        part = name.rpartition(".")[2]
        if part in found and tensor["dtype"] in _TYPES:
            dtype = _TYPES[tensor["dtype"]]
            array = np.frombuffer(tensor["data"], dtypes.storage(dtype)).reshape(tensor["shape"])
            found[part].append(array if dtype == "float64" else dtypes.to_float32(array, dtype))
    if len(found["weight"]) != 1 or len(found["bias"]) > 1:
        raise ValueError(
            f"expected one weight and at most one bias, found {', '.join(sorted(name for name, _ in tensors))}"
        )
    return found["weight"][0], found["bias"][0] if found["bias"] else None
