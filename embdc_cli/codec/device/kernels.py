"""Chooses single kernels for what torch does in several: where Triton runs, it does the same to the bit."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from embdc_cli.entropy.cuda import why_not


@cache
def kernels_on(device: torch.device) -> ModuleType | None:
    """The module `cuda`, None where its kernels do not run on `device`."""
    if why_not(str(device)) is not None:
        return None
    from embdc_cli.codec.device import cuda

    return cuda
