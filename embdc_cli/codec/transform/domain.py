"""The domain in which squared error means what the weighting asks for: channels divided by scales, perhaps a metric.

u = (x - mean) / scale, scale_c in quarter octaves: sigma_c for channel weighting, 1 / |w_c| for a vector of weights,
and for a matrix W 1 / sqrt((W^T W)_cc), which leaves the rest of W^T W as a metric of unit diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.codec import quarter_octave
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.codec.weighting import RIDGE, Weighting, scaled_metric


@dataclass(frozen=True, eq=False)
class Domain:
    """Statistics of u. scale_codes: (D,) quarter octaves, None for 1. variance: (D,).

    covariance: (D, D), None where the channel axis is too wide. metric: (D, D), None for plain squared error.
    """

    scale_codes: np.ndarray | None
    variance: np.ndarray
    covariance: np.ndarray | None
    metric: np.ndarray | None

    @classmethod
    def of(cls, moments: Moments, weighting: Weighting, name: str) -> Domain:
        """The domain of the tokens in `moments`. Raises UsageError for weights of another number of channels."""
        variance = moments.variance
        covariance = moments.covariance if moments.pairs else None
        metric = weighting.metric(moments.channels, name)
        if weighting.kind == "channel":
            importance = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
        elif metric is not None:
            importance = metric if metric.ndim == 1 else np.diagonal(metric)
        else:
            return cls(None, variance, covariance, None)
        least = max(float(importance.max(initial=0.0)) * RIDGE**2, 1e-300)
        codes = quarter_octave.codes_of(1.0 / np.sqrt(np.maximum(importance, least)))
        if weighting.kind == "channel":
            codes[variance == 0] = 0
        scale = quarter_octave.scales_of(codes).astype(np.float64)
        variance = variance / scale**2
        if covariance is None:
            return cls(codes, variance, None, None)
        covariance = covariance / np.outer(scale, scale)
        if metric is None or metric.ndim == 1:
            return cls(codes, variance, covariance, None)
        return cls(codes, variance, covariance, scaled_metric(metric, scale))

    @property
    def scale(self) -> np.ndarray | None:
        """(D,) float32, or None for 1."""
        return None if self.scale_codes is None else quarter_octave.scales_of(self.scale_codes)

    @property
    def energy(self) -> float:
        """Mean of |u|^2 over tokens, in the metric where there is one."""
        if self.metric is None or self.covariance is None:
            return float(self.variance.sum())
        return float((self.metric * self.covariance).sum())

    @property
    def unit(self) -> float:
        """Typical magnitude of u, > 0."""
        unit = float(np.sqrt(self.variance.mean())) if self.variance.size else 0.0
        return unit if np.isfinite(unit) and unit > 0 else 1.0
