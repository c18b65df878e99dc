"""The form of a stage forwards on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from embdc_cli.codec.device.beside import Beside, Taken
from embdc_cli.codec.stage import Shape


@dataclass(frozen=True)
class Measured:
    """Side information of a chunk, and what the stage gives of it where measuring has found that as well."""

    side: bytes
    given: torch.Tensor | None = None


def _nothing(x: torch.Tensor) -> Measured:
    del x
    return Measured(b"")


@dataclass(frozen=True)
class Forward:
    """A stage forwards, with its parameters on the device.

    run: what the stage takes, and what was taken of the chunk, to what it gives, without waiting for the device and
    without writing over what it takes. measure: of what the stage takes; waits for the device where there is side
    information. take: of side information and the shape of what the stage takes, on the CPU; None where it is what the
    stage backwards takes of them.
    """

    run: Callable[[torch.Tensor, Beside], torch.Tensor]
    measure: Callable[[torch.Tensor], Measured] = _nothing
    take: Callable[[bytes, Shape], Taken] | None = None
