"""Whether a segment is decoded with the network of its codebook, and how much of what that says is taken.

With e the error of decoded tokens and c what the network adds, the strength a is that of the least |e - a c|^2. It is
measured on rows of the sample, coded as they will be.
Squared error for bits: where the error falls by a share g, a step coarser by as much has saved nearly the same share of
the bits. So the network is taken where g of them are more than its parameters, and g is worth the time it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.reconstruction.stage import FULL, MAX_STRENGTH, Reconstruction
from embdc_cli.codec.transform.normalise import Normalise

WORTHWHILE: Final = 0.01
"""Of the error: for the 10 ns that a value takes; without the network 23 for `vq`, 6 for a mixture."""
_PARAMETER_BITS: Final = 8.0 * 14


@dataclass(frozen=True)
class Effect:
    """Sums over values: error and correction with themselves and each other."""

    error: float = 0.0
    both: float = 0.0
    correction: float = 0.0

    @classmethod
    def of(cls, chain: Chain, stage: Reconstruction, probe: Sequence[np.ndarray]) -> Effect:
        """What a stage does for tokens (F, N, D) of a chain that has none."""
        full = inserted(chain, stage)
        sums = np.zeros(3)
        for tokens in probe:
            coded = chain.encode(tokens)
            without = chain.reconstruct(coded)
            known = [b"" for _ in range(len(full.links) - len(coded.sides))]
            at = _place(chain)
            sides = (*coded.sides[:at], *known, *coded.sides[at:])
            correction = full.reconstruct(replace(coded, sides=sides)) - without
            error = tokens - without
            pairs = ((error, error), (error, correction), (correction, correction))
            sums += [float(np.einsum("fnd,fnd->", a, b, dtype=np.float64)) for a, b in pairs]
        return cls(*(float(one) for one in sums)) if np.isfinite(sums).all() else cls()

    @property
    def strength(self) -> int:
        """The best one, in sixteenths; 0 for none."""
        if self.correction <= 0:
            return 0
        return int(np.clip(np.rint(FULL * self.both / self.correction), 0, MAX_STRENGTH))

    def saved(self, strength: int) -> float:
        """Share of the squared error that this much of the network takes away."""
        part = strength / FULL
        return (2 * part * self.both - part**2 * self.correction) / self.error if self.error > 0 else 0.0


def inserted(chain: Chain, stage: Reconstruction) -> Chain:
    """The chain with the stage behind its means."""
    at = _place(chain)
    return Chain([*chain.stages[:at], stage, *chain.stages[at:]])


def chosen(chain: Chain, stage: Reconstruction, probe: Sequence[np.ndarray], mode: str, bits: float) -> Chain:
    """The chain with the stage, where it is worth it or `mode` says so. bits: of the segment.

    mode: "auto", or "on", which takes all of it whatever it does.
    """
    if mode == "on":
        return inserted(chain, stage)
    effect = Effect.of(chain, stage, probe)
    saved = effect.saved(effect.strength)
    if saved < WORTHWHILE or saved * bits < _PARAMETER_BITS:
        return chain
    return inserted(chain, replace(stage, strength=effect.strength))


def _place(chain: Chain) -> int:
    return 1 + next(number for number, stage in enumerate(chain.links) if isinstance(stage, Normalise))
