"""The inner loops of `cpu.py`, over codewords side by side: nearly all of the time of a search."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from embdc_cli.codec.vq.search import SIDE

_FLOAT = numba.float32
_VALUES = _FLOAT[::1]
_IN1, _IN2 = (numba.types.Array(_FLOAT, axes, "C", readonly=True) for axes in (1, 2))


def _typed_greater(context: Any, first: Any, second: Any) -> Any:
    """The greater of two float32, neither NaN. Of 256 values the greatest takes .02 us: LLVM compares many at once,
    which it does not do with max, and then it takes .18.
    """
    del context, first, second

    def made(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        real = ir.FloatType()
        function = builder.module.declare_intrinsic("llvm.maxnum", [real], ir.FunctionType(real, [real, real]))
        return builder.call(function, values, fastmath=("nnan", "nsz"))

    return _FLOAT(_FLOAT, _FLOAT), made


_greater: Any = intrinsic(_typed_greater)


@numba.njit(
    numba.void(_FLOAT[:, ::1], _IN2, _IN1, _FLOAT[:, ::1], numba.int64, numba.int64),
    nogil=True,
    cache=True,
    fastmath={"contract"},  # sums are exact, so multiplying and adding in one gives the same
)
def score(x: np.ndarray, seen: np.ndarray, halves: np.ndarray, scores: np.ndarray, rows: int, width: int) -> None:
    """scores (rows, K) of x (rows, W), SIDE rows and coefficients at a time: a codeword is loaded once for all these
    rows, a score once for all these coefficients. Up to SIDE - 1 further rows are read and written.
    """
    for row in range(0, rows, SIDE):
        p, q, r, s = scores[row], scores[row + 1], scores[row + 2], scores[row + 3]
        for k in range(halves.size):
            p[k] = q[k] = r[k] = s[k] = halves[k]
        for j in range(0, width, SIDE):
            c0, c1, c2, c3 = seen[j], seen[j + 1], seen[j + 2], seen[j + 3]
            p0, p1, p2, p3 = x[row, j], x[row, j + 1], x[row, j + 2], x[row, j + 3]
            q0, q1, q2, q3 = x[row + 1, j], x[row + 1, j + 1], x[row + 1, j + 2], x[row + 1, j + 3]
            r0, r1, r2, r3 = x[row + 2, j], x[row + 2, j + 1], x[row + 2, j + 2], x[row + 2, j + 3]
            s0, s1, s2, s3 = x[row + 3, j], x[row + 3, j + 1], x[row + 3, j + 2], x[row + 3, j + 3]
            for k in range(halves.size):
                v0, v1, v2, v3 = c0[k], c1[k], c2[k], c3[k]
                p[k] = p[k] + p0 * v0 + p1 * v1 + p2 * v2 + p3 * v3
                q[k] = q[k] + q0 * v0 + q1 * v1 + q2 * v2 + q3 * v3
                r[k] = r[k] + r0 * v0 + r1 * v1 + r2 * v2 + r3 * v3
                s[k] = s[k] + s0 * v0 + s1 * v1 + s2 * v2 + s3 * v3


@numba.njit(_FLOAT(_VALUES, _VALUES, _FLOAT, _FLOAT, _FLOAT, _FLOAT, _FLOAT, _FLOAT), nogil=True, cache=True)
def advance(
    scores: np.ndarray, before: np.ndarray, highest: Any, keep: Any, anew: Any, hope: Any, times: Any, go_on: Any
) -> Any:
    """Makes scores (K,) of a row its values V, and returns the greatest. before: values of the row before."""
    greatest = np.float32(-np.inf)
    for k in range(scores.size):
        same = before[k] - highest - keep
        value = (scores[k] + hope) * times - go_on + (same if same >= anew else anew)
        scores[k] = value
        greatest = _greater(greatest, value)
    return greatest


@numba.njit(numba.int32(_VALUES, _FLOAT), nogil=True, cache=True)
def first_of(values: np.ndarray, sought: Any) -> Any:
    """The index of the first that is `sought`. It looks at all, many at once, which no early end would allow."""
    none = np.int32(values.size)
    first = none
    for k in range(values.size):
        first = min(first, np.int32(k) if values[k] == sought else none)
    return first
