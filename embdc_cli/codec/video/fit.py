"""Fits the chain of one token group for a video codec: which rotation, tiling and prediction, at any step.

Two passes over the sample: moments first, then the range of every channel under each rotation, and a few rows that are
kept. What is best is measured: the rows kept are coded in every way that the user allows, at about the step asked for,
and the smallest squared error plus bits wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.stage import ArrayStage
from embdc_cli.codec.transform import bases
from embdc_cli.codec.transform.basis import exponents_for
from embdc_cli.codec.transform.candidate import Candidate
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.models import GroupModels
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.sparse_fit import grid_width
from embdc_cli.codec.transform.token_group import TokenGroup
from embdc_cli.codec.video.hadamard import Hadamard
from embdc_cli.codec.video.levels import Levels
from embdc_cli.codec.video.options import VideoOptions
from embdc_cli.codec.video.samples import VideoBitstream, VideoSamples
from embdc_cli.codec.video.stream import DEPTHS, QUANTISERS, Coding, step_of
from embdc_cli.codec.video.tiling import Tiling
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec

_PROBE_VALUES: Final = (1 << 18, 1 << 20, 1 << 20, 1 << 21)
"""Values that every way is tried on, by effort."""
_HEADROOM: Final = 1.07
"""Ranges are those of the sample, and a step may still be nudged finer."""
_NOISE: Final = 1 / 12


@dataclass(frozen=True)
class Way:
    """One way to code: a rotation, the width of the grid (0: no mosaic), and whether frames predict each other."""

    rotation: str
    width: int
    inter: bool


@dataclass
class Range:
    """Least and greatest coefficient of every channel under one rotation, (R,) float32."""

    low: np.ndarray
    high: np.ndarray

    def take_in(self, y: np.ndarray) -> None:
        """y: (F, N, R)."""
        np.minimum(self.low, y.min(axis=(0, 1), initial=0.0), out=self.low)
        np.maximum(self.high, y.max(axis=(0, 1), initial=0.0), out=self.high)


class VideoFit(TokenGroup):
    """Call `add_moments` for every chunk of tokens (F, N, D), then `prepare`, then `add_coefficients` for each."""

    def __init__(
        self,
        spec: StreamSpec,
        channels: int,
        effort: int,
        weighting: Weighting,
        options: VideoOptions,
        scale: float,
    ) -> None:
        """scale: tokens of the segment per token of the sample."""
        super().__init__(spec, channels, weighting, scale)
        self.effort = effort
        self.options = options
        self._klt: Candidate | None = None
        self._ranges: dict[str, Range] = {}
        self._probe = np.zeros((0, 1, channels), np.float32)
        self._chosen: dict[int, Way] = {}

    def prepare(self) -> None:
        """Between the passes: the weighted domain, and the rotations to choose from."""
        domain = self.find_domain()
        channels = self.moments.channels
        if domain.covariance is not None and self.moments.count and domain.energy > 0:
            self._klt = bases.own_klt(domain, domain.covariance, self.moments.mean, (1,))
        for rotation in self._rotations():
            rank = channels if self._klt is None or rotation != "klt" else len(self._klt.variances)
            self._ranges[rotation] = Range(np.zeros(rank, np.float32), np.zeros(rank, np.float32))

    def _rotations(self) -> list[str]:
        """Those that the user allows and the data permits; a metric between channels needs the KLT."""
        asked = self.options.rotation
        if self.domain.metric is not None and asked in ("hadamard", "none"):
            raise UsageError(f"--rotation {asked}: not with a --weighting of a matrix, which needs klt")
        if self._klt is None:
            return ["hadamard" if asked == "hadamard" else "none"]
        if self.domain.metric is not None:
            return ["klt"]
        return ["klt", "hadamard", "none"] if asked == "auto" else [asked]

    def add_coefficients(self, tokens: np.ndarray) -> None:
        """Second pass."""
        u = self._normalised(tokens)
        for rotation, found in self._ranges.items():
            found.take_in(u if rotation == "none" else self._rotated(u, rotation))
        if not self._probe.size and u.size:
            self._probe = u[: max(1, _PROBE_VALUES[self.effort] // u[0].size)].copy()

    def _normalised(self, tokens: np.ndarray) -> np.ndarray:
        u = self.token_scaled(tokens) - self.moments.mean.astype(np.float32)
        scale = self.domain.scale
        return np.asarray(u if scale is None else u / scale)

    def _rotated(self, u: np.ndarray, rotation: str) -> np.ndarray:
        if rotation == "hadamard":
            return Hadamard().forward(u, b"")
        assert self._klt is not None
        assert self._klt.analysis is not None
        return np.asarray(u @ self._klt.analysis)

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        held = 24 * self.moments.channels**2 if self.moments.pairs else 0
        return held + self._probe.nbytes + (1 << 20)

    def best(self, step: float) -> Offer:
        """What a uniform quantiser of `step` would cost under the KLT; video codecs come near it, from either side."""
        variances = self.domain.variance if self._klt is None else self._klt.variances
        noise = np.minimum(variances, _NOISE * step**2)
        bits = 0.5 * np.log2(np.maximum(variances, 1e-300) / np.maximum(noise, 1e-300))
        return Offer(
            distortion=float(noise.sum() / step**2) * self.tokens,
            bits=float(bits.sum()) * self.tokens + self._basis_bits(step),
            build=lambda tables: [],
            mean=self.moments.mean,
        )

    def models(self, offer: Offer, step: float, tables: CodingTables) -> GroupModels:
        """The chain for `step`, of the way that coded the rows kept best."""
        del tables
        return GroupModels(self._chain(self._way(step), step, offer.mean), 1)

    def _way(self, step: float) -> Way:
        """The best way at about this step: what is best changes slowly, and measuring it is most of the work.

        Measured at the middle of every two octaves, so that it does not depend on what else was asked for before.
        """
        octaves = round(float(np.log2(step)) / 2)
        if octaves not in self._chosen:
            self._chosen[octaves] = self._cheapest(4.0**octaves)
        return self._chosen[octaves]

    def _cheapest(self, step: float) -> Way:
        """The best of all with prediction between frames, if that is allowed; then the same without."""
        ways = list(self._ways())
        best = ways[0] if len(ways) == 1 else min(ways, key=lambda way: self._cost(way, step))
        if self.options.inter != "auto" or not best.inter:
            return best
        return min(best, replace(best, inter=False), key=lambda way: self._cost(way, step))

    def _ways(self) -> Iterator[Way]:
        """Principal components as pictures where there is a grid; channels as pictures, or with tokens as a matrix."""
        grid = grid_width(self.spec, self.tokens_per_row, self.spec.channels // self.moments.channels)
        if grid in (1, self.tokens_per_row):
            grid = 0
        for rotation in self._ranges:
            for width in {"klt": (grid,), "hadamard": (0,), "none": (0, grid)}[rotation][: 2 if grid else 1]:
                tiling = Tiling(width, (self.longest, self.tokens_per_row, self._ranges[rotation].low.size))
                inter = self.options.inter != "off" and tiling.frames[0] > 1
                yield Way(rotation, width if tiling.fits else 0, inter)

    def _cost(self, way: Way, step: float) -> float:
        """Squared error of the rows kept, in squared steps, and their bits and share of the models'."""
        if not self._probe.size:
            return 0.0
        basis, samples = self._stages(way, step)
        y = basis.forward(self._probe, b"")
        bitstream = samples.measure(y)
        decoded = basis.inverse(samples.inverse(samples.forward(y, bitstream), bitstream), b"")
        error = float(((decoded - self._probe).astype(np.float64) ** 2).sum())
        share = self._probe.shape[0] * self._probe.shape[1] / self.tokens
        model_bits = self._basis_bits(step) if way.rotation == "klt" else 0.0
        return error / step**2 + LAMBDA * (8 * len(bitstream) + share * model_bits)

    def _chain(self, way: Way, step: float, mean: np.ndarray | None) -> Chain:
        basis, samples = self._stages(way, step)
        return Chain([*self.head(mean, None, step), basis, samples, VideoBitstream(samples)])

    def _stages(self, way: Way, step: float) -> tuple[ArrayStage, VideoSamples]:
        found = self._ranges[way.rotation]
        low, high = found.low * _HEADROOM, found.high * _HEADROOM
        basis: ArrayStage
        if way.rotation == "klt":
            assert self._klt is not None
            rank = self._rank(step)
            low, high = low[:rank], high[:rank]
            basis = self._klt.build(rank, exponents_for(self._klt.variances, step, self.tokens)[:rank])
        else:
            basis = Hadamard() if way.rotation == "hadamard" else Identity()
        standard = self.options.standard
        quantiser = best_quantiser(standard, step, high - low)
        coding = Coding(standard, quantiser, way.inter, self.effort)
        levels = Levels.fit(low, high, step / step_of(standard, quantiser), coding.depth)
        return basis, VideoSamples(coding, step, way.width, levels, self.options.backend)

    def _rank(self, step: float) -> int:
        """How many basis vectors save more bits than they cost; their variances fall."""
        assert self._klt is not None
        variances = self._klt.variances
        gain = 0.5 * np.log2(np.maximum(variances, 1e-300) / (_NOISE * step**2)) * self.tokens
        costs = self._klt.entries * _entry_bits(self._klt, step, self.tokens)
        return max(1, int((gain > costs).sum()))

    def _basis_bits(self, step: float) -> float:
        if self._klt is None:
            return 0.0
        rank = self._rank(step)
        return float((self._klt.entries * _entry_bits(self._klt, step, self.tokens))[:rank].sum())


def _entry_bits(klt: Candidate, step: float, tokens: float) -> np.ndarray:
    """About how many bits an entry of each basis vector takes."""
    exponents = exponents_for(klt.variances, step, tokens)
    return np.asarray(np.maximum(0.2, 2.05 - exponents - 0.5 * np.log2(np.maximum(klt.entries, 1))))


def best_quantiser(standard: str, step: float, spreads: np.ndarray) -> int:
    """The quantiser of the video codec at which samples of `step` in all cost least.

    A fine quantiser needs few levels, and rounding to samples adds to its error; a coarse one needs many, and channels
    whose range `spreads` (r,) does not fit get samples 2^e times as coarse: error 4^e for e bits less, at equal slope.
    """
    top = (1 << DEPTHS[standard]) - 1

    def cost(quantiser: int) -> float:
        levels = step_of(standard, quantiser)
        octaves = np.log2(np.maximum(spreads * levels / (step * top), 1e-30))
        coarser = np.maximum(0.0, np.ceil(octaves))
        error = (4.0**coarser).mean() * (1 + levels**-2)
        return float(error - 2 * np.log(2) * coarser.mean())

    first, last = QUANTISERS[standard]
    return min(range(first, last + 1), key=cost) if spreads.size else first
