"""Decoded values in storage dtype, all of them finite, for float16 by a kernel several times as fast as numpy."""

from __future__ import annotations

import numpy as np

from embdc_cli import dtypes
from embdc_cli.entropy.backend import kernels
from embdc_cli.errors import CorruptArchive

_LARGEST = np.finfo(np.float32).max


def from_float32(x: np.ndarray, name: str) -> np.ndarray:
    """As in `dtypes`: decoded float32 `x` rounded to nearest even into dtype `name`; infinities saturate as well.

    Raises CorruptArchive for NaN, which only infinities less infinities make: no encoder's models come near them.
    """
    if name == "float16":
        halves = kernels(__name__).narrow(np.require(x, np.float32, ("C", "A")).reshape(-1))
        if halves is not None:
            return np.asarray(halves).reshape(x.shape)
    low, high = x.min(initial=0.0), x.max(initial=0.0)  # of a NaN both are NaN
    if np.isnan(low):
        raise CorruptArchive("decoded values are no numbers: the models are of numbers too large for them")
    return dtypes.from_float32(np.clip(x, -_LARGEST, _LARGEST) if max(high, -low) > _LARGEST else x, name)
