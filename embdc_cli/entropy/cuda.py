"""Whether the kernels of the entropy coder that are written in Triton can run.

They are `cuda.py` beside `cpu.py`, and importing one imports Triton, which is no dependency of embdc: builds of torch
for CUDA bring it along on Linux. So ask here first.
"""

from __future__ import annotations

import importlib.util
from typing import Final

OLDEST_CAPABILITY: Final = (8, 0)  # that Triton compiles for


def why_not(device: str) -> str | None:
    """What keeps Triton kernels from running on a `device` such as cuda or cuda:1; None where nothing does."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    import torch

    wanted = torch.device(device)
    if wanted.type != "cuda":
        return f"{device} is not a CUDA device"
    if not torch.cuda.is_available() or (wanted.index or 0) >= torch.cuda.device_count():
        return f"{device} is not here"
    found = torch.cuda.get_device_capability(wanted)
    if found < OLDEST_CAPABILITY:
        return f"{device}: expected compute capability 8.0 or above, found {found[0]}.{found[1]}"
    return None
