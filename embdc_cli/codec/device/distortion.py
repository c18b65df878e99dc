"""Errors of decoded rows, measured on a device: sums by channel and the cosine of every token come back.

In float64, as on the CPU, so that cosines near 1 keep their distance from it: 32 bytes for every value while it lasts.
"""

from __future__ import annotations

import torch

from embdc_cli.values import StreamSpec


def measured(rows: torch.Tensor, decoded: torch.Tensor, spec: StreamSpec) -> list[torch.Tensor]:
    """[cosines (n,), squared errors by channel (D,)] float64 of rows in storage type, for `ErrorSums.take`.

    Positions where a row is not finite are left out on both sides.
    """
    x, y = _tokens(rows, spec), _tokens(decoded, spec)
    finite = x.isfinite()
    x, y = (torch.where(finite, one, 0.0) for one in (x, y))
    dot, own, other = (torch.linalg.vecdot(*pair) for pair in ((x, y), (x, x), (y, y)))
    norm = (own * other).sqrt_()
    both_zero = ~(x.any(dim=1) | y.any(dim=1))
    cosine = torch.where(norm > 0, dot / torch.where(norm > 0, norm, 1.0), both_zero.double())
    return [cosine.clamp_(max=1.0), x.sub_(y).square_().sum(dim=0)]


def _tokens(rows: torch.Tensor, spec: StreamSpec) -> torch.Tensor:
    """(n, D) float64, as of `tokens.as_tokens`."""
    if not rows.numel():
        return rows.new_zeros((0, spec.channels), dtype=torch.float64)
    x = rows.double()
    if spec.row_shape and not spec.ragged:
        x = x.movedim(1 + spec.channel_axis, -1)
    return x.reshape(-1, spec.channels)
