"""Search and lookup in torch, on any device: the same codes and sums as `reference.py`.

Many places of a chunk at once, level by level, row by row. Scores are integers below 2^24; they are multiplied out in
float64, since a library may have allowed itself TF32 for products in float32. Everything else is single operations in
float32 and float64, which round alike everywhere, in the order of the definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from embdc_cli.codec.vq import gain
from embdc_cli.codec.vq.gaussian import SAVED, WIDTH
from embdc_cli.codec.vq.search import NEVER, Packed, Prices

_NONE = -1
_SCORES: Final = 1 << 26
"""Of a level that are looked at together: 512 MiB in float64."""


def search(y: np.ndarray, packed: Packed, prices: Prices, lagrangian: float, device: str) -> np.ndarray:
    """As the package's, on `device`, so many places of the grid at once as memory allows."""
    width = max(1, _SCORES // (y.shape[0] * packed.halves.shape[1]))
    parts = [
        _search(y[:, start : start + width], packed, prices, lagrangian, device)
        for start in range(0, y.shape[1], width)
    ]
    return np.concatenate(parts, axis=1)


def _search(y: np.ndarray, packed: Packed, prices: Prices, lagrangian: float, device: str) -> np.ndarray:
    rows, count, rank = y.shape
    levels = len(packed.widths)
    codes = torch.zeros((levels, rows, count), dtype=torch.int32, device=device)
    left = torch.from_numpy(y.astype(np.int64)).to(device)
    energy = left.square().sum(dim=2)
    active = torch.ones((rows, count), dtype=torch.bool, device=device)
    kept = active.clone()
    weights = torch.ones((rows, count), dtype=torch.float64, device=device)
    blocks = -(-rank // WIDTH)
    for level in range(levels):
        if level == packed.gain:
            gains = _gains(left, active, packed.expected)
            codes[level] = torch.where(active, gains + 1, 0)
            kept[0] = False
            kept[1:] = active[1:] & active[:-1] & (gains[1:] == gains[:-1])
            inverses = torch.tensor(gain.INVERSES, device=device)[gains]
            left = left * inverses[..., None] + (1 << 15) >> 16
            energy = left.square().sum(dim=2)
            weights = torch.tensor(gain.ENERGIES, dtype=torch.float64, device=device)[gains]
            continue
        one = _Level.of(packed, level, device)
        unit = float(np.float64(lagrangian) / one.scale)
        to_come = SAVED / blocks * energy.double() - lagrangian / weights * float(prices.index[level])
        hope = to_come.clamp(min=0.0) * min(levels - 1 - level, blocks) / one.scale * (lagrangian > 0)
        scores = one.scores(left) + hope.float()[..., None]
        path = _path(scores * weights.float()[..., None], active, kept, prices, level, unit)
        codes[level] = path + 1
        active = path != _NONE
        kept[0] = False
        kept[1:] = active[1:] & (path[1:] == path[:-1])
        words = torch.where(active[..., None], one.codewords[path.clamp(min=0)], 0)
        before = left[..., one.channels]
        left[..., one.channels] = before - words
        energy = energy + (before - words).square().sum(dim=2) - before.square().sum(dim=2)
        if not bool(active.any()):
            break
    if packed.gain + 1 < levels:
        codes[packed.gain][codes[packed.gain + 1] == 0] = 0
    return np.ascontiguousarray(codes.permute(1, 2, 0).cpu().numpy())


def lookup(codes: np.ndarray, packed: Packed, rank: int, device: str) -> np.ndarray:
    """As the package's, on `device`."""
    flat = torch.from_numpy(np.ascontiguousarray(codes.reshape(-1, codes.shape[-1]))).to(device)
    sums = Lookup.of(packed, rank, device).sums(flat)
    return sums.cpu().numpy().reshape(*codes.shape[:-1], rank)


@dataclass(frozen=True)
class Lookup:
    """Codewords on a device. levels: (channels (w,) int64, codewords (1 + K, w) int32, the first of them zeros) each.

    gain: the level of gains, as of `Packed`; gains: (16 + 1,) float64.
    """

    levels: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    gain: int
    gains: torch.Tensor
    rank: int

    @classmethod
    def of(cls, packed: Packed, rank: int, device: str | torch.device) -> Lookup:
        levels = []
        for channels, width, codewords in zip(packed.channels, packed.widths, packed.codewords, strict=True):
            words = np.zeros((1 + len(codewords), width), np.int32)
            words[1:] = codewords[:, :width]
            own = torch.from_numpy(channels[:width].astype(np.int64))
            levels.append((own.to(device), torch.from_numpy(words).to(device)))
        return cls(tuple(levels), packed.gain, torch.tensor(gain.GAINS, dtype=torch.float64, device=device), rank)

    @property
    def nbytes(self) -> int:
        """On the device."""
        return self.gains.nbytes + sum(channels.nbytes + words.nbytes for channels, words in self.levels)

    def sums(self, flat: torch.Tensor) -> torch.Tensor:
        """(n, r) float64 for codes (n, L) int32."""
        sums = torch.zeros((2, len(flat), self.rank), dtype=torch.int32, device=flat.device)
        for level, (channels, words) in enumerate(self.levels):
            if len(channels):
                sums[int(level > self.gain), :, channels] += words[flat[:, level]]
        y = sums[0].double()
        if self.gain < len(self.levels):
            y += sums[1] * self.gains[flat[:, self.gain]][:, None]
        return y


@dataclass(frozen=True)
class _Level:
    """A level of `Packed` on a device. scale: of its scores, in squared quanta."""

    channels: torch.Tensor
    codewords: torch.Tensor
    seen: torch.Tensor
    halves: torch.Tensor
    shift: int
    bound: int
    scale: float

    @classmethod
    def of(cls, packed: Packed, level: int, device: str) -> _Level:
        width, shift = int(packed.widths[level]), int(packed.shifts[level])
        return cls(
            channels=torch.from_numpy(packed.channels[level, :width].astype(np.int64)).to(device),
            codewords=torch.from_numpy(packed.codewords[level, :, :width].astype(np.int64)).to(device),
            seen=torch.from_numpy(packed.seen[level, :width].astype(np.float64)).to(device),
            halves=torch.from_numpy(packed.halves[level]).to(device),
            shift=shift,
            bound=int(packed.bounds[level]),
            scale=2.0 * 4.0 ** float(shift),
        )

    def scores(self, left: torch.Tensor) -> torch.Tensor:
        """(F, N, K) float32 for what is left (F, N, r)."""
        x = (left[..., self.channels] + (1 << self.shift >> 1) >> self.shift).clamp(-self.bound, self.bound)
        return (x.double() @ self.seen + self.halves.double()).float()


def _gains(left: torch.Tensor, active: torch.Tensor, expected: np.ndarray) -> torch.Tensor:
    """(F, N) int64, ONE where a token has stopped."""
    energies = torch.zeros(left.shape[:2], dtype=torch.float64, device=left.device)
    for j, one in enumerate(expected.tolist()):
        energies += left[..., j].double() * left[..., j].double() / one
    edges = torch.tensor(gain.EDGES, dtype=torch.float64, device=left.device)
    nearest = (energies[..., None] >= edges).sum(dim=2)
    middles = torch.tensor(gain.ENERGIES, dtype=torch.float64, device=left.device)
    found = torch.full_like(nearest, gain.ONE)
    for t in range(len(left)):
        found[t] = torch.where(active[t], nearest[t], gain.ONE)
        if t:
            middle = middles[found[t - 1]]
            near = (middle / gain.REACH <= energies[t]) & (energies[t] < middle * gain.REACH)
            found[t] = torch.where(active[t] & active[t - 1] & near, found[t - 1], found[t])
    return found


def _path(
    scores: torch.Tensor, active: torch.Tensor, kept: torch.Tensor, prices: Prices, level: int, unit: float
) -> torch.Tensor:
    """(F, N) codeword of each row and place, _NONE where it stops."""
    rows, count, most = scores.shape
    device = scores.device
    numbers = torch.arange(most, device=device)
    go_on, stop, index = (float(np.float32(p[level] * unit)) for p in (prices.go_on, prices.stop, prices.index))
    keeps, leaves = (
        torch.from_numpy((p[level] * unit).astype(np.float32)).to(device) for p in (prices.keep, prices.leave)
    )
    stay = torch.zeros((rows, count, most), dtype=torch.bool, device=device)
    source = torch.full((rows, count), _NONE, device=device)
    ends = torch.full((rows, count), _NONE, device=device)
    never = torch.full((count,), float(NEVER), device=device)
    best, best_k, none = never, torch.full((count,), _NONE, device=device), torch.zeros(count, device=device)
    value = never[:, None].expand(count, most)
    for t in range(rows):
        on = active[t]
        keep, leave = keeps[kept[t].long()], leaves[kept[t].long()]
        anew = best - leave
        stopped = none >= anew
        source[t] = torch.where(stopped, _NONE, best_k)
        anew = torch.where(stopped, none, anew) - index
        ended = torch.maximum(best, none)
        same = value - keep[:, None]
        stay[t] = on[:, None] & (same >= anew[:, None])
        value = scores[t] - go_on + torch.where(stay[t], same, anew[:, None])
        none = never if unit == 0 else ended - stop
        best = value.amax(dim=1)
        best_k = torch.where(value == best[:, None], numbers, most).amin(dim=1)
        top = torch.maximum(best, none)
        value, best, none = value - top[:, None], best - top, none - top
        ends[t] = torch.where(on & (best > none), best_k, _NONE)
        value = torch.where(on[:, None], value, never[:, None])
        best, none = torch.where(on, best, never), torch.where(on, none, 0.0)
        best_k = torch.where(on, best_k, _NONE)
    return _back(stay, source, ends, active)


def _back(stay: torch.Tensor, source: torch.Tensor, ends: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """The paths from their last row to their first."""
    rows = len(ends)
    path = torch.full_like(ends, _NONE)
    state = ends[-1]
    for t in range(rows - 1, -1, -1):
        path[t] = state
        if t:
            stays = stay[t].gather(1, state.clamp(min=0)[:, None])[:, 0]
            state = torch.where(~active[t] | (state == _NONE), ends[t - 1], torch.where(stays, state, source[t]))
    return path
