"""What passes between the CPU and a device for one chunk, and the form of a stage on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from embdc_cli.codec.stage import Shape


@dataclass(frozen=True)
class Taken:
    """What the CPU read of a chunk for one stage. arrays: to be copied to the device. facts: what stays here.

    made_bytes: of what a coder makes of the arrays on the device, and while it does.
    """

    arrays: tuple[np.ndarray, ...] = ()
    facts: Any = None
    made_bytes: int = 0

    @property
    def device_bytes(self) -> int:
        """What the device has to hold until the chunk is decoded."""
        return self.made_bytes + sum(array.nbytes for array in self.arrays)


@dataclass(frozen=True)
class Beside:
    """`Taken`, once its arrays are tensors on the device."""

    tensors: tuple[torch.Tensor, ...] = ()
    facts: Any = None


def _nothing(side: bytes, shape: Shape) -> Taken:
    del side, shape
    return Taken()


@dataclass(frozen=True)
class Inverse:
    """A stage backwards, with its parameters on the device.

    run: what the stage gave, and what was taken of the chunk, to what it took, without waiting for the device. It may
    write over what it is given. take: of side information and the shape of what the stage took, on the CPU.
    """

    run: Callable[[torch.Tensor, Beside], torch.Tensor]
    take: Callable[[bytes, Shape], Taken] = _nothing


class Upload:
    """Copies parameters of a segment to `device`, and counts their bytes.

    On the current stream, which has to be the one that they are used on: what is made of them there, or of their
    memory once they are dropped, is in order then.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __call__(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.array(array)).to(self.device)
        self.bytes += tensor.nbytes
        return tensor
