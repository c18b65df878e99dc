"""One way to encode, chosen and carried out on the sample as `encode` would, and what that says of the whole input.

What is paid once (header, models, summary) counts once, payloads grow with the values of their segment, framing and
index with the number of chunks. Where the sample is everything, bytes are those of the archive that `encode` writes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from embdc_cli import dtypes
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.batches import coded
from embdc_cli.encoding.choosing import choose, null_pass
from embdc_cli.encoding.codebooks import chosen_codebook
from embdc_cli.encoding.overhead import FRAMING_BYTES, INDEX_BYTES
from embdc_cli.encoding.recipe import recipe_of
from embdc_cli.encoding.twopass import write_job
from embdc_cli.encoding.writing import NullOutput, StreamOutcome, WriteJob, finish, outcome_of
from embdc_cli.metrics import pooled
from embdc_cli.tokens import as_tokens

if TYPE_CHECKING:
    from embdc_cli.encoding.plan import StreamPlan, Trial
    from embdc_cli.forecast.fits import SharedFits
    from embdc_cli.forecast.probe import ProbeSums
    from embdc_cli.forecast.sampling import Sample
    from embdc_cli.options import EncodeOptions
    from embdc_cli.reporter import Reporter


@dataclass
class _Pass:
    """The sample coded and decoded: how many values, and how long either took on the clock."""

    values: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


def predict(
    sample: Sample,
    at_opening: dict[str, Any],
    options: EncodeOptions,
    fits: SharedFits,
    probe: ProbeSums | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """{codec, target, effort, file_bytes, bits_per_value, ratio_fp16, nmse, cosine, encode_s, decode_s} of all of it.

    at_opening: `dump.source` when it was opened. fits: of other ways to encode it. probe: takes in the decoded sample.
    Raises: what encode would.
    """
    started = time.perf_counter()
    codebook, target = chosen_codebook(options), options.target()
    recipe = recipe_of(options, codebook)
    fits.begin_row()
    job = write_job(sample.dump, at_opening, options, recipe, codebook, reporter, sample.parts, fits)
    choose(job, target, reporter)
    trial_seconds = time.perf_counter() - started - fits.spent
    trials = [plan.trial(plan.index, options.jobs, plan.nudge) for plan in job.streams]
    found = _Pass()
    for plan in job.streams:
        _pass(plan, options.jobs, probe, found)
    file_bytes = _whole_bytes(job, trials, sample)
    achieved = pooled([outcome.entry() for outcome in _outcomes(job.streams, trials)])
    scale = sample.all_values / max(1, found.values)
    searched = sum(min(plan.values, plan.sample_bytes // _item_bytes(plan)) for plan in job.streams)
    fit_seconds = fits.seconds * searched / max(1, sum(plan.values_learnt for plan in job.streams))
    choosing_seconds = (fit_seconds + trial_seconds * searched / max(1, found.values)) / sample.share
    encode_seconds = choosing_seconds + found.encode_seconds * scale
    return {
        "codec": recipe["codec"],
        "target": {"kind": target.kind, "value": target.value},
        "effort": options.effort_level() if target.kind != "lossless" else None,
        "file_bytes": file_bytes,
        "bits_per_value": 8 * file_bytes / sample.all_values if sample.all_values else None,
        "ratio_fp16": 2 * sample.all_values / file_bytes,
        "nmse": achieved["nmse"],
        "cosine": achieved["cosine"],
        "encode_s": encode_seconds,
        "decode_s": found.decode_seconds * scale,
    }


def _pass(plan: StreamPlan, jobs: int, probe: ProbeSums | None, found: _Pass) -> None:
    """Encode and decode the sample of a stream, and add to `found` what that took."""
    probed = probe is not None and plan.spec.dtype in dtypes.FLOATS and plan.spec.channels == probe.head.channels
    started = time.perf_counter()
    chunks = list(coded([(plan, cut) for cut in plan.sample], jobs))
    found.encode_seconds += time.perf_counter() - started
    for number, chunk in enumerate(chunks):
        codec, rows = plan.codec_of(plan.segment_of(chunk.cut)), chunk.cut[1] - chunk.cut[0]
        if number == 0:  # what is loaded or compiled once is no time of decoding
            codec.decode(chunk.payload, rows, chunk.token_counts)
        started = time.perf_counter()
        decoded, _ = codec.decode(chunk.payload, rows, chunk.token_counts)
        found.decode_seconds += time.perf_counter() - started
        found.values += chunk.sums.values
        if probed and probe is not None:
            probe.add(as_tokens(plan.tensor.read(*chunk.cut), plan.spec), as_tokens(decoded, plan.spec))


def _whole_bytes(job: WriteJob, trials: Sequence[Trial], sample: Sample) -> int:
    if sample.parts is None:
        return null_pass(job).file_bytes
    models = sum(segment.models is not None for plan in job.streams for segment in plan.segments)
    framed = sum(len(plan.cuts) for plan in job.streams) + sample.left_out_chunks + models / sample.share
    coded = sum(trial.file_bytes for trial in trials) / sample.share
    return round(_end_bytes(job, trials, sample) + coded + (FRAMING_BYTES + INDEX_BYTES) * framed)


def _end_bytes(job: WriteJob, trials: Sequence[Trial], sample: Sample) -> int:
    """Header, codebook and end matter of an archive of all streams, those left out being like the first one."""
    named, outcomes = job.header.streams[0], _outcomes(job.streams, trials)
    headers = [*job.header.streams, *(replace(named, name=tensor.spec.name) for tensor in sample.left_out)]
    for tensor in sample.left_out:  # digests do not compress, but equal ones would
        digest = hashlib.sha256(tensor.spec.name.encode()).hexdigest()
        outcomes.append(replace(outcomes[0], spec=tensor.spec, digest=digest))
    header = replace(job.header, streams=tuple(replace(stream, rows=0) for stream in headers))
    writer = ArchiveWriter(NullOutput(), header)
    if job.codebook is not None:
        writer.codebook(job.codebook.digest, job.codebook.payload, job.codebook.size)
    finish(writer, outcomes, job.facts, header.target, None)
    return writer.bytes_written


def _outcomes(streams: Sequence[StreamPlan], trials: Sequence[Trial]) -> list[StreamOutcome]:
    """What an encode would say of the sampled streams."""
    outcomes = [outcome_of(plan) for plan in streams]
    for outcome, trial in zip(outcomes, trials, strict=True):
        outcome.sums = trial.sums
    return outcomes


def _item_bytes(plan: StreamPlan) -> int:
    return dtypes.item_bytes(plan.spec.dtype)
