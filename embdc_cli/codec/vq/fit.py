"""Fits the chain of one token group for vector quantisation: basis, levels, and what their flags cost, at any step.

Two passes over the sample: moments, then tokens to learn levels from (spread evenly) and rows to count flags in.
Learnt levels come first, as long as a bit of indices and codewords saves more error than a bit of the next Gaussian
level would (`gaussian`), which needs no codewords; these follow until a bit saves less than it may cost. A codebook
offers a basis and levels that cost no bytes, which come before those learnt: both ways are tried on rows kept of the
sample, and the cheaper one is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform import bases
from embdc_cli.codec.transform.basis import Basis, exponents_for
from embdc_cli.codec.transform.candidate import Candidate
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.models import GroupModels
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.parameters import SegmentStage
from embdc_cli.codec.transform.sparse_fit import grid_width
from embdc_cli.codec.transform.token_group import TokenGroup
from embdc_cli.codec.vq import gaussian
from embdc_cli.codec.vq.borrowed import NONE, Borrowed
from embdc_cli.codec.vq.indices import CONTEXTS, answered
from embdc_cli.codec.vq.learning import Learner, Learnt
from embdc_cli.codec.vq.lending import chosen, left_by
from embdc_cli.codec.vq.levels import MAX_LEVELS, LearntLevel
from embdc_cli.codec.vq.quantiser import (
    MAX_QUANTA,
    VectorIndices,
    VectorQuantiser,
    counted_classes,
    even_classes,
)
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.values import StreamSpec

_LEARNT_VALUES: Final = 1 << 23
_PROBE_VALUES: Final = 1 << 19
_ROUNDS: Final = (4, 8, 12, 20)
"""Of k-means, by effort."""
_MOST_LEARNT: Final = 32
_QUANTA_PER_STEP: Final = 6
"""Octaves: what rounding to quanta adds to the error is 2^-12 of a quantiser's."""
_NOISE: Final = 1 / 12
_COUNTED: Final = 2
"""Times that flags are counted and priced anew."""
_RANKS: Final = 8


