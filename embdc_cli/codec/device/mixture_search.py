"""The search for tracks and modes on a device (`mixture.search`): every run of rows under every mode.

On the CPU a run is tried under the few modes that its leading vectors name. Here all are: products of a fixed shape,
and nothing to wait for. So a cut found here costs as little as the CPU's or less, and is the same where there are no
more modes than the CPU tries for all, but for sums in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from embdc_cli.codec.device.beside import Upload
from embdc_cli.codec.transform.mixture.search import TRACK_BITS
from embdc_cli.codec.transform.mixture.search.reference import DISTORTION, LARGEST
from embdc_cli.codec.transform.mixture.tracks import LEVELS, SPAN
from embdc_cli.codec.transform.time_dct import matrix

_VALUES_AT_ONCE: Final = 1 << 25
"""Coefficients, of 4 bytes, of which there are four arrays."""


class DeviceSearcher:
    """modes: (mean (D,), orthonormal rows (r, D)) float32 each. reach: s, in the units of the tokens."""

    def __init__(self, modes: Sequence[tuple[np.ndarray, np.ndarray]], reach: float, upload: Upload) -> None:
        means = np.stack([mean for mean, _ in modes])
        ranks = [len(basis) for _, basis in modes]
        self._scale = 1.0 / reach**2
        self._directions = upload(np.concatenate([basis for _, basis in modes]).T)
        self._shifts = upload(np.concatenate([basis @ mean for mean, basis in modes]))
        self._means = upload(means.T)
        self._energies = upload((means.astype(np.float64) ** 2).sum(axis=1).astype(np.float32))
        self._owners = upload(np.repeat(np.eye(len(modes), dtype=np.float32), ranks, axis=0))  # (sum of r, modes)
        self._dct = [upload(matrix(1 << level)) for level in range(LEVELS)]
        self._rank = sum(ranks)
        self._width = max(len(means[0]), self._rank, 1)

    def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(levels, modes) int8 and int16 (F, N): of the track that each row of each token is in. x: (F, N, D)."""
        rows, tokens, channels = x.shape
        levels = x.new_zeros((rows, tokens), dtype=torch.int8)
        modes = x.new_zeros((rows, tokens), dtype=torch.int16)
        whole = rows - rows % SPAN
        if whole and tokens:  # spans side by side, as if they were more tokens
            beside = x[:whole].view(-1, SPAN, tokens, channels).transpose(0, 1)
            found = self._span(beside.reshape(SPAN, -1, channels))
            for into, one in zip((levels, modes), found, strict=True):
                into[:whole] = one.view(SPAN, -1, tokens).transpose(0, 1).reshape(whole, tokens)
        if whole < rows and tokens:
            levels[whole:], modes[whole:] = self._span(x[whole:])
        return levels, modes

    def _span(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        step = max(1, _VALUES_AT_ONCE // (len(x) * self._width))
        parts = [_cut(*self._cheapest(x[:, start : start + step])) for start in range(0, x.shape[1], step)]
        levels, modes = zip(*parts, strict=True)
        return torch.cat(levels, dim=1), torch.cat(modes, dim=1)

    def _cheapest(self, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """(runs, n) for every level: the least cost of each run, and its mode."""
        rows, tokens, channels = x.shape
        flat = x.reshape(rows * tokens, channels)
        y = (flat @ self._directions).sub_(self._shifts)
        distances = torch.linalg.vecdot(flat, flat)[:, None] - 2 * (flat @ self._means) + self._energies
        outside = (distances - y.square() @ self._owners).clamp_(min=0)
        least, chosen = [], []
        for level in range(min(rows.bit_length(), LEVELS)):
            length, runs = 1 << level, rows >> level
            part = y[: runs * length * tokens].view(runs, length, tokens * self._rank)
            if level:
                part = torch.bmm(self._dct[level].expand(runs, length, length), part)
            bits = part.square().mul_(self._scale).clamp_(max=LARGEST).add_(1).log2_().sum(dim=1)
            residual = outside[: runs * length * tokens].view(runs, length, tokens, -1).sum(dim=1)
            coded = (bits.view(runs * tokens, self._rank) @ self._owners).view(residual.shape)
            cost, mode = (0.5 * coded + DISTORTION * self._scale * residual).min(dim=2)
            least.append(cost)
            chosen.append(mode.to(torch.int16))
        return least, chosen


def _cut(least: Sequence[torch.Tensor], chosen: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps (rows, n) of the cheapest cut, from the cheapest mode of every run at every level."""
    best = least[0] + TRACK_BITS
    modes = chosen[0].clone()
    levels = torch.zeros_like(modes, dtype=torch.int8)
    for level in range(1, len(least)):
        runs = len(least[level])
        halves = best[: 2 * runs].view(runs, 2, -1).sum(dim=1)
        whole = least[level] + TRACK_BITS
        joined = whole < halves
        spread = joined.repeat_interleave(1 << level, dim=0)
        covered = slice(0, len(spread))
        levels[covered].masked_fill_(spread, level)
        own = chosen[level].repeat_interleave(1 << level, dim=0)
        modes[covered] = torch.where(spread, own, modes[covered])
        best = torch.where(joined, whole, halves)  # shorter runs that no longer one covers stay as they are
    return levels, modes
