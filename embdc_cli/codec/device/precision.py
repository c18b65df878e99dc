"""Products in all bits of float32, whatever the program around has allowed torch.

TF32 keeps 10 bits of each factor: too few where a coefficient is hundreds of steps, as those of near-lossless archives
are.

Settings of torch belong to the process. Where TF32 is on, other threads see it switched off meanwhile: their products
are as exact, and slower; what they read is the exact setting, by the way of saying it that the program has used, and
what they change may be lost at the end. Where `torch.set_float32_matmul_precision` has allowed it, that is "highest",
also for products on the CPU. Where it is off, nothing is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

_lock = threading.Lock()
_restore: list[Callable[[], None] | None] = []  # one entry per nested or concurrent use; the first says how


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 stays float32 in what is started within: no TF32, no automatic casts; and nothing for gradients."""
    with _lock:
        _restore.append(None if _restore else _switched_off())
    try:
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            yield
    finally:
        with _lock:
            first = _restore.pop(0)
            if _restore:
                _restore[0] = first
            elif first is not None:
                first()


def _switched_off() -> Callable[[], None] | None:
    """Switch TF32 off where it is on. Returns what switches it on again as it was.

    torch has an older way to say it and, from 2.9 on, a newer one, and reading the one raises after the other was
    used: so the way and the level are those of the program.
    """
    matmul = torch.backends.cuda.matmul
    newer = hasattr(matmul, "fp32_precision")
    if newer and matmul.fp32_precision != "tf32":
        return None
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        precision = "highest"  # nothing was said the older way
    if precision == "highest":
        return _switched_off_newer() if newer else None
    if newer and _of_cpu() == "none":  # by allow_tf32, which leaves the CPU alone
        matmul.allow_tf32 = False
        return partial(setattr, matmul, "allow_tf32", True)
    torch.set_float32_matmul_precision("highest")
    return partial(torch.set_float32_matmul_precision, precision)


def _of_cpu() -> str:
    """How products on the CPU are said to be."""
    found: str = getattr(torch.backends.mkldnn, "matmul").fp32_precision  # noqa: B009  # torch declares no type for it
    return found


def _switched_off_newer() -> Callable[[], None]:
    """The same by the newer way: products have a setting of their own, or else that of all CUDA, or of all torch."""
    matmul = torch.backends.cuda.matmul
    matmul.fp32_precision = "none"
    level = "none" if matmul.fp32_precision == "tf32" else "tf32"
    matmul.fp32_precision = "ieee"
    return partial(setattr, matmul, "fp32_precision", level)