class VectorFit(TokenGroup):
    """Call `add_moments` for every chunk of tokens (F, N, D), then `prepare`, then `add_coefficients` for each."""

    def __init__(
        self,
        spec: StreamSpec,
        channels: int,
        effort: int,
        weighting: Weighting,
        codebook: Codebook | None,
        scale: float,
    ) -> None:
        """scale: tokens of the segment per token of the sample."""
        super().__init__(spec, channels, weighting, scale)
        self.effort = effort
        self._codebook = codebook if weighting.kind == "none" else None
        self._bases: list[Candidate] = []
        self._drawn: list[np.ndarray] = []
        self._seen = 0
        self._probe: list[np.ndarray] = []
        self._learners: dict[tuple[object, ...], Learner] = {}
        self._lent: Candidate | None = None
        self._samples: dict[int, np.ndarray] = {}

    def prepare(self) -> None:
        """Between the passes: the weighted domain, and the bases to choose from."""
        domain = self.find_domain()
        mean, covariance = self.moments.mean, domain.covariance
        self._bases = [bases.identity(domain, mean, (1,))]
        if covariance is not None and domain.energy > 0:
            own = bases.own_klt(domain, covariance, mean, (1,))
            # other bases than the KLT are not orthonormal in a metric between channels
            self._bases = [own] if domain.metric is not None else [*self._bases, own]
            if self._codebook is not None:
                lent = bases.from_codebook(domain, self._codebook, mean, self.moments.count, (1,))
                variances = ((covariance @ lent.analysis) * lent.analysis).sum(axis=0)
                self._lent = replace(lent, variances=np.maximum(variances, 0.0))

    def add_coefficients(self, tokens: np.ndarray) -> None:
        """Second pass."""
        scale = self.domain.scale
        u = self.token_scaled(tokens) - self.moments.mean.astype(np.float32)
        u = u if scale is None else u / scale
        flat = u.reshape(u.shape[0] * u.shape[1], u.shape[2])
        every = max(1, -(-self.moments.count * u.shape[-1] // _LEARNT_VALUES))
        self._drawn.append(flat[-self._seen % every :: every].copy())
        self._seen += len(flat)
        room = _PROBE_VALUES - sum(rows.size for rows in self._probe)
        if u.size and (room >= u[0].size or not self._probe):
            self._probe.append(u[: max(1, room // u[0].size)].copy())

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        drawn = sum(part.nbytes for part in self._drawn)
        return 24 * self.moments.channels**2 + drawn * (1 + len(self._samples) + len(self._learners)) + (1 << 20)

    def best(self, step: float) -> Offer:
        """What a scalar quantiser of `step` would cost in the better basis; vectors come near it at low rates."""
        basis = self._basis(step)
        noise = np.minimum(basis.variances, _NOISE * step**2)
        return Offer(
            distortion=float(noise.sum() / step**2) * self.tokens,
            bits=_bits(basis, step, self.tokens),
            build=lambda tables: [],
            mean=self.moments.mean,
        )

    def models(self, offer: Offer, step: float, tables: CodingTables) -> GroupModels:
        """The chain for `step`: with the codebook, where there is one and rows of the sample cost less so."""
        del tables
        own = self._chain(self._basis(step), step, ())
        if self._lent is None or self._codebook is None:
            return GroupModels(own, 1)
        with_codebook = self._chain(self._lent, step, self._codebook.levels)
        cost, cost_with = self._cost_of(own, step), self._cost_of(with_codebook, step)
        cost_with.bits += self._lent.reference_bits
        excess = cost_with.above(cost)
        return GroupModels(own, 1, excess) if excess > 0 else GroupModels(with_codebook, 1)

    def _chain(self, basis: Candidate, step: float, offered: tuple[LearntLevel, ...]) -> Chain:
        """Everything, with levels of a codebook where some are offered."""
        sample = self._sample(basis)
        borrowed = chosen(offered, sample, LAMBDA * step**2, MAX_LEVELS)
        learner = self._learner((id(basis), borrowed.places), left_by(borrowed, sample))
        learnt = self._worthwhile(learner, step, MAX_LEVELS - len(borrowed.places))
        channels = [*(level.channels for level in learnt), *(level.channels for level in borrowed.levels)]
        reached = max((int(some[-1]) + 1 for some in channels), default=0)
        rank = max(reached, _rank(basis, step, self.tokens))
        stage = basis.build(rank, exponents_for(basis.variances, step, self.tokens)[:rank])
        quantiser = self._quantiser(learner, learnt, borrowed, step, _signs(basis, stage), rank)
        quantiser = counted(quantiser, [stage.forward(rows, b"") for rows in self._probe])
        head = self.head(self.moments.mean, basis.known_mean, step)
        return Chain([*head, stage, quantiser, VectorIndices(quantiser)])

    def _cost_of(self, chain: Chain, step: float) -> Cost:
        """Of the segment, as the rows kept tell."""
        *head, basis, quantiser, coder = (stage for stage in chain.stages if isinstance(stage, SegmentStage))
        assert isinstance(basis, ArrayStage)
        assert isinstance(quantiser, VectorQuantiser)
        assert isinstance(coder, VectorIndices)
        out = FieldWriter()
        for stage in (*head, basis, quantiser):
            stage.write(out)
        error = bits = tokens = 0.0
        for rows in self._probe:
            codes = quantiser.forward(basis.forward(rows, b""), b"")
            decoded = basis.inverse(quantiser.inverse(codes, b""), b"")
            error += float(np.square(rows - decoded, dtype=np.float64).sum())
            bits += 8.0 * len(coder.encode(codes, b""))
            tokens += rows.shape[0] * rows.shape[1]
        scale = self.tokens / max(1.0, tokens)
        return Cost(error * scale / step**2, bits * scale + 8.0 * len(out.bytes()))

    def _basis(self, step: float) -> Candidate:
        return min(self._bases, key=lambda basis: _cost(basis, step, self.tokens))

    def _worthwhile(self, learner: Learner, step: float, most: int) -> list[Learnt]:
        """Levels that save more for their bits than Gaussian ones would, and than a bit may cost."""
        found: list[Learnt] = []
        even = np.ones(self.moments.channels, np.float32)
        while learner.able and len(found) < min(_MOST_LEARNT, most):
            level = learner.level(len(found))
            codewords = _level_bits(self._rounded(level, step, even), level) / self.tokens
            bits = float(np.log2(len(level.centres))) + codewords
            if level.saved < max(LAMBDA * step**2 * bits, gaussian.saved_for(learner.energies(len(found)), bits)):
                break
            found.append(level)
        return found

    def _quantiser(
        self,
        learner: Learner,
        learnt: list[Learnt],
        borrowed: Borrowed,
        step: float,
        signs: np.ndarray,
        rank: int,
    ) -> VectorQuantiser:
        """Levels and their scales, flags not counted yet. signs: (rank,) of the vectors as coded."""
        energies = learner.energies(len(learnt))[:rank]
        largest = max((float(np.abs(part).max(initial=0.0)) for part in self._drawn), default=0.0)
        exponent = quantum_exponent(
            step, max([largest, *(float(np.abs(lent.centres()).max()) for lent in borrowed.levels)])
        )
        room = MAX_LEVELS - 1 - len(learnt) - len(borrowed.places)
        return VectorQuantiser(
            step=step,
            exponent=exponent,
            rank=rank,
            learnt=tuple(self._rounded(level, step, signs) for level in learnt),
            scales=scales_of(energies, exponent),
            gaussian=max(0, min(gaussian_levels(energies, LAMBDA * step**2), room)),
            width=grid_width(self.spec, self.tokens_per_row, self.spec.channels // max(1, self.moments.channels)),
            classes=even_classes(0),
            borrowed=borrowed if borrowed.places else NONE,
        )

    def _sample(self, basis: Candidate) -> np.ndarray:
        """(n, R) float32: coefficients of the tokens drawn."""
        if id(basis) not in self._samples:
            drawn = np.concatenate(self._drawn) if self._drawn else np.zeros((0, self.moments.channels), np.float32)
            self._samples[id(basis)] = drawn if basis.analysis is None else drawn @ basis.analysis
        return self._samples[id(basis)]

    def _learner(self, key: tuple[object, ...], sample: np.ndarray) -> Learner:
        """The learner of a basis and the levels borrowed before; the last one of each basis is kept."""
        if key not in self._learners:
            others = {known: learner for known, learner in self._learners.items() if known[0] != key[0]}
            new = Learner(sample, self.tokens if len(sample) else 0.0, _ROUNDS[self.effort])
            self._learners = {**others, key: new}
        return self._learners[key]

    def _rounded(self, found: Learnt, step: float, signs: np.ndarray) -> LearntLevel:
        """Codewords as precise as the tokens that share one deserve."""
        sharing = max(1.0, self.tokens / len(found.centres))
        exponent = round(float(np.log2(step) + 0.5 - 0.5 * np.log2(sharing)))
        return LearntLevel.rounded(found.channels, found.centres * signs[found.channels], exponent)


@dataclass
class Cost:
    """Of a segment. error: in squared steps."""

    error: float
    bits: float

    def above(self, other: Cost) -> float:
        """How much more this costs, in bits at the error of `other`, relative to its bits."""
        return ((self.error - other.error) / LAMBDA + self.bits - other.bits) / max(1.0, other.bits)


def quantum_exponent(step: float, largest: float) -> int:
    """Of a quantum, for coefficients and codewords up to `largest`."""
    finest = np.frexp(max(largest, 1e-30) / MAX_QUANTA)[1] + 2
    return int(np.clip(max(np.floor(np.log2(step)) - _QUANTA_PER_STEP, finest), -100, 100))


def counted(quantiser: VectorQuantiser, probe: list[np.ndarray], times: int = _COUNTED) -> VectorQuantiser:
    """With classes for the flags of coefficients (F, N, r) like those, counted and priced anew so many times."""
    levels = len(quantiser.levels)
    quantiser = quantiser.with_classes(even_classes(levels))
    for _ in range(times):
        counts = np.zeros((levels, CONTEXTS, 2), np.int64)
        for y in probe:
            codes = quantiser.forward(y, b"")
            for level, answers in enumerate(answered(codes, quantiser.width)):
                for contexts, found in answers.asked:
                    np.add.at(counts[level], (contexts, found), 1)
        quantiser = quantiser.with_classes(counted_classes(counts))
    return quantiser


def _signs(basis: Candidate, stage: ArrayStage) -> np.ndarray:
    """(rank,) float32: -1 where a stage codes the opposite of a vector, as reflections may."""
    if basis.analysis is None or not isinstance(stage, Basis):
        return np.ones(len(basis.variances), np.float32)
    same = (stage.analysis * basis.analysis[:, : stage.analysis.shape[1]]).sum(axis=0)
    return np.where(same < 0, np.float32(-1), np.float32(1))


def gaussian_levels(energies: np.ndarray, lagrangian: float) -> int:
    """How many levels save at least what their bits may cost, on average."""
    if not energies.any():
        return 0
    each = (1 - gaussian.LEFT) * gaussian.block_energies(energies) / (gaussian.INDEX_BITS * lagrangian)
    stages = np.ceil(np.log(np.maximum(each, 1e-9)) / -np.log(gaussian.LEFT))
    return int(np.maximum(stages, 0).sum())


def scales_of(energies: np.ndarray, exponent: int) -> np.ndarray:
    """(r,) int32: the scales of Gaussian levels for coefficients with these mean squares, in quanta of 2^exponent."""
    deviations = np.ldexp(np.sqrt(energies), -exponent)
    codes = np.rint(4 * np.log2(np.maximum(deviations, 1e-9)))
    return np.asarray(np.clip(codes, -gaussian.MAX_SCALE, gaussian.MAX_SCALE), np.int32)


def _level_bits(level: LearntLevel, found: Learnt) -> float:
    deviations = np.ldexp(found.centres.std(axis=0), -level.exponent)
    return float(len(found.centres) * np.maximum(0.2, 2.05 + np.log2(np.maximum(deviations, 1e-9))).sum())


def _rank(basis: Candidate, step: float, tokens: float) -> int:
    """How many basis vectors save more bits than they cost; whole blocks of them."""
    if not basis.truncates:
        return len(basis.variances)
    gain = _gains(basis, step) * tokens
    if not basis.entries.any():  # a codebook's vectors are free, and not in the order of the segment's variances
        return min(-(-max(1, int(np.flatnonzero(gain > 0).max(initial=0)) + 1) // _RANKS) * _RANKS, len(gain))
    rank = max(1, int((gain > _entry_costs(basis, step, tokens)).sum()))
    return min(-(-rank // _RANKS) * _RANKS, len(basis.variances))


def _gains(basis: Candidate, step: float) -> np.ndarray:
    return np.asarray(0.5 * (np.log2(np.maximum(basis.variances, 1e-300)) - np.log2(_NOISE * step**2)))


def _entry_costs(basis: Candidate, step: float, tokens: float) -> np.ndarray:
    exponents = exponents_for(basis.variances, step, tokens)
    return np.asarray(basis.entries * np.maximum(0.2, 2.05 - exponents - 0.5 * np.log2(np.maximum(basis.entries, 1))))


def _cost(basis: Candidate, step: float, tokens: float) -> float:
    """Of a scalar quantiser, in squared steps."""
    error = np.minimum(basis.variances / step**2, _NOISE)
    rank = _rank(basis, step, tokens)
    missed = basis.variances[rank:].sum() / step**2
    return float(error[:rank].sum() + missed) * tokens + LAMBDA * _bits(basis, step, tokens)


def _bits(basis: Candidate, step: float, tokens: float) -> float:
    """Of a scalar quantiser, and of the vectors it uses."""
    bits = np.maximum(0.0, _gains(basis, step)).sum() * tokens
    return float(bits + _entry_costs(basis, step, tokens)[: _rank(basis, step, tokens)].sum())
