"""What one way to code a token group costs at a step, and how its stages are made if it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embdc_cli.codec.stage import Stage
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.entropy.tables import Tables


@dataclass(frozen=True)
class Offer:
    """For the whole segment. distortion: in squared steps. bits: of models and chunks.

    build: the stages after normalisation. mean: what normalisation takes out (D,), None for nothing; known_mean: what
    the decoder knows of it. group: rows in a full temporal group.
    """

    distortion: float
    bits: float
    build: Callable[[Tables], list[Stage]]
    mean: np.ndarray | None
    known_mean: np.ndarray | None = None
    group: int = 1

    @property
    def cost(self) -> float:
        """In squared steps."""
        return self.distortion + LAMBDA * self.bits
