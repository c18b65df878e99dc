"""The loops of `reference.py`, compiled with numba; nothing is written twice."""

from __future__ import annotations

from typing import Any

import numba
from numba.core import config

from embdc_cli.codec.transform.mixture.walk import reference

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("numba is switched off (NUMBA_DISABLE_JIT), and interpreted loops are slower than numpy")

_INTS: Any = numba.types.Array(numba.int64, 1, "C", readonly=True)
_BYTES: Any = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_INTS_OUT, _BYTES_OUT, _INT = numba.int64[::1], numba.uint8[::1], numba.int64

to_symbols = numba.njit(
    _INT(*4 * (_INTS,), _INTS, _INT, _INT, _BYTES_OUT, _BYTES_OUT, _INTS_OUT), nogil=True, cache=True
)(reference.to_symbols)
to_tracks = numba.njit(numba.boolean(_BYTES, _INTS, _INT, *3 * (_INTS_OUT,)), nogil=True, cache=True)(
    reference.to_tracks
)
to_modes = numba.njit(numba.boolean(_INTS, _BYTES, _INTS, _INT, _INT, _INTS_OUT), nogil=True, cache=True)(
    reference.to_modes
)
