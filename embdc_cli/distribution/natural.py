"""How far the planes are from pictures of the world, for which video codecs are made: one number of three parts.

    correlation         r of neighbours, mean of both directions            1 - r / 0.95
    slope               a, where the power spectrum falls as 1 / f^a        1 - a / 2
    gradient_kurtosis   k = m4 / m2^2 - 3 of differences of neighbours      1 - ln((k + 3) / 3) / ln(17.4 / 3)

Parts are cut to 0..1, and the number is their mean: 0 of a picture, and of what is smoother still, 1 of white Gaussian
noise, whose r, a and k are 0. The slope is that of the line through ln of the variances of the 8 x 8 DCT over ln of
their radial frequency, all but the mean. Sources of the three constants: Jain, "Fundamentals of Digital Image
Processing", 1989, section 2.10; Field, "Relations between the statistics of natural images and the response
properties of cortical cells", 1987; Huang and Mumford, "Statistics of natural images and models", 1999.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from embdc_cli.distribution.compaction import GROUP
from embdc_cli.distribution.correlation import neighbours

CORRELATION: Final = 0.95
SLOPE: Final = 2.0
KURTOSIS: Final = 17.4
_GAUSSIAN: Final = 3.0


def natural(frames: np.ndarray | None, variances: np.ndarray | None) -> dict[str, float | None]:
    """{distance, correlation, slope, gradient_kurtosis} of frames (T, H, W) and the variances (8, 8) of their DCT.

    A part is None where there is too little of a picture to tell it, and then so is the distance.
    """
    r = None if frames is None else _correlation(frames)
    a = None if variances is None else _slope(variances)
    k = None if frames is None else _gradient_kurtosis(frames)
    distance = None
    if r is not None and a is not None and k is not None:
        tails = math.log((k + _GAUSSIAN) / _GAUSSIAN) / math.log(KURTOSIS / _GAUSSIAN)
        parts = (1 - r / CORRELATION, 1 - a / SLOPE, 1 - tails)
        distance = sum(min(1.0, max(0.0, part)) for part in parts) / len(parts)
    return {"distance": distance, "correlation": r, "slope": a, "gradient_kurtosis": k}


def _correlation(frames: np.ndarray) -> float | None:
    """Of neighbours, mean of down and across; None where one of them has none."""
    down, across = neighbours(frames, 1), neighbours(frames, 2)
    return None if down is None or across is None else (down + across) / 2


def _slope(variances: np.ndarray) -> float | None:
    """Power a of the fall 1 / f^a; None where a coefficient never occurs."""
    down, across = np.meshgrid(np.arange(GROUP), np.arange(GROUP), indexing="ij")
    frequency, power = np.hypot(down, across).ravel()[1:], variances.ravel()[1:]
    if not (power > 0).all():
        return None
    return float(-np.polyfit(np.log(frequency), np.log(power), 1)[0])


def _gradient_kurtosis(frames: np.ndarray) -> float | None:
    """Of differences of neighbours along both sides, about 0; None where there are none."""
    count, second, fourth = 0, 0.0, 0.0
    for frame in frames:
        for axis in (0, 1):
            squares = np.diff(frame, axis=axis).astype(np.float64) ** 2
            count += squares.size
            second += float(squares.sum())
            fourth += float(np.vdot(squares, squares))
    return count * fourth / second**2 - _GAUSSIAN if second > 0 else None
