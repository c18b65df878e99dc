"""One way to code a token group: a basis, and what the sample's coefficients in it look like at each group length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Final

import numpy as np

from embdc_cli.codec.stage import ArrayStage, Stage
from embdc_cli.codec.transform.basis import BASIS_FIRST_RANK, apply, exponents_for
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.estimate import LAMBDA, Estimate, entropy, estimate
from embdc_cli.codec.transform.histogram import Histogram
from embdc_cli.codec.transform.offer import Offer, mean_bits
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.entropy.coding_tables import CodingTables

_CLASS_BITS: Final = 2.0  # a class costs about this as a difference to its neighbour

BuildBasis = Callable[[int, np.ndarray], ArrayStage]
"""(rank, exponents (rank,)) -> the stage with that many basis vectors at those precisions."""


@dataclass
class Candidate:
    """A basis in which the sample is counted.

    analysis: (D, R) float32 for all R vectors that there are, None for the identity. mean: (D,) float64 that is taken
    out first, None to take out nothing. variances: (R,) of the coefficients. entries: (R,) integers that each vector
    costs, 0 where free. truncates: whether trailing vectors may be dropped. build: makes the stage.
    unit: typical coefficient. known_mean: (D,) that the decoder has anyway, None for zeros.
    outside: squared error of the sample that no vector reaches. reference_bits: what naming the basis costs.
    """

    analysis: np.ndarray | None
    mean: np.ndarray | None
    variances: np.ndarray
    entries: np.ndarray
    truncates: bool
    build: BuildBasis
    unit: float
    groups: Sequence[int]
    known_mean: np.ndarray | None = None
    outside: float = 0.0
    reference_bits: float = 0.0
    histograms: dict[int, Histogram] = field(init=False)

    def __post_init__(self) -> None:
        rank = len(self.variances)
        self.histograms = {group: Histogram(group, rank, self.unit) for group in self.groups}

    def observe(self, u: np.ndarray) -> None:
        """Count one chunk: u (F, N, D) float32, normalised."""
        y = u if self.analysis is None else apply(u, self.analysis)
        for group, histogram in self.histograms.items():
            histogram.add(y if group == 1 else TimeDct(group).forward(y, b""))

    def offer(self, step: float, scale: float, tokens: float) -> Offer:
        """The best group length and rank at `step`. scale: segment tokens / sample tokens; tokens: of the segment."""
        fixed_bits = mean_bits(self.mean, self.known_mean, step / float(np.sqrt(tokens))) + self.reference_bits
        exponents = exponents_for(self.variances, step, tokens)
        magnitude = 0.8 * np.exp2(-exponents) / np.sqrt(np.maximum(self.entries, 1))
        basis_bits = self.entries * (entropy(magnitude) + np.minimum(magnitude, 1.0))
        offers = []
        for group, histogram in self.histograms.items():
            found = estimate(histogram, step)
            bits = found.bits * scale + basis_bits + _CLASS_BITS * len(found.classes)
            saved = (found.energy - found.distortion) * scale
            rank = len(saved)
            if self.truncates:
                rank = int(np.argmax(np.concatenate([[0.0], np.cumsum(saved - LAMBDA * bits)])))
            offers.append(
                Offer(
                    distortion=float((found.energy.sum() + self.outside / step**2) * scale - saved[:rank].sum()),
                    bits=float(bits[:rank].sum() + fixed_bits + found.track_bits * scale),
                    build=partial(self._stages, step, group, exponents[:rank], found),
                    mean=self.mean,
                    known_mean=self.known_mean,
                    group=group,
                )
            )
        return min(offers, key=attrgetter("cost"))

    def _stages(
        self, step: float, group: int, exponents: np.ndarray, found: Estimate, tables: CodingTables
    ) -> list[Stage]:
        rank = len(exponents)
        stages: list[Stage] = [self.build(rank, exponents)]
        if group > 1:
            # they commute; a decoder leaves out what it finds zero in a frequency if it is at the basis before the DCT
            dct_first = self.analysis is not None and rank >= BASIS_FIRST_RANK * group
            stages.insert(0 if dct_first else 1, TimeDct(group))
        return [*stages, DeadZone(step, found.offsets), Planes(group, found.classes[:, :rank], tables.planes)]
