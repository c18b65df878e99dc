"""A coder backwards, for a device: from the CPU's decoder, in as few bytes as codes fit, or decoded there.

A coder that has a decoder on the device takes the bytes of a chunk along instead of its codes, and `run` decodes those
of many chunks at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import Coder, Shape


@dataclass(frozen=True)
class Decoded:
    """codes: of each chunk, int8, int16 or int32. faults: (chunks,) float32, NaN where bytes are corrupt, or None."""

    codes: list[torch.Tensor]
    faults: torch.Tensor | None = None


def faults_of(errors: torch.Tensor) -> torch.Tensor:
    """The faults of `Decoded`, of flags (chunks,) int32."""
    return torch.zeros(len(errors), device=errors.device).masked_fill_(errors != 0, float("nan"))


@dataclass(frozen=True)
class Codes:
    """A coder backwards. together: whether `run` is on the device, and faster for many chunks.

    take: (coder's bytes, shape of the codes, side information, CRC-32 so far) -> what goes to the device, and the CRC
    with these codes, None where they are not known on the CPU. Raises CorruptArchive. run: for many chunks,
    without waiting for the device.
    """

    together: bool
    take: Callable[[memoryview, Shape, bytes, int | None], tuple[Taken, int | None]]
    run: Callable[[Sequence[Beside], Staging], Decoded]


def codes_from_cpu(coder: Coder, upload: Upload) -> Codes:
    """Any coder, as the CPU decodes it."""
    del upload

    def take(data: memoryview, shape: Shape, side: bytes, crc: int | None) -> tuple[Taken, int | None]:
        codes = np.ascontiguousarray(coder.decode(data, shape, side), "<i4")
        return Taken((narrowed(codes),)), None if crc is None else zlib.crc32(codes.data, crc)

    def run(chunks: Sequence[Beside], staging: Staging) -> Decoded:
        return Decoded([chunk.tensors[0] for chunk in chunks])

    return Codes(False, take, run)


def narrowed(codes: np.ndarray) -> np.ndarray:
    """Codes int32 as int8 or int16 where their magnitudes fit."""
    largest = max(int(codes.max(initial=0)), -int(codes.min(initial=0)))
    fitting = [dtype for dtype in (np.int8, np.int16) if largest <= np.iinfo(dtype).max]
    return codes.astype(fitting[0]) if fitting else codes
