"""What a sample of one segment teaches, kept so that models for any step follow without another look at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec import exact_values
from embdc_cli.codec.layout import Layout
from embdc_cli.codec.reconstruction.network import Network
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.reconstruction.strength import chosen
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform.dead_zone import STEPS
from embdc_cli.codec.transform.group_fit import GroupFit
from embdc_cli.codec.transform.models import GroupModels, TransformModels
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.video.fit import VideoFit
from embdc_cli.codec.video.options import VideoOptions
from embdc_cli.codec.vq.fit import VectorFit
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec

_TABLES_PAY_FROM_BITS: Final = 1 << 17
"""Tables of a codebook save half a percent, and its name takes 256 bits: the least segment they are used for."""
_SPECIAL_PRECISION: Final = 0.5
_PROBES: Final = 4
_PROBE_VALUES: Final = 1 << 20
_PROBE_ROWS: Final = 8


@dataclass(frozen=True)
class FitOptions:
    """What the user decides. effort: 0..3. codebook: basis and tables to choose from, and to be referred to if chosen.

    padding: whether the stream has tokens of nothing but zeros that are to stay so.
    segment_rows: rows the models will serve; None takes those of the stream, or of the sample while they are unknown.
    video: code with a video codec instead of the mixture and the entropy coder. vector: with a vector quantiser.
    device: where that searches; codes are the same everywhere.
    reconstruction: whether decoders run the network of the codebook (`codec.reconstruction.strength`).
    """

    effort: int = 1
    weighting: Weighting = field(default_factory=Weighting)
    codebook: Codebook | None = None
    nonfinite_keep: bool = False
    padding: bool = False
    segment_rows: int | None = None
    video: VideoOptions | None = None
    vector: bool = False
    device: str = "cpu"
    reconstruction: str = "auto"


@dataclass(frozen=True)
class Foretold:
    """bits: of models and chunks. error: squared, in the weighted domain, relative to the centred values.

    cost: squared error in squared steps, bits at LAMBDA each. values: of the segment.
    """

    bits: float
    error: float
    cost: float
    values: float


class Fit:
    """Step-independent knowledge of one segment.

    sample: whole chunks in storage dtype (F, *row_shape), flat (n, D) when ragged, with their token counts.
    rms: root mean square of the centred sample in the weighted domain, the natural unit of the step.
    Raises: SourceError for NaN and infinities unless they are kept; UsageError for a codebook or weights of another
    number of channels.
    """

    rms: float

    def __init__(
        self,
        spec: StreamSpec,
        sample: Sequence[np.ndarray],
        token_counts: Sequence[np.ndarray] | None = None,
        options: FitOptions | None = None,
    ) -> None:
        self.spec = spec
        self.options = options or FitOptions()
        self.layout = Layout.of(spec, _largest(sample, spec))
        self._check_codebook()
        self._scale = self._segment_scale(sample, token_counts)
        fitted = [self._group_fit() for _ in self.layout.tokens]
        with np.errstate(all="ignore"):
            for group, tokens in self._tokens(fitted, sample):
                group.add_moments(tokens)
            for group in fitted:
                group.prepare()
            for group, tokens in self._tokens(fitted, sample):
                group.add_coefficients(tokens)
            self._probes = self._probes_of(fitted, sample) if self._network is not None else []
        self._groups = fitted
        values = sum(group.moments.count for group in fitted) * self.layout.fold
        energy = sum(group.energy for group in fitted)
        self.rms = float(np.ldexp(np.sqrt(energy / values), self.layout.exponent)) if values else 0.0

    def _group_fit(self) -> GroupFit | VideoFit | VectorFit:
        effort, weighting, video = self.options.effort, self.options.weighting, self.options.video
        if video is not None:
            return VideoFit(self.spec, self.layout.fold, effort, weighting, video, self._scale)
        fit = VectorFit if self.options.vector else GroupFit
        return fit(self.spec, self.layout.fold, effort, weighting, self.options.codebook, self._scale)

    @property
    def bytes_held(self) -> int:
        """About how much memory this takes."""
        probes = sum(rows.nbytes for probe in self._probes for rows in probe)
        return sum(group.bytes_held for group in self._groups) + probes

    def foretell(self, step: float) -> Foretold:
        """What coding the segment at `step` will cost, found without coding."""
        scaled = self._scaled(step)
        offers = [group.best(scaled * part) for group, part in self._parts]
        energy = sum(group.energy for group in self._groups) * self._scale
        squares = [part**2 for _, part in self._parts]
        distortion = sum(offer.distortion * square for offer, square in zip(offers, squares, strict=True)) * scaled**2
        return Foretold(
            bits=sum(offer.bits for offer in offers),
            error=distortion / energy if energy > 0 else 0.0,
            cost=sum(offer.cost * square for offer, square in zip(offers, squares, strict=True)),
            values=sum(group.moments.count for group in self._groups) * self.layout.fold * self._scale,
        )

    def models(self, step: float) -> TransformModels:
        """The models to code the segment with quantisation step `step`, in the units of the weighted values."""
        scaled = self._scaled(step)
        offers = [group.best(scaled * part) for group, part in self._parts]
        codebook = self.options.codebook
        named = any(offer.known_mean is not None for offer in offers)
        long = sum(offer.bits for offer in offers) > _TABLES_PAY_FROM_BITS
        tables = fixed_tables()
        if codebook is not None and codebook.tables is not None and (named or long) and not self.options.vector:
            named, tables = True, codebook.tables
        parts = list(zip(self._parts, offers, strict=True))
        groups = tuple(group.models(offer, scaled * part, tables) for (group, part), offer in parts)
        with np.errstate(all="ignore"):
            groups = self._reconstructed(groups, scaled, offers)
        improved = any(isinstance(stage, Reconstruction) for group in groups for stage in group.chain)
        return TransformModels(
            layout=self.layout,
            groups=groups,
            nonfinite_keep=self.options.nonfinite_keep,
            padding=self.options.padding,
            codebook=codebook if named or improved or any(group.by_codebook for group in groups) else None,
            codebook_tables=tables is not fixed_tables(),
        )

    @property
    def _network(self) -> Network | None:
        """The one to try, None where there is none."""
        options = self.options
        plain = options.weighting.kind == "none" and options.reconstruction != "off" and options.video is None
        return options.codebook.network if plain and options.codebook is not None else None

    def _probes_of(
        self, fitted: Sequence[GroupFit | VideoFit | VectorFit], sample: Sequence[np.ndarray]
    ) -> list[list[np.ndarray]]:
        """For every token group some runs of rows that lie evenly in the sample, which the network is tried on."""
        ends = np.cumsum([len(chunk) for chunk in sample])
        total = int(ends[-1]) if len(ends) else 0
        length = max(
            _PROBE_ROWS, _PROBE_VALUES // max(1, _PROBES * max((chunk[:1].size for chunk in sample), default=1))
        )
        runs = []
        for middle in ((2 * np.arange(_PROBES) + 1) * total // (2 * _PROBES)) if total else ():
            number = int(np.searchsorted(ends, middle, side="right"))
            chunk = sample[number]
            start = max(0, min(int(middle) - int(ends[number]) + len(chunk) - length // 2, len(chunk) - length))
            runs.append(chunk[start : start + length])
        found = list(self._tokens(fitted, runs))
        return [[tokens for own, tokens in found if own is group and tokens.size] for group in fitted]

    def _reconstructed(
        self, groups: tuple[GroupModels, ...], step: float, offers: Sequence[Offer]
    ) -> tuple[GroupModels, ...]:
        """With the network of the codebook where it is worth it."""
        network = self._network
        if network is None:
            return groups
        found = []
        for models, (group, part), offer, probe in zip(groups, self._parts, offers, self._probes, strict=True):
            if group.rms > 0 and probe:
                stage = Reconstruction.of(network, step * part, group.rms, vector=self.options.vector)
                chain = chosen(models.chain, stage, probe, self.options.reconstruction, offer.bits)
                models = replace(models, chain=chain)
            found.append(models)
        return tuple(found)

    @property
    def _parts(self) -> list[tuple[GroupFit | VideoFit | VectorFit, float]]:
        """Every token group with its share of the step: special tokens, where there are some, have one of their own."""
        *special, patches = self._groups
        return [(group, _special_share(group.rms, patches.rms)) for group in special] + [(patches, 1.0)]

    def _scaled(self, step: float) -> float:
        return min(max(float(np.ldexp(step, -self.layout.exponent)), STEPS[0]), STEPS[1])

    def _tokens(
        self, fitted: Sequence[GroupFit | VideoFit | VectorFit], sample: Sequence[np.ndarray]
    ) -> Iterator[tuple[GroupFit | VideoFit | VectorFit, np.ndarray]]:
        for rows in sample:
            if not self.options.nonfinite_keep:
                exact_values.refuse(rows, self.spec)
            if self.options.nonfinite_keep or self.options.padding:
                rows, _ = exact_values.take_out(rows, self.spec, padding=self.options.padding)
            yield from zip(fitted, self.layout.split(rows), strict=True)

    def _segment_scale(self, sample: Sequence[np.ndarray], token_counts: Sequence[np.ndarray] | None) -> float:
        """Tokens of the segment per token of the sample."""
        rows = self.options.segment_rows or self.spec.rows
        seen = sum(map(len, sample)) if token_counts is None else sum(map(len, token_counts))
        return max(1.0, rows / seen) if rows and seen else 1.0

    def _check_codebook(self) -> None:
        codebook = self.options.codebook
        if codebook is not None and codebook.channels != self.layout.fold:
            raise UsageError(
                f"--codebook: stream {self.spec.name!r} has {self.layout.fold} channels, "
                f"found a codebook of {codebook.channels}",
                hint="train a codebook on dumps of this encoder",
            )


def _special_share(rms: float, patches: float) -> float:
    """Step of special tokens over that of patches: in proportion to their size, and half of that.

    Few as they are, they cost next to nothing, and whoever reads them reads them alone: at 2 bits per value of a ViT's
    last tokens but one, a common step gave CLS a cosine of 0.917 and the patches 0.968.
    """
    return _SPECIAL_PRECISION * min(1.0, rms / patches) if rms > 0 and patches > 0 else 1.0


def _largest(sample: Sequence[np.ndarray], spec: StreamSpec) -> float:
    """Greatest finite magnitude in the sample; 0 for float16, which never needs scaling."""
    if spec.dtype == "float16":
        return 0.0
    largest = 0.0
    for rows in sample:
        x = np.abs(dtypes.to_float32(rows, spec.dtype))
        largest = max(largest, float(np.max(x, initial=0.0, where=np.isfinite(x))))
    return largest
