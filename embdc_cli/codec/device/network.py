"""The network of a codebook on a device (`codec.reconstruction.network`), all tokens of a chunk at once."""

from __future__ import annotations

import torch

from embdc_cli.codec.device.beside import Beside, Inverse, Upload
from embdc_cli.codec.reconstruction.network import COARSENESS, FLOOR, LIMIT, OCTAVES
from embdc_cli.codec.reconstruction.stage import FULL, Reconstruction


def reconstruction(stage: Reconstruction, upload: Upload) -> Inverse:
    """Tokens (F, N, D), and `strength` times what the network adds to them."""
    network = stage.network
    if network is None:
        return Inverse(lambda y, beside: y)
    layers = [(upload(layer.matrix), upload(layer.offset)) for layer in network.layers]
    told = (stage.coarseness / COARSENESS, float(stage.vector))
    radius, strength = network.radius, stage.strength / FULL

    def run(x: torch.Tensor, beside: Beside) -> torch.Tensor:
        if not x.numel():
            return x
        found = _features(x, radius, stage.step, told).flatten(0, 1)
        for number, (matrix, offset) in enumerate(layers):
            found = torch.addmm(offset, found.relu_() if number else found, matrix)
        return _weigh(x, found.mul_(strength).view(*x.shape[:2], -1, 1))

    return Inverse(run)


def _features(x: torch.Tensor, radius: int, step: float, told: tuple[float, float]) -> torch.Tensor:
    """(F, N, 2R + 4) float32, as `network.features_of`."""
    rows, count, _ = x.shape
    squares = torch.zeros((rows, count, 2 * radius + 2), dtype=torch.float64, device=x.device)
    apart = {k: _mean_squares(x[k:] - x[:-k]) for k in range(1, max(2, radius) + 1) if k < rows}
    for k in range(1, radius + 1):
        if k in apart:
            squares[k:, :, 2 * k - 2] = apart[k]
            squares[:-k, :, 2 * k - 1] = apart[k]
    if 2 in apart:
        squares[1:-1, :, -2] = apart[2]
    squares[:, :, -1] = _mean_squares(x)
    found = torch.empty((rows, count, 2 * radius + 4), dtype=torch.float32, device=x.device)
    found[:, :, :-2] = (squares / step**2 + FLOOR).log2_().div_(OCTAVES).clamp_(max=LIMIT)
    found[:, :, -2], found[:, :, -1] = told
    return found


def _mean_squares(x: torch.Tensor) -> torch.Tensor:
    """(F, N) float32 of (F, N, D)."""
    squares: torch.Tensor = torch.linalg.vecdot(x, x)
    return squares / x.shape[2]


def _weigh(x: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
    """(F, N, D) float32: tokens as gates (F, N, 2R + 1, 1) say."""
    own = 1 + gates[:, :, 0]
    pairs = [(gates[:, :, at], gates[:, :, at + 1]) for at in range(1, gates.shape[2], 2)]
    for k, (before, after) in enumerate(pairs, start=1):
        own[k:] -= before[k:]
        own[:-k] -= after[:-k]
    found = own * x
    for k, (before, after) in enumerate(pairs, start=1):
        found[k:].addcmul_(before[k:], x[:-k])
        found[:-k].addcmul_(after[:-k], x[k:])
    return found
