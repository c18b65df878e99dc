"""What embedders that run a torch network share: the network made ready for a video, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from embdc_cli.embedder.batches import (
    ANY_SIZE,
    DEFAULT_BATCH,
    STORAGE,
    Batches,
    Network,
    found_batch,
    memory_of,
)
from embdc_cli.embedder.compiling import COMPILER, explained, uncompiled
from embdc_cli.embedder.protocol import Frame, Request, Schedule
from embdc_cli.values import StreamSpec


def planar_on(frame: Frame, device: torch.device) -> torch.Tensor:
    """`frame` (H, W, 3) as (3, H, W) on `device`; nothing is copied where it is there already."""
    image = frame if isinstance(frame, torch.Tensor) else torch.from_numpy(frame)
    return image.to(device).permute(2, 0, 1)


@dataclass(frozen=True)
class SizedNetwork:
    """A network made ready for frames of one size. pixels: of a frame, as the network takes them."""

    specs: Sequence[StreamSpec]
    pixels: Callable[[Frame], torch.Tensor]
    batches: Batches
    facts: dict[str, Any]

    @property
    def batch_size(self) -> int:
        return self.batches.size

    @property
    def schedule(self) -> Schedule:
        return self.batches.schedule

    def embed(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        return self.batches.run(frames, self.pixels)

    def provenance(self) -> dict[str, Any]:
        return dict(self.facts)


def in_batches(
    network: Network,
    edges: tuple[int, int],
    device: torch.device,
    request: Request,
    schedule: Schedule,
    sizes: range = ANY_SIZE,
) -> Batches:
    """`network`, which takes `sizes` frames of height and width `edges` at once, in batches.

    Without a schedule to repeat they are as large as asked for, else fit the memory of a CUDA device, else 8.
    """
    schedule = schedule or [(0, request.batch_size or _chosen_batch(network, edges, device, request, sizes))]
    return Batches(explained(network) if request.compile else network, device, schedule, sizes[0])


def _chosen_batch(
    network: Network, edges: tuple[int, int], device: torch.device, request: Request, sizes: range
) -> int:
    memory = memory_of(device)
    if memory is None:
        return min(max(DEFAULT_BATCH, sizes[0]), sizes[-1])

    def run(count: int) -> None:
        with torch.inference_mode(), uncompiled(request.compile):
            network(torch.zeros((count, 3, *edges), device=device))

    return found_batch(run, memory, sizes)


def environment(device: torch.device, compute: str, request: Request) -> dict[str, Any]:
    """The part of the provenance that says how the network was run. compute: the element type."""
    return {
        "dtype": {"compute": compute, "storage": STORAGE},
        "device": device.type,
        "libraries": {"torch": str(torch.__version__)},
        **({"compiled": COMPILER} if request.compile else {}),
    }
