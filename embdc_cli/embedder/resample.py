"""Pillow's antialiased resize in torch, on any device, to the bit.

Vision towers were trained on Pillow's pixels; torch's own antialiased interpolation differs from them by a level here
and there. Pillow (libImaging/Resample.c, 8 bits per channel) filters rows, rounds to uint8, then columns:
    out = clip((2^21 + sum_j k[i, j] x[j]) >> 22, 0, 255),   k = round(2^22 w),   w = filter weights, which sum to 1
Here the sums are matrix products in float64. Every term is an integer and every sum is below 2^53, so they are exact
in whatever order a BLAS or a GPU adds them. The weights are computed in the order in which Pillow computes them.

Pillow 13 filters columns first for some tall pictures, where clipping after the first pass can then differ; this
module always filters rows first, as every Pillow before it, which is what published towers were trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import torch

_PRECISION_BITS: Final = 22
_BAND: Final = 16  # outputs per product: their inputs overlap, so most of a full matrix would be zeros


def _bilinear(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _bicubic(x: float) -> float:
    a = -0.5
    x = abs(x)
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    if x < 2.0:
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(x * math.pi) / (x * math.pi)


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


# PIL.Image.Resampling number -> name, filter, support
FILTERS: Final[dict[int, tuple[str, Callable[[float], float], float]]] = {
    1: ("lanczos", _lanczos, 3.0),
    2: ("bilinear", _bilinear, 1.0),
    3: ("bicubic", _bicubic, 2.0),
    4: ("box", _box, 0.5),
}


def resize(images: torch.Tensor, height: int, width: int, kernel: int, *, exact: bool) -> torch.Tensor:
    """images (..., H, W) resized to (..., height, width), float64.

    kernel: a key of FILTERS. exact: uint8 values as Pillow gives them, rounded after rows and after columns; else the
    same filter without rounding, which is torch's antialiased interpolation in more digits.
    """
    x = images.to(torch.float64)
    if width != x.shape[-1]:
        x = _along_last(x, width, kernel, exact)
    if height != x.shape[-2]:
        x = _along_last(x.transpose(-1, -2).contiguous(), height, kernel, exact).transpose(-1, -2)
    return x.contiguous()


def _along_last(x: torch.Tensor, size: int, kernel: int, exact: bool) -> torch.Tensor:
    rows = x.reshape(-1, x.shape[-1])
    out = torch.empty((len(rows), size), dtype=torch.float64, device=x.device)
    for first, low, high, matrix in _bands(x.shape[-1], size, kernel, exact):
        out[:, first : first + matrix.shape[1]] = rows[:, low:high] @ matrix.to(x.device)
    if exact:
        out = torch.floor(out / (1 << _PRECISION_BITS) + 0.5).clamp_(0, 255)
    return out.reshape(*x.shape[:-1], size)


@lru_cache(maxsize=32)
def _bands(inputs: int, outputs: int, kernel: int, exact: bool) -> list[tuple[int, int, int, torch.Tensor]]:
    """(first output, first input, last input + 1, weights (inputs of the band, outputs of the band) float64)."""
    rows = [_weights(inputs, outputs, i, kernel) for i in range(outputs)]
    bands = []
    for first in range(0, outputs, _BAND):
        band = rows[first : first + _BAND]
        low = min(start for start, _ in band)
        high = max(start + len(weights) for start, weights in band)
        matrix = torch.zeros((high - low, len(band)), dtype=torch.float64)
        for column, (start, weights) in enumerate(band):
            values = [_fixed_point(w) for w in weights] if exact else weights
            matrix[start - low : start - low + len(weights), column] = torch.tensor(values, dtype=torch.float64)
        bands.append((first, low, high, matrix))
    return bands


def _weights(inputs: int, outputs: int, i: int, kernel: int) -> tuple[int, list[float]]:
    """First input of output `i` and the weights of the inputs from there on. Source: precompute_coeffs."""
    _, filter_of, support = FILTERS[kernel]
    scale = inputs / outputs
    stretch = max(scale, 1.0)
    center = (i + 0.5) * scale
    low = max(0, int(center - support * stretch + 0.5))
    high = min(inputs, int(center + support * stretch + 0.5))
    weights = [filter_of((x + low - center + 0.5) * (1.0 / stretch)) for x in range(high - low)]
    total = 0.0
    for weight in weights:  # left to right, as C adds; sum() compensates rounding on newer Pythons
        total += weight
    return low, [weight / total for weight in weights] if total else weights


def _fixed_point(weight: float) -> float:
    """2^22 times the weight, rounded half away from zero. Source: normalize_coeffs_8bpc."""
    return math.copysign(math.floor(abs(weight) * (1 << _PRECISION_BITS) + 0.5), weight)
