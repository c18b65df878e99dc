"""Codewords and basis for given codes under any error: Adam on both, the basis brought back to orthonormal rows by QR.

Codes stay as the search left them, so bits do not change here; gradients reach codewords through the sum they are in.
Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; the retraction as in Absil, Mahony,
Sepulchre, "Optimization Algorithms on Matrix Manifolds", 2008, section 4.1. Not here: gradients through the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from embdc_cli.codebook.vector.hard import Coded
from embdc_cli.codebook.vector.losses import Loss
from embdc_cli.codebook.vector.model import FloatLevel, Model

UPDATES: Final = 40
_TOKENS: Final = 4096
_RATE: Final = 0.01
"""Of a codeword, in deviations of its level; of a basis vector, whose length is 1, a tenth of it per root of D."""


def descended(model: Model, coded: Sequence[Coded], tokens: Sequence[np.ndarray], loss: Loss, seed: int) -> Model:
    """tokens: (n, D) of each. The same on one device and seed."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = np.random.default_rng(seed)
    scales = [max(float(level.centres.std()), 1e-30) for level in model.levels]
    words = [
        torch.tensor(level.centres / scale, dtype=torch.float32, device=device, requires_grad=True)
        for level, scale in zip(model.levels, scales, strict=True)
    ]
    channels = [torch.from_numpy(level.channels.astype(np.int64)).to(device) for level in model.levels]
    basis = torch.tensor(model.basis.copy(), dtype=torch.float32, device=device, requires_grad=True)
    vectors = {"params": [basis], "lr": 0.1 * _RATE / basis.shape[1] ** 0.5}
    adam = torch.optim.Adam([{"params": words, "lr": _RATE}, vectors])
    for _ in range(UPDATES):
        which = int(rng.integers(len(coded)))
        one, x = coded[which], tokens[which]
        drawn = np.sort(rng.choice(len(x), min(_TOKENS, len(x)), replace=False))
        decoded = torch.from_numpy(one.rest[drawn]).to(device)
        for number, (word, place, scale) in enumerate(zip(words, channels, scales, strict=True)):
            codes = torch.from_numpy(one.codes[drawn, number].astype(np.int64)).to(device)
            rows = torch.cat([torch.zeros_like(word[:1]), word * scale])[codes]
            decoded = decoded.index_add(1, place, rows)
        adam.zero_grad()
        error = loss.of(torch.from_numpy(x[drawn]).to(device), decoded @ basis)
        (error * (one.weight / len(drawn))).backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            q, r = torch.linalg.qr(basis.T)
            basis.copy_((q * torch.sign(torch.diagonal(r))).T)
    levels = zip(model.levels, words, scales, strict=True)
    return Model(
        basis.detach().double().cpu().numpy(),
        tuple(FloatLevel(level.channels, word.detach().double().cpu().numpy() * s) for level, word, s in levels),
    )
