"""Scales as integers: 2^(code / 4), the same float32 on every machine because no power function is asked."""

from __future__ import annotations

from typing import Final

import numpy as np

LIMIT: Final = 480
"""Largest magnitude of a code: 2^120, so that scaled float32 values stay finite in any sensible use."""

_FOURTH_ROOTS: Final = np.array([1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429])


def codes_of(scales: np.ndarray) -> np.ndarray:
    """int32 codes of the nearest representable scales; what is not positive and finite gets code 0."""
    good = np.isfinite(scales) & (scales > 0)
    logs = np.log2(np.where(good, scales, 1.0))
    return np.asarray(np.clip(np.rint(4 * logs), -LIMIT, LIMIT).astype(np.int32))


def scales_of(codes: np.ndarray) -> np.ndarray:
    """float32 2^(code / 4) of codes within +-LIMIT."""
    return np.asarray(np.ldexp(_FOURTH_ROOTS[codes & 3], codes >> 2).astype(np.float32))
