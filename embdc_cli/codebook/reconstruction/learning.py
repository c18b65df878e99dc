"""The weights of a network: Adam on the share of the squared error that is left, every stream and step counting alike.

Starts from gates of nearly 0, so from the identity, and is rounded to integers in the end. In numpy: batches are small
and the network is smaller, so that calling torch would take ten times as long as the arithmetic.
Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from embdc_cli.codebook.reconstruction.pairs import Pairs
from embdc_cli.codec.reconstruction.network import Layer, Network, shapes

RADIUS: Final = 2
HIDDEN: Final = 16
STEPS: Final = 800
_BATCH: Final = 256
_TOGETHER: Final = 4
_RATE: Final = 3e-3
_MEMORY: Final = (0.9, 0.999)
_LEAST: Final = 1e-8
_GATES_START: Final = 0.1

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""features (n, I), linear (n, K), square (n, K, K): the loss is the sum of g square g - 2 linear g."""


def learnt_network(pairs: Sequence[Pairs], seed: int) -> Network:
    """A network for what the pairs are a sample of."""
    rng = np.random.default_rng(seed)
    sizes = shapes(RADIUS, HIDDEN)
    weights = [rng.uniform(-1, 1, (outputs, inputs)) / np.sqrt(inputs) for inputs, outputs in sizes]
    weights[-1] *= _GATES_START
    parameters = [*weights, *(np.zeros(outputs) for _, outputs in sizes)]
    first, second = ([np.zeros_like(one) for one in parameters] for _ in range(2))
    rounds = 1 + STEPS * _TOGETHER // len(pairs)
    order = [pairs[number] for _ in range(rounds) for number in rng.permutation(len(pairs))]
    for step in range(STEPS):
        batch = drawn(order[step * _TOGETHER : (step + 1) * _TOGETHER], rng)
        rate = _RATE * (1 - step / STEPS)
        faded = [1 - memory ** (step + 1) for memory in _MEMORY]
        for value, slope, mean, spread in zip(parameters, gradient(parameters, batch), first, second, strict=True):
            mean += (1 - _MEMORY[0]) * (slope - mean)
            spread += (1 - _MEMORY[1]) * (slope**2 - spread)
            value -= rate * (mean / faded[0]) / (np.sqrt(spread / faded[1]) + _LEAST)
    half = len(parameters) // 2
    layers = zip(parameters[:half], parameters[half:], strict=True)
    return Network(RADIUS, tuple(Layer.rounded(weight, bias) for weight, bias in layers))


def drawn(pairs: Sequence[Pairs], rng: np.random.Generator) -> Batch:
    """Some tokens of each; their loss is what they say of the share of its error that is left, less 1; the sum."""
    places = [rng.integers(len(one.features), size=_BATCH) for one in pairs]
    found = [(one, some, len(one.features) / _BATCH / one.error) for one, some in zip(pairs, places, strict=True)]
    return (
        np.concatenate([one.features[some] for one, some, _ in found]).astype(np.float64),
        np.concatenate([one.linear[some] * scale for one, some, scale in found]),
        np.concatenate([one.square[some] * scale for one, some, scale in found]),
    )


def loss(parameters: Sequence[np.ndarray], batch: Batch) -> float:
    """Of the weights of every layer and then the biases of every layer."""
    gates = _activations(parameters, batch[0])[-1]
    return float((((batch[2] * gates[:, None]).sum(axis=2) - 2 * batch[1]) * gates).sum())


def gradient(parameters: Sequence[np.ndarray], batch: Batch) -> list[np.ndarray]:
    """Of `loss` by the same."""
    half = len(parameters) // 2
    *inner, gates = _activations(parameters, batch[0])
    back = 2 * ((batch[2] * gates[:, None]).sum(axis=2) - batch[1])
    slopes: list[np.ndarray] = [np.zeros(0)] * len(parameters)
    for layer in range(half - 1, -1, -1):
        slopes[layer], slopes[half + layer] = back.T @ inner[layer], back.sum(axis=0)
        back = (back @ parameters[layer]) * (inner[layer] > 0)
    return slopes


def _activations(parameters: Sequence[np.ndarray], features: np.ndarray) -> list[np.ndarray]:
    """The input of every layer, and the gates."""
    half = len(parameters) // 2
    found = [features]
    for layer in range(half):
        sums = found[-1] @ parameters[layer].T + parameters[half + layer]
        found.append(np.maximum(sums, 0) if layer < half - 1 else sums)
    return found
