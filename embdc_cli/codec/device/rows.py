"""Between rows in storage type on a device and float32 tokens there: `Layout.split`, `Layout.join`, and the cast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from embdc_cli.codec.device.kernels import kernels_on
from embdc_cli.codec.layout import Layout

_LARGEST = float(np.finfo(np.float32).max)


def tokens_of(rows: torch.Tensor, layout: Layout) -> list[torch.Tensor]:
    """Token groups (F, N, fold) float32 of rows (F, *row_shape), as of `Layout.split`; perhaps the rows themselves."""
    x = rows.float()
    if layout.exponent:
        x = x * 2.0**-layout.exponent
    if layout.spec.row_shape:
        x = x.movedim(1 + layout.spec.channel_axis, -1)
    x = x.reshape(len(rows), sum(layout.tokens), layout.fold)
    return [group.contiguous() for group in x.split_with_sizes(layout.tokens, dim=1)]


def write_rows(groups: Sequence[torch.Tensor], layout: Layout, out: torch.Tensor) -> torch.Tensor:
    """Tokens (F, N, fold) of every group to out (F, *row_shape), rounded to nearest even, infinities saturated.

    Returns a number that is NaN where one of the values is: of no encoder's models. Writes over `groups`.
    """
    spec = layout.spec
    last = out.movedim(1 + spec.channel_axis, -1) if spec.row_shape else out
    into = last if last.is_contiguous() else torch.empty_like(last, memory_format=torch.contiguous_format)
    tokens = into.view(len(out), sum(layout.tokens), layout.fold)
    limit = torch.finfo(out.dtype).max
    kernels = kernels_on(out.device)
    flags = []
    start = 0
    for group in groups:
        if layout.exponent:
            largest = float(np.float32(_LARGEST * 2.0**-layout.exponent)) if layout.exponent > 0 else float("inf")
            group.clamp_(-largest, largest).mul_(2.0**layout.exponent)
        part = tokens[:, start : start + group.shape[1]]
        start += group.shape[1]
        if kernels is not None:
            flags.append(kernels.store(group, part, limit))
        else:
            part.copy_(group).clamp_(-limit, limit)
            flags.append(part.amax().float() if part.numel() else part.new_zeros((), dtype=torch.float32))
    if into is not last:
        last.copy_(into)
    return torch.stack(flags).sum()


def put_exact(out: torch.Tensor, positions: torch.Tensor, patterns: torch.Tensor) -> None:
    """Bit patterns (n,) of the width of a value to their positions (n,) int64 in the flat rows `out`."""
    out.view(patterns.dtype).view(-1).index_copy_(0, positions, patterns)
