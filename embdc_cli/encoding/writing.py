"""Carrying out a plan: codebook, models, times and chunks in a fixed order, written front to back.

The order is a list of actions that depends on the plan alone, so an interrupted archive can be continued: as many
actions as it has whole chunks are done, the rest follow, and the bytes are those of an undisturbed run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.container.chunk import CodebookRecord, DataRecord
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.batches import coded
from embdc_cli.encoding.chunk_coder import CodedChunk
from embdc_cli.encoding.plan import StreamPlan
from embdc_cli.encoding.segments import Segment
from embdc_cli.errors import CorruptArchive
from embdc_cli.metrics import EXACT, ChannelMoments, ErrorSums, finite, pooled
from embdc_cli.options import SIZE_TARGETS
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.tokens import Cut
from embdc_cli.values import StreamSpec, Timeline

if TYPE_CHECKING:
    from embdc_cli.container.header import Header


@dataclass(frozen=True)
class Action:
    """One chunk of the archive to come: `cut` for times and data, `stream` and `segment` for models and data.

    item: whose times.
    """

    kind: Literal["codebook", "models", "times", "data"]
    stream: int = 0
    cut: Cut = (0, 0)
    segment: int = 0
    item: int = 0


Kept = tuple[DataRecord, Callable[[], bytes]] | None
"""A chunk that is in the file already: for data its record and a way to read its payload."""


@dataclass
class WriteJob:
    """Everything one pass over the data needs. timelines: of each item of the header."""

    header: Header
    streams: Sequence[StreamPlan]
    timelines: Sequence[Timeline | None]
    codebook: CodebookRecord | None = None
    jobs: int = 1
    facts: dict[str, Any] = field(default_factory=dict)  # further entries of the summary: source digests and sizes

    def clock(self, plan: StreamPlan) -> Timeline | None:
        """The times of a stream's rows."""
        stream = self.header.streams[plan.number]
        return self.timelines[stream.item] if stream.timed else None

    def actions(self) -> Iterator[Action]:
        """All chunks between header and end matter, in file order: item after item."""
        if self.codebook is not None:
            yield Action("codebook")
        for item in range(len(self.header.items)):
            yield from self._item(item)

    def _item(self, item: int) -> Iterator[Action]:
        own = [plan for plan in self.streams if self.header.streams[plan.number].item == item]
        timed = [plan for plan in own if self.header.streams[plan.number].timed]
        others = [plan for plan in own if not self.header.streams[plan.number].timed]
        pieces = [(cut, plan.number) for plan in timed for cut in plan.cuts]
        pieces.sort(key=lambda piece: (piece[0][0], piece[1]))  # streams of one clock advance together
        pieces += [(cut, plan.number) for plan in others for cut in plan.cuts]
        clocked = {plan.number for plan in timed} if self.timelines[item] is not None else set()
        times_until = 0
        begun: set[tuple[int, int]] = set()
        for cut, stream in pieces:
            segment = self.streams[stream].segment_of(cut)
            if (stream, segment.number) not in begun:
                begun.add((stream, segment.number))
                if segment.models is not None:
                    yield Action("models", stream, segment=segment.number)
            if stream in clocked and cut[1] > times_until:
                yield Action("times", stream, (times_until, cut[1]), item=item)
                times_until = cut[1]
            yield Action("data", stream, cut, segment.number)


@dataclass
class StreamOutcome:
    """What became of one stream: its final spec, a digest of its values, and the errors its decoder will make.

    segments: those with models; codebook_segments: those whose models use a codebook. codebook_excess: the largest
    share of bits that a codebook would have added at equal error, over segments of vector codes that left it out.
    """

    spec: StreamSpec
    digest: str
    moments: ChannelMoments | None
    sums: ErrorSums
    chunks: int = 0
    codec: str = "lossless"
    segments: int = 0
    codebook_segments: int = 0
    codebook_excess: float | None = None

    @property
    def lossy(self) -> bool:
        return self.codec != "lossless"

    def count_segment(self, plan: StreamPlan, segment: Segment) -> None:
        """Count a segment that has been written."""
        codec = plan.codec_of(segment)
        if isinstance(codec, TransformCodec):
            self.segments += 1
            self.codebook_segments += codec.models.codebook is not None
        fitted = segment.fitted
        for group in fitted.groups if fitted is not None and fitted.codebook is None else ():
            if group.excess is not None:
                self.codebook_excess = max(group.excess, self.codebook_excess or 0.0)

    def entry(self) -> dict[str, Any]:
        """The stream's part of the summary; `sums` are additive, so that `embdc cat` can add them up."""
        energy = self.moments.energy if self.moments is not None else 0.0
        achieved = self.sums.summary(self.moments) if self.lossy and self.moments is not None else EXACT
        return {
            "rows": self.spec.known_rows,
            "digest": self.digest,
            "codec": self.codec,
            "sums": {
                "values": self.sums.values,
                "tokens": self.sums.tokens,
                "sse": self.sums.sse,
                "energy": energy,
                "cosine_sum": self.sums.cosine_sum,
            },
            "achieved": finite(achieved),
        }


@dataclass
class WriteResult:
    """What one pass over the data wrote: the outcome of every stream, the summary, and the size of the part."""

    outcomes: list[StreamOutcome]
    summary: dict[str, Any] = field(default_factory=dict)
    file_bytes: int = 0
    external_codebook_bytes: int = 0  # needed to decode, but not in the file and not counted


