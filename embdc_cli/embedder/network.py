"""What embedders that run a torch network share: fixed batches, and float16 storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch

from embdc_cli.dtypes import from_float32
from embdc_cli.embedder.protocol import Frame

STORAGE: Final = "float16"
DEFAULT_BATCH: Final = 8


def planar_on(frame: Frame, device: torch.device) -> torch.Tensor:
    """`frame` (H, W, 3) as (3, H, W) on `device`; nothing is copied where it is there already."""
    image = frame if isinstance(frame, torch.Tensor) else torch.from_numpy(frame)
    return image.to(device).permute(2, 0, 1)


def run_in_batches(
    network: Callable[[torch.Tensor], dict[str, torch.Tensor]], pixels: Sequence[torch.Tensor], batch_size: int
) -> dict[str, np.ndarray]:
    """`network` of pixels (each (3, H, W)), per stream (B, ...) float16.

    The network always sees exactly `batch_size` frames, the last ones repeated: how it splits its matrix products,
    and with it the last bits of a frame's embedding, then does not depend on how many frames there are.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(pixels), batch_size):
        real = list(pixels[start : start + batch_size])
        batch = torch.stack(real + [real[-1]] * (batch_size - len(real)))
        with torch.inference_mode():
            for name, values in network(batch).items():
                stored = from_float32(values[: len(real)].to(torch.float32).cpu().numpy(), STORAGE)
                parts.setdefault(name, []).append(stored)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def environment(device: torch.device) -> dict[str, Any]:
    """The part of the provenance that says how the network was run."""
    return {
        "dtype": {"compute": "float32", "storage": STORAGE},
        "device": device.type,
        "libraries": {"torch": str(torch.__version__)},
    }
