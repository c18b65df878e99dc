"""Whether the kernels of the entropy coder that are written in Triton can run.

They are `cuda.py` beside each `cpu.py`, and importing one imports Triton, which is no dependency of embdc: builds of
torch for CUDA bring it along on Linux. So ask here first.
"""

from __future__ import annotations

import importlib.util

OLDEST_CAPABILITY = (8, 0)  # that Triton compiles for


def why_not(device: str) -> str | None:
    """What keeps Triton kernels from running on a `device` such as cuda or cuda:1; None where nothing does."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    import torch

    if torch.device(device).type != "cuda":
        return f"{device} is not a CUDA device"
    if not torch.cuda.is_available():
        return "no CUDA device found"
    found = torch.cuda.get_device_capability(device)
    if found < OLDEST_CAPABILITY:
        return f"expected compute capability 8.0 or above, found {found[0]}.{found[1]}"
    return None
