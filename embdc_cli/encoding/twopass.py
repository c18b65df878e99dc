"""Encoding a dump that can be read again: survey and sample, choose steps, write, and correct until targets hold."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from embdc_cli.container.recover import ResumePoint, last_whole_chunk
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.choosing import Choice, choose, null_pass
from embdc_cli.encoding.codebooks import codebook_record
from embdc_cli.encoding.header import ItemFacts, header_of, limits_of, summary_facts
from embdc_cli.encoding.planning import plan_streams
from embdc_cli.encoding.rate import StepSearch
from embdc_cli.encoding.recipe import codec_name
from embdc_cli.encoding.result import encode_result
from embdc_cli.encoding.sampling import Part
from embdc_cli.encoding.segments import Segment
from embdc_cli.encoding.writing import Kept, WriteJob, WriteResult, note_codebooks, perform
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.recent import Recent
from embdc_cli.reporter import Reporter
from embdc_cli.scratch import disk_errors
from embdc_cli.values import Dump

if TYPE_CHECKING:
    from embdc_cli.codebook.codebook import Codebook
    from embdc_cli.encoding.delivery import Destination
    from embdc_cli.encoding.work import WorkInProgress


_BATCHES = "batches"  # of the source: see `embedder.protocol.Schedule`


def encode_dump(
    dump: Dump,
    at_opening: dict[str, Any],
    destination: Destination,
    options: EncodeOptions,
    recipe: dict[str, Any],
    codebook: Codebook | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Encode one item and deliver it; returns the `--json` document. at_opening: `dump.source` as it was then."""
    started = time.monotonic()
    job = write_job(dump, at_opening, options, recipe, codebook, reporter)
    state = destination.work.load() if options.resume and not options.dry_run else None
    if state is None:
        choice = choose(job, options.target(), reporter)
    else:
        choice = _restored(state, job, options)
    planned = time.monotonic()
    if options.dry_run:
        result = null_pass(job)
    else:
        result = _write(job, choice, destination, resume=state is not None, reporter=reporter)
    return encode_result(
        destination,
        result,
        status="planned" if options.dry_run else "done",
        seconds={"plan": planned - started, "code": time.monotonic() - planned},
    )


def write_job(
    dump: Dump,
    at_opening: dict[str, Any],
    options: EncodeOptions,
    recipe: dict[str, Any],
    codebook: Codebook | None,
    reporter: Reporter,
    parts: Sequence[Part] | None = None,
    fits: Recent | None = None,
) -> WriteJob:
    """The work on one item, planned and not chosen yet. parts, fits: see `plan_streams`."""
    streams = plan_streams(dump, options, codebook, reporter, parts, fits)
    item = ItemFacts(
        name=dump.name if options.record_name else None,
        source=at_opening,
        encoder=dump.encoder,
        timebase=dump.timeline.timebase if dump.timeline is not None else None,
        timed_streams=dump.timed_streams,
    )
    return WriteJob(
        header_of([plan.spec for plan in streams], item, recipe, limits_of(streams), codec_name(options), dump.beside),
        streams,
        [dump.timeline, *(one.after(dump.timeline) for one in dump.beside)],
        codebook=codebook_record(codebook, options, sum(plan.values for plan in streams)),
        jobs=options.jobs,
        facts=summary_facts(dump.source, at_opening, dump.incomplete),
    )


def begun_schedule(work: WorkInProgress) -> list[tuple[int, int]]:
    """How many frames of the interrupted run went through its encoder at once, which decides last bits; else empty."""
    return [(frame, size) for frame, size in (work.load() or {}).get(_BATCHES, ())]


def _write(job: WriteJob, choice: Choice, destination: Destination, *, resume: bool, reporter: Reporter) -> WriteResult:
    """Whole passes until every target holds; the last one is delivered."""
    while True:
        with ExitStack() as stack:
            point = last_whole_chunk(destination.work.part) if resume else None
            stack.enter_context(disk_errors(destination.output))
            if point is not None:
                stack.callback(point.close)
            if resume:
                out = destination.work.reopen(0 if point is None else point.offset)
            else:
                out = destination.work.start({**_state(job, choice), **destination.made_of})
            stack.enter_context(out)
            writer = ArchiveWriter(out, job.header) if point is None else ArchiveWriter.resume(out, job.header, point)
            result = perform(job, writer, kept=_kept(point), reporter=reporter)
            if choice.correct(job, result):
                destination.deliver(out)
                note_codebooks(result, reporter)
                return result
        resume = False


def _kept(point: ResumePoint | None) -> list[Kept]:
    """What an unfinished part holds, in file order, with a way to read the payload of data."""
    if point is None:
        return []
    return [None if chunk.record is None else (chunk.record, partial(point.payload, chunk)) for chunk in point.chunks]


def _header_digest(job: WriteJob) -> str:
    return hashlib.sha256(job.header.to_payload()).hexdigest()


def _state(job: WriteJob, choice: Choice) -> dict[str, Any]:
    """The plan as saved before the first chunk: every decision, so that a later run repeats none of them."""
    return {
        "header": _header_digest(job),
        "settled": choice.settled,
        _BATCHES: job.facts["source"].get(_BATCHES, []),
        "streams": [
            {
                "digest": plan.survey.digest,
                "index": plan.index,
                "nudge": plan.nudge,
                "unit": plan.unit if plan.lossy else 1.0,
                "segments": [
                    {"cuts": segment.cuts, "models": base64.b64encode(segment.models or b"").decode()}
                    for segment in plan.segments
                ],
            }
            for plan in job.streams
        ],
        "searches": [
            {"stream": stream, "goal": s.goal, "rising": s.rising, "slack": s.slack, "tried": sorted(s.tried.items())}
            for stream, s in choice.searches.items()
        ],
    }


def _restored(state: dict[str, Any], job: WriteJob, options: EncodeOptions) -> Choice:
    """The decisions of the interrupted run. Raises: UsageError when the input is another one."""
    digests = [plan.survey.digest for plan in job.streams]
    same = state["header"] == _header_digest(job) and state.get(_BATCHES, []) == job.facts["source"].get(_BATCHES, [])
    if not same or [saved.get("digest") for saved in state["streams"]] != digests:
        raise UsageError(
            "--resume: the unfinished work was begun with another input or recipe",
            hint="encode without --resume, or restore the input",
        )

    for plan, saved in zip(job.streams, state["streams"], strict=True):
        segments = [
            Segment(number, [tuple(cut) for cut in one["cuts"]], base64.b64decode(one["models"]) or None)
            for number, one in enumerate(saved["segments"])
        ]
        plan.set_models(saved["index"], saved["nudge"], saved["unit"], segments)
    choice = Choice.of(options.target(), job)
    choice.settled = state["settled"]
    for saved in state["searches"]:
        search = StepSearch(saved["goal"], rising=saved["rising"], slack=saved["slack"])
        search.tried.update(dict(saved["tried"]))
        choice.searches[saved["stream"]] = search
    return choice