def record_of(plan: StreamPlan, chunk: CodedChunk, timeline: Timeline | None, segment: int = 0) -> DataRecord:
    """The container's record of a coded chunk."""
    start, stop = chunk.cut
    return DataRecord(
        stream=plan.number,
        segment=segment,
        row0=start,
        rows=stop - start,
        kind=plan.codec_of(plan.segment_of(chunk.cut)).kind,
        symbol_crc=chunk.symbol_crc,
        token_counts=chunk.token_counts,
        pts0=timeline.start(start) if timeline is not None else 0,
        pts1=timeline.end(stop - 1) if timeline is not None else 0,
        mse=chunk.sums.mse,
        cosine_mean=chunk.sums.cosine,
        cosine_min=chunk.sums.cosine_min,
    )


def perform(
    job: WriteJob,
    writer: ArchiveWriter,
    *,
    kept: Sequence[Kept] = (),
    reporter: Reporter | None = None,
) -> WriteResult:
    """Write every action that is not in `kept` yet; `kept` has one entry per chunk already in the file.

    An entry for data gives its record and a way to read the payload, which is decoded and measured again so that
    the result equals that of an undisturbed pass.
    """
    reporter = reporter or Silent()
    result = WriteResult([outcome_of(plan) for plan in job.streams])
    actions = list(job.actions())
    if len(kept) > len(actions):
        raise CorruptArchive(f"unfinished archive: {len(kept)} chunks found, the plan has {len(actions)}")
    total = sum(action.kind == "data" for action in actions)
    done = 0
    for action, found in zip(actions, kept, strict=False):
        if action.kind == "data":
            _take_over(job.streams[action.stream], action, found, result)
            done += 1
    rest = actions[len(kept) :]
    chunks = coded([(job.streams[action.stream], action.cut) for action in rest if action.kind == "data"], job.jobs)
    for action in rest:
        plan = job.streams[action.stream]
        if action.kind == "codebook":
            assert job.codebook is not None
            writer.codebook(job.codebook.digest, job.codebook.payload, job.codebook.size)
        elif action.kind == "models":
            models = plan.segments[action.segment].models
            assert models is not None
            writer.models(plan.number, action.segment, models)
        elif action.kind == "times":
            timeline = job.timelines[action.item]
            assert timeline is not None
            start, stop = action.cut
            writer.times(action.item, start, timeline.starts[start:stop], timeline.ends[start:stop])
        else:
            chunk = next(chunks)
            writer.data(record_of(plan, chunk, job.clock(plan), action.segment), chunk.payload)
            _count(result, action.stream, chunk.sums)
            done += 1
            reporter.progress("encode", done, total, "chunks")
    for plan, outcome in zip(job.streams, result.outcomes, strict=True):
        for segment in plan.segments:
            outcome.count_segment(plan, segment)
    result.summary = finish(writer, result.outcomes, job.facts, job.header.target, job.timelines[0])
    result.file_bytes = writer.bytes_written
    if job.codebook is not None and job.codebook.payload is None:
        result.external_codebook_bytes = job.codebook.size
    return result


def note_codebooks(result: WriteResult, reporter: Reporter) -> None:
    """Say of which streams the codebook would have made larger archives, and by how much."""
    for one in result.outcomes:
        if one.codebook_excess is not None:
            left_out = one.segments - one.codebook_segments
            where = "" if left_out == one.segments else f" in {left_out} of {one.segments} segments"
            reporter.note(
                f"stream {one.spec.name!r}: the codebook is not used{where}: with it the same error would take up to "
                f"{100 * one.codebook_excess:.0f} % more bits"
            )


def outcome_of(plan: StreamPlan) -> StreamOutcome:
    """The outcome of a stream of which nothing is written yet."""
    return StreamOutcome(
        plan.spec, plan.survey.digest, plan.survey.moments, ErrorSums(plan.spec.channels), codec=plan.codec_name
    )


def _count(result: WriteResult, stream: int, sums: ErrorSums) -> None:
    result.outcomes[stream].sums.merge(sums)
    result.outcomes[stream].chunks += 1


def _take_over(plan: StreamPlan, action: Action, found: Kept, result: WriteResult) -> None:
    if found is None or (found[0].stream, found[0].row0, found[0].rows) != (
        action.stream,
        action.cut[0],
        action.cut[1] - action.cut[0],
    ):
        raise CorruptArchive(
            f"unfinished archive: chunk of rows {action.cut} of stream {plan.spec.name!r} is not there"
        )
    _, payload = found
    _count(result, action.stream, plan.measure(action.cut, payload()))


class NullOutput:
    """Counts bytes and forgets them: the size of an archive without the archive."""

    def write(self, data: bytes | memoryview) -> int:
        return len(data)


def finish(
    writer: ArchiveWriter,
    outcomes: Sequence[StreamOutcome],
    facts: dict[str, Any],
    target: dict[str, Any],
    timeline: Timeline | None,
) -> dict[str, Any]:
    """Write the end matter and return the summary that went into it."""
    streams = [outcome.entry() for outcome in outcomes]
    saturated = target["kind"] in SIZE_TARGETS and not any(outcome.lossy for outcome in outcomes)
    summary: dict[str, Any] = {
        "streams": streams,
        "achieved": pooled(streams),
        "target": {**target, "saturated": saturated},
        **facts,
    }
    if timeline is not None and len(timeline):
        ticks = int(timeline.ends[-1]) - int(timeline.starts[0])
        summary["duration_seconds"] = float(ticks * timeline.timebase)
    writer.finish(summary)
    return summary
