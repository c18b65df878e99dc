"""Whether the kernels of the entropy coder that are written in Triton can run.

They are `cuda.py` beside `cpu.py`, and importing one imports Triton, which is no dependency of embdc: builds of torch
for CUDA bring it along on Linux. So ask here first.
"""

from __future__ import annotations

import importlib.util
from functools import cache
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
    return failure(device)


@cache
def failure(device: str) -> str | None:
    """Why a kernel cannot be compiled and run, tried once: Triton needs a C compiler, and may be too old."""
    import torch

    try:
        from embdc_cli.entropy.rans import cuda as rans
        from embdc_cli.entropy.tables import static_tables

        tables = rans.tables_on(static_tables(), torch.device(device))
        one = torch.zeros(1, dtype=torch.uint8, device=device)
        span = torch.tensor([[0, 1]], dtype=torch.int64, device=device)
        lanes = rans.lane_counts(one, one, span, tables)
        data, places, _ = rans.encode(one, one, span, lanes, tables)
        found, flags = rans.decode(data, places, one, span, tables)
        if flags.item() or found.item():
            return f"{device}: kernels of Triton give other symbols than they were given"
    except Exception as error:  # noqa: BLE001  # a compiler that is missing, or one that finds fault, is of any class
        words = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"{device}: Triton cannot compile kernels, {words}"
    return None
