"""Products in all bits of float32, whatever the program around has allowed torch.

TF32 keeps 10 bits of each factor: too few where a coefficient is hundreds of steps, as those of near-lossless archives
are. Settings of torch belong to the process, so what another thread multiplies meanwhile is as exact, and slower.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_shortened: list[bool] = []  # one entry per nested or concurrent use; the first says what to restore


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 stays float32 in what is started within: no TF32, no automatic casts; and nothing for gradients."""
    with _lock:
        _shortened.append(not _shortened and _is_short())
        if _shortened[-1]:
            _shorten(False)
    try:
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            yield
    finally:
        with _lock:
            first = _shortened.pop(0)
            if _shortened:
                _shortened[0] = first
            elif first:
                _shorten(True)


def _is_short() -> bool:
    matmul = torch.backends.cuda.matmul
    return bool(matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32)


def _shorten(shorter: bool) -> None:
    """Touched only where it has to be: torch wants one of its two ways to say it used throughout."""
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):  # from torch 2.9 on
        matmul.fp32_precision = "tf32" if shorter else "ieee"
    else:
        matmul.allow_tf32 = shorter
