"""How far the planes are from pictures of the world, for which video codecs are made: one number of three parts.

    correlation         r of neighbours, mean of both directions            0.95    |r - 0.95| / 0.95
    slope               a, where the power spectrum falls as 1 / f^a        2       |a - 2| / 2
    gradient_kurtosis   k = m4 / m2^2 of differences of neighbours, - 3     14.4    |ln((k + 3) / 17.4)| / ln(17.4 / 3)

The number is the mean of the parts: 0 of a picture, 1 of white Gaussian noise, whose r, a and k are 0, and more of
what is farther than noise. The slope is that of the line through ln of the variances of the 8 x 8 DCT over ln of
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
    r = k = None
    if frames is not None:
        along = [found for axis in (1, 2) if (found := neighbours(frames, axis)) is not None]
        r = sum(along) / 2 if len(along) == 2 else None
        k = _gradient_kurtosis(frames)
    a = None if variances is None else _slope(variances)
    distance = None
    if r is not None and a is not None and k is not None:
        tails = abs(math.log((k + _GAUSSIAN) / KURTOSIS)) / math.log(KURTOSIS / _GAUSSIAN)
        distance = (abs(r - CORRELATION) / CORRELATION + abs(a - SLOPE) / SLOPE + tails) / 3
    return {"distance": distance, "correlation": r, "slope": a, "gradient_kurtosis": k}


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
            squares = np.diff(frame.astype(np.float64), axis=axis) ** 2
            count += squares.size
            second += float(squares.sum())
            fourth += float((squares**2).sum())
    return count * fourth / second**2 - _GAUSSIAN if second > 0 else None
