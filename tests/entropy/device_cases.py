"""Where kernels written in Triton are tested: interpreted on the CPU, or compiled where there is a CUDA device."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch

if sys.platform != "linux":
    pytest.skip("Triton is for Linux", allow_module_level=True)

from triton.runtime import interpreter

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # set in conftest.py
ON_CPU = pytest.param("cpu", marks=pytest.mark.skipif(not INTERPRETED, reason="kernels are compiled for the GPU here"))
DEVICES = [ON_CPU, pytest.param("cuda", marks=pytest.mark.gpu)]


def on(device: str, values: np.ndarray | Sequence) -> torch.Tensor:
    return torch.from_numpy(np.array(values)).to(device)


def joined(parts: Sequence[bytes], gap: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """One array (bytes,) uint8 of all parts, and where each begins and ends in it, (p, 2) int64.

    Between them, before and behind are `gap` bytes that no part has.
    """
    strange = b"\xa5" * gap
    sizes = np.array([len(part) + gap for part in parts], np.int64)
    ends = np.cumsum(sizes)
    ranges = np.stack([ends - sizes + gap, ends], axis=1).reshape(-1, 2)
    return np.frombuffer(strange + strange.join(parts) + strange, np.uint8).copy(), ranges


@dataclass(frozen=True)
class Accesses:
    """Addresses of all that interpreted kernels read and write, and where the tensors are that they were given."""

    reads: list[np.ndarray] = field(default_factory=list)
    writes: list[np.ndarray] = field(default_factory=list)
    extents: set[tuple[int, int]] = field(default_factory=set)

    def checked(self, addresses: np.ndarray) -> np.ndarray:
        """The addresses, of which each must be in one of the tensors."""
        known = np.zeros(addresses.size, bool)
        for start, size in self.extents:
            known |= (addresses >= start) & (addresses < start + size)
        assert known.all(), f"{np.count_nonzero(~known)} accesses to no tensor"
        return addresses


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Accesses]:
    """What is read and written inside; an access to no tensor that the kernel was given fails before it happens."""
    real, launch, seen = interpreter._interpreter, interpreter.GridExecutor.__call__, Accesses()

    def load(at: np.ndarray, mask: np.ndarray, *rest: object) -> object:
        seen.reads.append(seen.checked(at[mask]))
        return real.load(at, mask, *rest)

    def store(at: np.ndarray, values: np.ndarray, mask: np.ndarray) -> object:
        seen.writes.append(seen.checked(at[mask]))
        return real.store(at, values, mask)

    def atomic(operation: object, at: np.ndarray, values: np.ndarray, mask: np.ndarray, *rest: object) -> object:
        touched = seen.checked(at[mask.astype(bool)])  # atomic operations have masks of integers
        seen.reads.append(touched)
        seen.writes.append(touched)
        return real.atomic_rmw(operation, at, values, mask, *rest)

    def launched(grid: object, *arguments: object, **options: object) -> object:
        seen.extents.clear()
        tensors = (one for one in arguments if isinstance(one, torch.Tensor))
        seen.extents.update((one.data_ptr(), one.numel() * one.element_size()) for one in tensors)
        return launch(grid, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(interpreter, "_interpreter", SimpleNamespace(load=load, store=store, atomic_rmw=atomic))
        patch.setattr(interpreter.GridExecutor, "__call__", launched)
        yield seen


def elements_of(tensor: torch.Tensor, accesses: list[np.ndarray]) -> set[int]:
    """Which elements of a tensor were accessed; one that was not begun at its first byte is a failure."""
    size = tensor.element_size()
    found = np.concatenate(accesses).astype(np.int64) - tensor.data_ptr()
    inside = found[(found >= 0) & (found < tensor.numel() * size)]
    assert (inside % size == 0).all()
    return set((inside // size).tolist())


def elements_in(ranges: np.ndarray) -> set[int]:
    """Those of ranges (p, 2)."""
    return {at for start, stop in ranges.tolist() for at in range(start, stop)}
