"""Networks and streams that the tests of reconstruction share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codec.reconstruction.network import Layer, Network, shapes
from tests.codebook.codebook_cases import make_codebook

CHANNELS = 16


def steady_network(gate: float, radius: int = 1) -> Network:
    """Says `gate` of the row before and the row after, nothing of others, whatever it sees."""
    *inner, (inputs, outputs) = shapes(radius, 1)
    last = np.zeros(outputs)
    last[1:3] = gate
    layers = [Layer.rounded(np.zeros((o, i)), np.zeros(o)) for i, o in inner]
    return Network(radius, (*layers, Layer.rounded(np.zeros((outputs, inputs)), last)))


def codebook_with(network: Network | None, channels: int = CHANNELS) -> Codebook:
    """One whose basis serves nobody."""
    return replace(make_codebook(channels, 2, encoder=None), network=network)


def wavering(rows: int = 24, tokens: int = 40, seed: int = 0) -> np.ndarray:
    """(rows, tokens, CHANNELS) float32 about 3, that changes slowly and has directions of its own."""
    rng = np.random.default_rng(seed)
    state = rng.standard_normal((tokens, CHANNELS))
    out = np.empty((rows, tokens, CHANNELS))
    for row in out:
        state = 0.98 * state + 0.2 * rng.standard_normal(state.shape)
        row[:] = 3 + state @ np.diag(np.linspace(2, 0.4, CHANNELS))
    return out.astype(np.float32)
