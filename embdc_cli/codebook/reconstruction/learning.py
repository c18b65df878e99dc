"""The weights of a network: Adam on the share of the squared error that is left, every stream and step counting alike.

Rounded to integers in the end; that costs nothing that can be measured. Starts from gates of nearly 0, so from the
identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from embdc_cli.codebook.reconstruction.pairs import Pairs
from embdc_cli.codec.reconstruction.network import Layer, Network, shapes

if TYPE_CHECKING:
    import torch

RADIUS: Final = 2
HIDDEN: Final = 16
STEPS: Final = 800
_BATCH: Final = 256
_TOGETHER: Final = 4
_RATE: Final = 3e-3
_GATES_START: Final = 0.1


def learnt_network(pairs: Sequence[Pairs], seed: int) -> Network:
    """A network for what the pairs are a sample of."""
    import torch

    rng = np.random.default_rng(seed)
    weights = [
        torch.from_numpy(rng.uniform(-1, 1, (outputs, inputs)).astype(np.float32) / np.sqrt(np.float32(inputs)))
        for inputs, outputs in shapes(RADIUS, HIDDEN)
    ]
    weights[-1] *= _GATES_START
    biases = [torch.zeros(len(weight)) for weight in weights]
    parameters = [one.requires_grad_() for one in (*weights, *biases)]
    optimiser = torch.optim.Adam(parameters, lr=_RATE)
    rounds = 1 + STEPS * _TOGETHER // len(pairs)
    order = [pairs[number] for _ in range(rounds) for number in rng.permutation(len(pairs))]
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = _RATE * (1 - step / STEPS)
        left = _left(order[step * _TOGETHER : (step + 1) * _TOGETHER], rng, weights, biases)
        optimiser.zero_grad()
        left.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = zip(weights, biases, strict=True)
    return Network(RADIUS, tuple(Layer.rounded(w.detach().numpy(), b.detach().numpy()) for w, b in found))


def _left(
    batch: Sequence[Pairs], rng: np.random.Generator, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor]
) -> torch.Tensor:
    """What some tokens of each say of the share of its error that is left, less 1; the sum."""
    import torch

    places = [rng.integers(len(one.features), size=_BATCH) for one in batch]
    drawn = list(zip(batch, places, strict=True))
    gates = torch.from_numpy(np.concatenate([one.features[some] for one, some in drawn]))
    scales = [len(one.features) / _BATCH / one.error for one in batch]
    linear = np.concatenate([one.linear[some] * scale for (one, some), scale in zip(drawn, scales, strict=True)])
    square = np.concatenate([one.square[some] * scale for (one, some), scale in zip(drawn, scales, strict=True)])
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        gates = torch.relu(gates @ weight.T + bias)
    gates = gates @ weights[-1].T + biases[-1]
    added = ((gates[:, None] @ torch.from_numpy(square.astype(np.float32)))[:, 0] * gates).sum()
    return added - 2 * (gates * torch.from_numpy(linear.astype(np.float32))).sum()
