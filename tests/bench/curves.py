"""Bits per value of dumps at given errors, models and chunk counted but no file around them; and means of ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.weighting import Weighting
from embdc_cli.values import StreamSpec

RATIO = 1.5  # between neighbouring steps: 3 to 3.5 dB
_COARSEST = -8
_FINEST = 12
_RESAMPLED = 10_000


def spec_of(x: np.ndarray) -> StreamSpec:
    """The stream of a dump (T, N, D)."""
    return StreamSpec("x", str(x.dtype), "t,n,c", x.shape[1:], len(x))


def fit_of(x: np.ndarray, effort: int, measure: str = "nmse") -> Fit:
    """Fitted to all of `x` as one chunk, for the weighting that minimises `measure`."""
    weighting = Weighting("channel" if measure == "channel_nmse" else "none")
    return Fit(spec_of(x), [x], options=FitOptions(effort=effort, weighting=weighting))


def error(measure: str, x: np.ndarray, y: np.ndarray) -> float:
    """nmse or channel_nmse of y, both (T, N, D); constant channels are left out of the latter's mean."""
    a, b = (array.reshape(-1, array.shape[-1]).astype(np.float64) for array in (x, y))
    variances = a.var(axis=0)
    errors = ((a - b) ** 2).mean(axis=0)
    if measure == "nmse":
        return float(errors.sum() / variances.sum())
    live = variances > 0
    return float((errors[live] / variances[live]).mean())


def curve(x: np.ndarray, effort: int, measure: str, targets: Sequence[float]) -> list[tuple[float, float]]:
    """(error, bits per value) at steps RATIO apart, from an error above the targets to one below them."""
    fit = fit_of(x, effort, measure)

    def point(number: int) -> tuple[float, float]:
        models = fit.models(fit.rms * RATIO**-number)
        coded = TransformCodec(fit.spec, models).encode(x)
        bits = 8 * (len(models.to_bytes()) + len(coded.payload)) / x.size
        return error(measure, x, coded.decoded), bits

    points = {0: point(0)}
    while points[max(points)][0] > min(targets) and max(points) < _FINEST:
        points[max(points) + 1] = point(max(points) + 1)
    while points[min(points)][0] < max(targets) and min(points) > _COARSEST:
        points[min(points) - 1] = point(min(points) - 1)
    return list(points.values())


def bits_at(points: Sequence[tuple[float, float]], target: float) -> float:
    """Bits at an error, linear in its logarithm; the cheapest point's where even that has less error.

    NaN where none has as little. Points that another beats in both are left out.
    """
    frontier: list[tuple[float, float]] = []
    for found, bits in sorted(points, key=lambda point: (point[1], point[0])):
        if not frontier or found < frontier[-1][0]:
            frontier.append((found, bits))
    if frontier[-1][0] > target:
        return math.nan
    logarithms = [math.log(max(found, 1e-12)) for found, _ in reversed(frontier)]
    return float(np.interp(math.log(target), logarithms, [bits for _, bits in reversed(frontier)]))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of those that are numbers."""
    return float(np.exp(np.nanmean(np.log(ratios))))


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the geometric mean, by drawing among `ratios`."""
    rng = np.random.default_rng(1)
    logarithms = np.log(ratios)
    means = logarithms[rng.integers(len(logarithms), size=(_RESAMPLED, len(logarithms)))].mean(axis=1)
    low, high = np.exp(np.quantile(means, (0.025, 0.975)))
    return float(low), float(high)
