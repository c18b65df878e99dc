"""Plans for all streams of a dump, before anything is chosen: where each is cut, and what a look at it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from embdc_cli import dtypes
from embdc_cli.codebook.find import check_fit
from embdc_cli.codec.transform.fit import FitOptions
from embdc_cli.codec.video.options import VideoOptions
from embdc_cli.codec.weighting import Weighting
from embdc_cli.device import computing_device
from embdc_cli.encoding.plan import StreamPlan
from embdc_cli.encoding.sampling import Part
from embdc_cli.encoding.sensitive import kept_exactly
from embdc_cli.encoding.survey import Survey, survey
from embdc_cli.options import VIDEO_CODECS, EncodeOptions
from embdc_cli.recent import Recent
from embdc_cli.reporter import Reporter
from embdc_cli.tokens import cut_rows
from embdc_cli.values import Dump

if TYPE_CHECKING:
    from embdc_cli.codebook.codebook import Codebook

RECENT_BYTES: Final = 256 << 20
"""Of codecs and fits that are kept for all streams together."""


def plan_streams(
    dump: Dump,
    options: EncodeOptions,
    codebook: Codebook | None,
    reporter: Reporter,
    parts: Sequence[Part] | None = None,
    fits: Recent | None = None,
) -> list[StreamPlan]:
    """A plan for every tensor of the dump: cut and surveyed, not chosen yet.

    parts: of every tensor, what a forecast looks at. fits: keeps those of other plans of this dump, which differ in
    targets and effort alone.
    Raises: SourceError for values that may not be there, MissingModel for a codebook of another encoder.
    """
    lossless = options.target().kind == "lossless"
    plans, recent = [], Recent(RECENT_BYTES)
    exact = kept_exactly([tensor.spec for tensor in dump.tensors], dump.exact_streams, options.keep_lossless)
    for number, tensor in enumerate(dump.tensors):
        spec = tensor.spec
        lossy = not lossless and spec.dtype in dtypes.FLOATS and spec.name not in exact
        if codebook is not None and lossy:
            check_fit(codebook, spec.channels, dump.encoder)
        cuts = cut_rows(tensor, options.chunk_frames)
        part = parts[number] if parts is not None else None
        some = part.read if part is not None else None
        seen = survey(tensor, cuts if some is None else sorted(some), nonfinite=options.nonfinite, lossy=lossy)
        if seen.scenes and some is None:
            cuts = cut_rows(tensor, options.chunk_frames, seen.scenes)
            part = part.on(cuts) if part is not None else None
        reporter.progress("survey", number + 1, len(dump.tensors), "streams")
        own = fit_options(options, codebook, seen)
        plan = StreamPlan(number, tensor, cuts, seen, own, recent, recent if fits is None else fits, part)
        if some is not None:
            plan.survey = _of_all(seen, plan.values / max(1, plan.values_in(list(some))))
        plans.append(plan)
    return plans


def _of_all(seen: Survey, factor: float) -> Survey:
    """The survey of a stream of which a sample was seen; scenes cannot be seen in a sample."""
    moments = seen.moments.scaled(factor) if seen.moments is not None else None
    return replace(seen, moments=moments, scenes=[])


def fit_options(options: EncodeOptions, codebook: Codebook | None, seen: Survey) -> FitOptions:
    """What the models of a stream's segments depend on."""
    return FitOptions(
        effort=options.effort_level(),
        weighting=Weighting.parse(options.weighting),
        codebook=codebook,
        reconstruction=options.reconstruction,
        nonfinite_keep=options.nonfinite == "keep",
        padding=seen.padding,
        video=_video_options(options),
        vector=options.codec == "vq",
        device=computing_device(options.device),
    )


def _video_options(options: EncodeOptions) -> VideoOptions | None:
    if options.codec not in VIDEO_CODECS:
        return None
    return VideoOptions(options.codec, options.rotation, options.inter, options.backend)
