"""What will be written of one stream before any of it is: chunk cuts, statistics, sample, and the codec chosen for it.

A `StreamPlan` is filled in by steps: `survey` reads everything once, `trial` codes the sample at a step,
`set_step`/`set_lossless` fix the decision that `writing` carries out.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codebook.find import check_fit
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.weighting import Weighting
from embdc_cli.encoding.rate import step_of
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.metrics import ChannelMoments, ErrorSums
from embdc_cli.options import EncodeOptions
from embdc_cli.parallel import ordered_map
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump, StreamSpec, Tensor

if TYPE_CHECKING:
    from embdc_cli.codebook.codebook import Codebook
    from embdc_cli.codec.stage import ChunkCodec

CHUNK_VALUES = 1 << 23  # 32 MiB as float32; a codec pass holds about six such arrays
SAMPLE_BYTES = 128 << 20  # of raw rows, for models and rate trials
_SEED = 20260101

Cut = tuple[int, int]


def channels_of(spec: StreamSpec) -> int:
    """Length of the last axis; 1 for a scalar."""
    return spec.row_shape[-1] if spec.row_shape else 1


def as_tokens(rows: np.ndarray, spec: StreamSpec) -> np.ndarray:
    """(n, D) float32 view or copy of rows in storage dtype."""
    return dtypes.to_float32(rows, spec.dtype).reshape(-1, channels_of(spec))


def cut_rows(tensor: Tensor, chunk_frames: int) -> list[Cut]:
    """Row ranges [start, stop) of the chunks: at most `chunk_frames` rows and CHUNK_VALUES values each.

    Raises: UsageError when a single row is larger than a chunk may be.
    """
    spec = tensor.spec
    if chunk_frames < 1:
        raise UsageError(f"--chunk-frames: expected at least 1, found {chunk_frames}")
    if tensor.token_counts is not None:
        sizes = tensor.token_counts * channels_of(spec)
    else:
        sizes = np.full(spec.known_rows, spec.row_values)
    if len(sizes) and int(sizes.max()) > CHUNK_VALUES:
        raise UsageError(
            f"stream {spec.name!r}: one row has {int(sizes.max())} values, at most {CHUNK_VALUES} can be coded",
            hint="reshape the tensor so that its first axis has more rows",
        )
    if tensor.token_counts is None:
        rows = min(chunk_frames, CHUNK_VALUES // max(1, spec.row_values))
        return [(start, min(start + rows, spec.known_rows)) for start in range(0, spec.known_rows, rows)]
    cuts, start, total = [], 0, 0
    for row, size in enumerate(sizes):
        if row > start and (row - start == chunk_frames or total + int(size) > CHUNK_VALUES):
            cuts.append((start, row))
            start, total = row, 0
        total += int(size)
    if start < len(sizes):
        cuts.append((start, len(sizes)))
    return cuts


@dataclass
class Survey:
    """What one reading of a stream tells: channel moments (None for companions) and a digest of all its values."""

    moments: ChannelMoments | None
    digest: str


def survey(tensor: Tensor, cuts: Sequence[Cut], *, nonfinite: str, lossy: bool) -> Survey:
    """Read the stream once. nonfinite: "refuse" or "keep" (then such values count as the channel's mean so far).

    Raises: SourceError naming the first NaN or infinity when they are refused.
    """
    spec = tensor.spec
    digest = hashlib.sha256()
    moments = ChannelMoments(channels_of(spec)) if lossy else None
    for start, stop in cuts:
        rows = tensor.read(start, stop)
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        if moments is None or not rows.size:
            continue
        tokens = as_tokens(rows, spec)
        bad = ~np.isfinite(tokens)
        if bad.any():
            if nonfinite != "keep":
                raise _nonfinite_error(spec, tokens, bad, start)
            tokens = np.where(bad, moments.mean.astype(np.float32), tokens)
        moments.add(tokens)
    return Survey(moments, digest.hexdigest())


def _nonfinite_error(spec: StreamSpec, tokens: np.ndarray, bad: np.ndarray, row0: int) -> SourceError:
    flat = int(np.argmax(bad))
    value = tokens.reshape(-1)[flat]
    if spec.ragged:
        position = f"value {flat} of the rows from {row0}"
    else:
        rows = tokens.size // max(1, spec.row_values)
        row, *inside = (int(i) for i in np.unravel_index(flat, (rows, *spec.row_shape)))
        position = str([row0 + row, *inside] if spec.timed else inside)
    name = "NaN" if np.isnan(value) else "infinity"
    return SourceError(
        f"stream {spec.name!r}: {name} at {position}, expected finite values",
        hint="--nonfinite keep stores such positions exactly; --lossless keeps every bit",
    )


@dataclass(frozen=True)
class CodedChunk:
    """One chunk ready to be written, with the errors its decoder will make."""

    cut: Cut
    payload: bytes
    symbol_crc: int
    token_counts: tuple[int, ...] | None
    sums: ErrorSums


@dataclass(frozen=True)
class Trial:
    """What coding the sample says of the whole stream: bytes of models and payloads, and errors."""

    file_bytes: float
    sums: ErrorSums
    scale: float  # whole stream / sample, in values

    def error(self, kind: str, moments: ChannelMoments) -> float:
        """The error a target of `kind` limits; for a cosine its distance from 1."""
        return error_of(kind, self.sums, moments, self.scale)


def error_of(kind: str, sums: ErrorSums, moments: ChannelMoments, scale: float = 1.0) -> float:
    """nmse, channel_nmse, or 1 - cosine of `sums`, which cover 1/scale of the stream that `moments` describe."""
    if kind == "cosine":
        return 1.0 - sums.cosine
    scaled = ErrorSums(sums.channels)
    scaled.channel_sse = sums.channel_sse * scale
    return scaled.nmse(moments) if kind == "nmse" else scaled.channel_nmse(moments)


@dataclass
class StreamPlan:
    """One stream: where it is cut, what is known of it, and how it will be coded."""

    number: int
    tensor: Tensor
    cuts: list[Cut]
    survey: Survey
    fit_options: FitOptions
    codec: ChunkCodec = field(init=False)
    models: bytes | None = None  # None: lossless
    index: int | None = None
    nudge: int = 0
    _trials: dict[tuple[int | None, int], Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.codec = LosslessCodec(self.spec)

    @property
    def spec(self) -> StreamSpec:
        return self.tensor.spec

    @property
    def lossy(self) -> bool:
        return self.index is not None

    @property
    def moments(self) -> ChannelMoments:
        if self.survey.moments is None:
            raise ValueError(f"stream {self.spec.name!r} has no moments: it is coded losslessly")
        return self.survey.moments

    @cached_property
    def values(self) -> int:
        if self.tensor.token_counts is not None:
            return int(self.tensor.token_counts.sum()) * channels_of(self.spec)
        return self.spec.known_rows * self.spec.row_values

    @cached_property
    def sample(self) -> list[Cut]:
        """Whole chunks, at most SAMPLE_BYTES, jittered evenly over the stream by a fixed seed."""
        item = dtypes.item_bytes(self.spec.dtype)
        chunk_bytes = max(1, self.values * item // max(1, len(self.cuts)))
        count = max(1, SAMPLE_BYTES // chunk_bytes)
        if count >= len(self.cuts):
            return self.cuts
        rng = random.Random(_SEED)
        return [self.cuts[int((i + rng.random()) * len(self.cuts) / count)] for i in range(count)]

    @property
    def sample_is_all(self) -> bool:
        return len(self.sample) == len(self.cuts)

    @cached_property
    def fit(self) -> Fit:
        """Step-independent models of the sample."""
        rows = [self.tensor.read(start, stop) for start, stop in self.sample]
        counts = None
        if self.tensor.token_counts is not None:
            counts = [self.tensor.token_counts[start:stop] for start, stop in self.sample]
        return Fit(self.spec, rows, counts, self.fit_options)

    @cached_property
    def unit(self) -> float:
        """The step of index 0: rms of the centred values, or of the values, or 1."""
        if self.fit.rms > 0:
            return float(self.fit.rms)
        rms = math.sqrt(float((self.moments.mean**2).mean())) if self.moments.channels else 0.0
        return rms if rms > 0 else 1.0

    def set_step(self, index: int, nudge: int = 0) -> None:
        """Code with the transform: models for the step of `index`, quantiser coarser by `nudge` more indices.

        Models change by jumps (a basis vector more, another group length); the nudge moves between the jumps.
        """
        models = self.fit.models(step_of(self.unit, index))
        if nudge:
            models = models.with_steps_scaled(step_of(1.0, nudge))
        self.index, self.nudge = index, nudge
        self.models = models.to_bytes()
        self.codec = TransformCodec(self.spec, models)

    def set_models(self, index: int, nudge: int, payload: bytes, codec: ChunkCodec) -> None:
        """Take over the decision of an interrupted run."""
        self.index, self.nudge, self.models, self.codec = index, nudge, payload, codec

    def set_lossless(self) -> None:
        """Keep every bit."""
        self.nudge = 0
        self.index, self.models, self.codec = None, None, LosslessCodec(self.spec)

    def code(self, cut: Cut) -> CodedChunk:
        """Read, encode and measure one chunk."""
        rows = self.tensor.read(*cut)
        counts = self.tensor.token_counts
        counts = None if counts is None else counts[cut[0] : cut[1]]
        encoded = self.codec.encode(rows, counts)
        sums = self.measure(rows, encoded.decoded)
        listed = None if counts is None else tuple(int(n) for n in counts)
        return CodedChunk(cut, encoded.payload, encoded.symbol_crc, listed, sums)

    def measure(self, rows: np.ndarray, decoded: np.ndarray) -> ErrorSums:
        """Errors of decoded rows; a lossless stream is exact by construction and only counted."""
        sums = ErrorSums(channels_of(self.spec))
        if self.lossy:
            sums.add(as_tokens(rows, self.spec), as_tokens(decoded, self.spec))
        else:
            sums.values = rows.size
            sums.tokens = rows.size // max(1, channels_of(self.spec))
            sums.cosine_sum = float(sums.tokens)
        return sums

    def trial(self, index: int | None, jobs: int, nudge: int = 0) -> Trial:
        """Code the sample at `index` (None: losslessly) and leave the stream set to it."""
        if index is None:
            self.set_lossless()
        else:
            self.set_step(index, nudge)
        key = (index, nudge)
        if key not in self._trials:
            total, sums = 0, ErrorSums(channels_of(self.spec))
            for chunk in ordered_map(self.code, self.sample, jobs):
                total += len(chunk.payload)
                sums.merge(chunk.sums)
            scale = self.values / sums.values if sums.values else 1.0
            self._trials[key] = Trial(total * scale + len(self.models or b""), sums, scale)
        return self._trials[key]


def plan_streams(dump: Dump, options: EncodeOptions, codebook: Codebook | None, reporter: Reporter) -> list[StreamPlan]:
    """A plan for every tensor of the dump: cut and surveyed, not chosen yet.

    Raises: SourceError for values that may not be there, MissingModel for a codebook of another encoder.
    """
    lossless = options.target().kind == "lossless"
    plans = []
    for number, tensor in enumerate(dump.tensors):
        spec = tensor.spec
        lossy = not lossless and spec.dtype in dtypes.FLOATS and spec.name not in dump.exact_streams
        if codebook is not None and lossy:
            check_fit(codebook, channels_of(spec), dump.encoder)
        cuts = cut_rows(tensor, options.chunk_frames)
        seen = survey(tensor, cuts, nonfinite=options.nonfinite, lossy=lossy)
        reporter.progress("survey", number + 1, len(dump.tensors), "streams")
        plans.append(StreamPlan(number, tensor, cuts, seen, fit_options(options, codebook)))
    return plans


def fit_options(options: EncodeOptions, codebook: Codebook | None) -> FitOptions:
    """What of the options the models of a segment depend on."""
    return FitOptions(
        effort=options.effort_level(),
        weighting=Weighting.parse(options.weighting),
        codebook=codebook,
        nonfinite_keep=options.nonfinite == "keep",
    )
