"""Who codes a bitstream: software everywhere, NVIDIA's engines where they are; what one writes, each of them reads.

auto        decodes in hardware where it can, and encodes in software: bytes must not depend on the machine
software    PyAV
nvidia      NVENC and NVDEC; asking for what is not there is a `ResourceError` that names it
"""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.video import software
from embdc_cli.codec.video.stream import Coding


def encode(frames: np.ndarray, coding: Coding, backend: str) -> bytes:
    """frames: (T, H, W) integers of `coding.depth` bits. Raises ResourceError for a codec or device not here."""
    if backend == "nvidia":
        from embdc_cli.codec.video import nvidia

        return nvidia.encode(frames, coding)
    return software.encode(frames, coding)


def decode(data: bytes, standard: str, depth: int, shape: tuple[int, int, int], backend: str) -> np.ndarray:
    """(T, H, W) integers. Raises CorruptArchive for a bitstream of any other shape; ResourceError."""
    if backend == "nvidia":
        from embdc_cli.codec.video import nvidia

        return nvidia.decode(data, standard, depth, shape)
    return software.decode(data, standard, depth, shape)
