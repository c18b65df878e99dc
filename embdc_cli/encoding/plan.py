"""What will be written of one stream before any of it is: its sample, and the codec chosen for it.

A `StreamPlan` is filled in by steps: `trial` codes the sample at a step, `set_step` and `set_lossless` fix the decision
that `writing` carries out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.container.header import Limits
from embdc_cli.encoding.chunk_coder import ChunkCoder, CodedChunk, OnCpu, coder_on
from embdc_cli.encoding.rate import COARSEST, FINEST, INDICES_PER_OCTAVE, step_of
from embdc_cli.encoding.sampling import SAMPLE_BYTES, VIDEO_SAMPLE_BYTES, Part, drawn_evenly
from embdc_cli.encoding.segments import Segment, divide, pieces_of
from embdc_cli.encoding.survey import Survey
from embdc_cli.errors import MissingModel
from embdc_cli.metrics import ChannelMoments, ErrorSums
from embdc_cli.parallel import ordered_map
from embdc_cli.recent import Recent
from embdc_cli.tokens import Cut
from embdc_cli.values import StreamSpec, Tensor

if TYPE_CHECKING:
    from embdc_cli.codec.stage import ChunkCodec, Sides
    from embdc_cli.codec.table import Codebook as CodebookOfCodec


@dataclass(frozen=True)
class Trial:
    """What coding the sample says of the whole stream: bytes of models and payloads, and errors."""

    file_bytes: float
    sums: ErrorSums

    def error(self, kind: str, moments: ChannelMoments) -> float:
        """The error a target of `kind` limits; for a cosine its distance from 1."""
        return error_of(kind, self.sums, moments)


def error_of(kind: str, sums: ErrorSums, moments: ChannelMoments) -> float:
    """nmse, channel_nmse, or 1 - cosine of `sums`, of the stream that `moments` describe."""
    if kind == "cosine":
        return 1.0 - sums.cosine
    return sums.nmse(moments) if kind == "nmse" else sums.channel_nmse(moments)


@dataclass
class StreamPlan:
    """One stream: where it is cut, what is known of it, and how it will be coded."""

    number: int
    tensor: Tensor
    cuts: list[Cut]
    survey: Survey
    fit_options: FitOptions
    recent: Recent  # codecs of all streams, as fits are in `fits`: thousands must not be in memory together
    fits: Recent
    part: Part | None = None  # None: of a stream that is encoded
    segments: list[Segment] = field(default_factory=list)
    index: int | None = None
    nudge: int = 0
    importance: float = 1.0  # how many times finer its step is than that of others at the same index
    _last_trial: tuple[tuple[int | None, int], Trial] | None = None
    _sides: dict[Cut, Sides] = field(default_factory=dict)  # of the sample, for the models of the present index

    def __post_init__(self) -> None:
        self.segments = self.segments or [Segment(0, list(self.cuts))]

    @property
    def spec(self) -> StreamSpec:
        return self.tensor.spec

    @property
    def lossy(self) -> bool:
        return self.index is not None

    @property
    def codec_name(self) -> str:
        """How the stream is coded, as `--codec` calls it."""
        if not self.lossy:
            return "lossless"
        if self.fit_options.video is not None:
            return self.fit_options.video.standard
        return "vq" if self.fit_options.vector else "transform"

    @property
    def moments(self) -> ChannelMoments:
        if self.survey.moments is None:
            raise ValueError(f"stream {self.spec.name!r} has no moments: it is coded losslessly")
        return self.survey.moments

    @cached_property
    def values(self) -> int:
        if self.tensor.token_counts is not None:
            return int(self.tensor.token_counts.sum()) * self.spec.channels
        return self.spec.known_rows * self.spec.row_values

    def sample_of(self, cuts: Sequence[Cut]) -> list[Cut]:
        """Some of these chunks to code in trials."""
        return self._read_of(cuts) if self.part is None else [cut for cut in cuts if cut in self.part.coded]

    def _read_of(self, cuts: Sequence[Cut]) -> list[Cut]:
        """Some of these chunks to fit models to, `sample_bytes` of the whole stream, drawn evenly."""
        if self.part is not None and self.part.read is not None:
            return [cut for cut in cuts if cut in self.part.read]
        return drawn_evenly(cuts, self._sample_size(cuts))

    def _sample_size(self, cuts: Sequence[Cut]) -> int:
        """How many of these chunks a sample may have."""
        chunk_bytes = max(1, self.values * dtypes.item_bytes(self.spec.dtype) // max(1, len(self.cuts)))
        share = len(cuts) / max(1, len(self.cuts))
        return max(1, int(self.sample_bytes * share) // chunk_bytes)

    @property
    def sample_bytes(self) -> int:
        """Of raw rows, for models and rate trials."""
        return SAMPLE_BYTES if self.fit_options.video is None else VIDEO_SAMPLE_BYTES

    @property
    def sample(self) -> list[Cut]:
        """The chunks of all segments that trials code."""
        return [cut for segment in self.segments for cut in self.sample_of(segment.cuts)]

    @property
    def values_learnt(self) -> int:
        """Values that fits of all segments read."""
        return self.values_in([cut for segment in self.segments for cut in self._read_of(segment.cuts)])

    @property
    def sample_is_all(self) -> bool:
        if self.part is not None:
            return False
        return all(self._sample_size(segment.cuts) >= len(segment.cuts) for segment in self.segments)

    def values_in(self, cuts: Sequence[Cut]) -> int:
        """Values of these chunks."""
        counts = self.tensor.token_counts
        if counts is None:
            return sum(stop - start for start, stop in cuts) * self.spec.row_values
        return sum(int(counts[start:stop].sum()) for start, stop in cuts) * self.spec.channels

    def fit(self, cuts: Sequence[Cut]) -> Fit:
        """Step-independent knowledge of a segment of these chunks, from a sample of it."""
        ends = (cuts[0], cuts[-1]) if cuts else None
        key = ("fit", self.fit_options.effort, self.fit_options.video, self.fit_options.vector, self.number, ends)
        return self.fits.get(key, lambda: self._fit(cuts), lambda fit: fit.bytes_held)

    def _fit(self, cuts: Sequence[Cut]) -> Fit:
        sample = self._read_of(cuts)
        rows = [self.tensor.read(start, stop) for start, stop in sample]
        counts = None
        if self.tensor.token_counts is not None:
            counts = [self.tensor.token_counts[start:stop] for start, stop in sample]
        options = replace(self.fit_options, segment_rows=cuts[-1][1] - cuts[0][0] if cuts else 0)
        return Fit(self.spec, rows, counts, options)

    def segment_of(self, cut: Cut) -> Segment:
        """The segment that a chunk belongs to."""
        return self.segments[bisect_right(self._firsts, cut[0]) - 1]

    @property
    def _firsts(self) -> list[int]:
        return [segment.cuts[0][0] for segment in self.segments if segment.cuts] or [0]

    def divide(self, index: int) -> None:
        """Cut the stream into segments where new models pay, at about the step of `index`."""
        counts = self.tensor.token_counts
        tokens = [self.values_in([cut]) // max(1, self.spec.channels) for cut in self.cuts]
        scenes = frozenset(self.survey.scenes) if counts is None else frozenset()
        pieces = self._with_samples(pieces_of(self.cuts, tokens, self.spec.channels, scenes))
        if len(pieces) > 1:
            self.segments = divide(pieces, scenes, step_of(self.unit, index), self.fit)
        self._sides.clear()
        self._last_trial = None

    def _with_samples(self, pieces: list[list[Cut]]) -> list[list[Cut]]:
        """Those pieces, each joined to the one before if nothing of either is coded in trials."""
        joined = pieces[:1]
        for piece in pieces[1:]:
            if self.sample_of(piece) and self.sample_of(joined[-1]):
                joined.append(piece)
            else:
                joined[-1] = joined[-1] + piece
        return joined

    def codec_of(self, segment: Segment) -> ChunkCodec:
        """The codec of the decision, made from the same models that a decoder gets."""
        return self._coding(segment)[0]

    def _coding(self, segment: Segment) -> tuple[ChunkCodec, ChunkCoder]:
        """`codec_of`, and who codes chunks with it."""
        models = segment.models
        if models is None:
            lossless = LosslessCodec(self.spec)
            return lossless, OnCpu(lossless, self.spec)
        size = 8 * self.spec.channels**2 + (1 << 20)
        key = ("codec", self.number, models)
        return self.recent.get(key, lambda: self._made(models), lambda made: size + made[1].held_bytes)

    def _made(self, models: bytes) -> tuple[ChunkCodec, ChunkCoder]:
        codec, device = self._transform(models), self.fit_options.device
        return codec, OnCpu(codec, self.spec) if device == "cpu" else coder_on(device, codec, self.spec)

    def _transform(self, models: bytes) -> TransformCodec:
        def lookup(digest: bytes) -> CodebookOfCodec:
            codebook = self.fit_options.codebook
            if codebook is None or codebook.digest != digest:
                raise MissingModel(f"stream {self.spec.name!r}: codebook {digest.hex()} is not the one given")
            return codebook

        weighting, video = self.fit_options.weighting, self.fit_options.video
        backend = video.backend if video is not None else "auto"
        read = TransformModels.from_bytes(models, self.spec, Limits(), lookup, weighting, backend)
        return TransformCodec(self.spec, read.on_device(self.fit_options.device))

    @cached_property
    def unit(self) -> float:
        """The step of index 0: rms of the centred values, or of the values, or 1; finer by `importance`."""
        rms = self.fit(self.segments[0].cuts).rms
        if not rms > 0:
            rms = math.sqrt(float((self.moments.mean**2).mean())) if self.moments.channels else 0.0
        return float(rms if rms > 0 else 1.0) / self.importance

    def likely_index(self, *, bits_per_value: float = 0.0, error: float = 0.0) -> int:
        """The index that the fit foretells for a rate, or for a relative error, without coding anything."""
        fit = self.fit(self.segments[0].cuts)
        low, high = FINEST, COARSEST
        while high - low > INDICES_PER_OCTAVE // 8:
            middle = (low + high) // 2
            foretold = fit.foretell(step_of(self.unit, middle))
            coarser = foretold.bits > bits_per_value * foretold.values if bits_per_value else foretold.error < error
            low, high = (middle, high) if coarser else (low, middle)
        return (low + high) // 2

    def set_step(self, index: int, nudge: int = 0) -> None:
        """Code with loss: models for the step of `index`, quantiser coarser by `nudge` more indices.

        Models change by jumps (a basis vector more, another group length); the nudge moves between the jumps.
        """
        for segment in self.segments:
            if index != segment.fitted_index or segment.fitted is None:
                segment.fitted_index = index
                segment.fitted = self.fit(segment.cuts).models(step_of(self.unit, index))
                self._sides.clear()
            models = segment.fitted.with_steps_scaled(step_of(1.0, nudge)) if nudge else segment.fitted
            segment.models = models.to_bytes()
        self.index, self.nudge = index, nudge

    def move(self, nudge: int) -> None:
        """The same models, another nudge."""
        assert self.index is not None
        self.set_step(self.index, nudge)

    def set_models(self, index: int | None, nudge: int, unit: float, segments: Sequence[Segment]) -> None:
        """Take over the decision of an interrupted run."""
        self.index, self.nudge, self.unit, self.segments = index, nudge, unit, list(segments)
        self._sides.clear()

    def set_lossless(self) -> None:
        """Keep every bit."""
        self.index, self.nudge = None, 0
        for segment in self.segments:
            segment.models = None

    def code(self, cut: Cut) -> CodedChunk:
        """Read, encode and measure one chunk."""
        segment, counts = self.segment_of(cut), self._counts(cut)
        lossy = segment.models is not None
        known = self._sides.get(cut, ()) if lossy else ()
        coded = self._coding(segment)[1].code(self.tensor.read(*cut), counts, known)
        if lossy and self.sample_is_all:
            self._sides[cut] = coded.sides
        listed = None if counts is None else tuple(int(n) for n in counts)
        return CodedChunk(cut, coded.payload, coded.symbol_crc, listed, coded.sums)

    def measure(self, cut: Cut, payload: bytes) -> ErrorSums:
        """The errors of a chunk that `code` has given: the same sums."""
        coder = self._coding(self.segment_of(cut))[1]
        return coder.measure(self.tensor.read(*cut), payload, cut[1] - cut[0], self._counts(cut))

    def _counts(self, cut: Cut) -> np.ndarray | None:
        """Tokens of the rows of a ragged stream."""
        counts = self.tensor.token_counts
        return None if counts is None else counts[cut[0] : cut[1]]

    def trial(self, index: int | None, jobs: int, nudge: int = 0) -> Trial:
        """Code the sample at `index` (None: losslessly) and leave the stream set to it."""
        if index is None:
            self.set_lossless()
        else:
            self.set_step(index, nudge)
        key = (index, nudge)
        if self._last_trial is None or self._last_trial[0] != key:
            total, sums = 0.0, ErrorSums(self.spec.channels)
            for segment in self.segments:
                sample, found = self.sample_of(segment.cuts), ErrorSums(self.spec.channels)
                payload = 0.0
                for chunk in ordered_map(self.code, sample, jobs):
                    weight = 1.0 if self.part is None else self.part.coded[chunk.cut]
                    payload += len(chunk.payload) * weight
                    found.merge(chunk.sums if weight == 1 else chunk.sums.scaled(weight))
                scale = self.values_in(segment.cuts) / found.values if found.values else 1.0
                total += payload * scale + len(segment.models or b"")
                sums.merge(found if len(sample) == len(segment.cuts) else found.scaled(scale))
            self._last_trial = key, Trial(total, sums)
        return self._last_trial[1]
