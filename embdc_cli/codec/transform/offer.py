"""What one way to code a token group costs at a step, and how its stages are made if it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.stage import Stage
from embdc_cli.codec.transform.estimate import LAMBDA, entropy
from embdc_cli.entropy.coding_tables import CodingTables


def mean_bits(mean: np.ndarray | None, known: np.ndarray | None, precision: float) -> float:
    """Bits for a mean (D,) in units of `precision`, of which the decoder knows `known`; 0 for no mean."""
    if mean is None or not mean.size:
        return 0.0
    difference = mean if known is None else mean - known
    return float(mean.size * (entropy(np.abs(difference).mean() / precision) + 1.0))


@dataclass(frozen=True)
class Offer:
    """For the whole segment. distortion: in squared steps. bits: of models and chunks.

    build: the stages after normalisation. mean: what normalisation takes out (D,), None for nothing; known_mean: what
    the decoder knows of it, None unless the basis is a codebook's. group: rows in a full temporal group.
    """

    distortion: float
    bits: float
    build: Callable[[CodingTables], list[Stage]]
    mean: np.ndarray | None
    known_mean: np.ndarray | None = None
    group: int = 1

    @property
    def cost(self) -> float:
        """In squared steps."""
        return self.distortion + LAMBDA * self.bits
