"""Codebooks made up for tests, of any size, from a seed."""

from __future__ import annotations

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.identity import Identity
from embdc_cli.codec.reconstruction.network import Layer, Network, shapes
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.entropy.tables import ROWS, SYMBOLS, TOTAL, Tables

ENCODER: Identity = {"name": "tiny-vit", "layer": -2, "weights_sha256": "ab" * 32}


def make_codebook(
    channels: int = 12,
    rank: int = 9,
    seed: int = 0,
    encoder: Identity | None = ENCODER,
    tables: CodingTables | None = None,
) -> Codebook:
    """A codebook with random integers in every field."""
    rng = np.random.default_rng(seed)
    basis = rng.integers(-300, 300, size=(rank, channels), dtype=np.int16)
    basis[:, 0] |= 1  # no vector is zero
    return Codebook(
        mean=rng.integers(-32768, 32768, size=channels).astype(np.int16),
        mean_exponent=-7,
        basis=basis,
        exponents=rng.integers(-15, -4, size=rank).astype(np.int8),
        spectrum=np.sort(rng.integers(-90, 40, size=rank).astype(np.int16))[::-1].copy(),
        tables=tables,
        encoder=encoder,
        training={"inputs": 3, "tokens": 4000, "seed": seed},
    )


def make_network(seed: int = 0, radius: int = 2, hidden: int = 5, size: float = 0.1) -> Network:
    """A network of random weights, whose gates are about as large as `size`."""
    rng = np.random.default_rng(seed)
    layers = [
        Layer.rounded(rng.standard_normal((outputs, inputs)) / np.sqrt(inputs), 0.3 * rng.standard_normal(outputs))
        for inputs, outputs in shapes(radius, hidden)
    ]
    last = layers[-1]
    shift = round(float(np.log2(size)))
    return Network(radius, (*layers[:-1], Layer(last.weights, last.biases, (last.exponents + shift).astype(np.int8))))


def make_tables(seed: int = 0) -> CodingTables:
    """Tables of every kind, different ones, in which every symbol can be coded."""
    rng = np.random.default_rng(seed)

    def table(rows: int) -> Tables:
        freq = rng.integers(1, TOTAL // SYMBOLS, size=(rows, SYMBOLS))
        freq[:, 0] += TOTAL - freq.sum(axis=1)
        return Tables(freq.astype(np.uint16))

    return CodingTables(table(ROWS), table(ROWS), table(2 * ROWS))
