"""Encoding in one pass: every window of rows is a segment of its own, with its own models and step.

Control is causal. A size ceiling holds after every window for the values so far; an error is held for the statistics
so far, windows before included. Memory is one window, whatever the length.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embdc_cli import dtypes
from embdc_cli.container.header import Limits
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.batches import coded
from embdc_cli.encoding.choosing import error_goal, size_goal
from embdc_cli.encoding.delivery import Destination
from embdc_cli.encoding.header import MAX_GROUP, MAX_MODES, ItemFacts, header_of, max_rank, summary_facts
from embdc_cli.encoding.overhead import END_BYTES, FRAMING_BYTES, INDEX_BYTES
from embdc_cli.encoding.plan import StreamPlan, error_of
from embdc_cli.encoding.planning import RECENT_BYTES, fit_options
from embdc_cli.encoding.rate import COARSEST, StepSearch
from embdc_cli.encoding.recipe import codec_name, for_others
from embdc_cli.encoding.result import encode_result
from embdc_cli.encoding.sensitive import kept_exactly
from embdc_cli.encoding.survey import survey
from embdc_cli.encoding.writing import StreamOutcome, WriteResult, finish, record_of
from embdc_cli.errors import TargetMissed, UsageError
from embdc_cli.metrics import ChannelMoments, ErrorSums
from embdc_cli.options import SIZE_TARGETS, EncodeOptions, Target
from embdc_cli.recent import Recent
from embdc_cli.reporter import Reporter
from embdc_cli.scratch import disk_errors
from embdc_cli.tokens import CHUNK_VALUES, MAX_CHUNK_ROWS, Cut, cut_rows, usual_chunk_rows
from embdc_cli.values import AddedStream, ArrayTensor, Block, Dump, Feed, StreamSpec, Timeline

WINDOW_BYTES = 64 << 20  # raw rows of one stream that are planned together
_EXACT_VALUES = 64  # so few are smaller as they are than with models
_SIZE_SLACK = 0.04
_ERROR_SLACK = 0.03


@dataclass
class Window:
    """Consecutive rows of one stream, with their times."""

    stream: int
    row0: int
    tensor: ArrayTensor
    timeline: Timeline | None
    keeps_time: bool = False  # the one stream beside which the shared times are written
    item: int = 0


class CausalEncoder:
    """The state of one pass: what was written and measured so far, per stream."""

    def __init__(
        self,
        writer: ArchiveWriter,
        specs: list[StreamSpec],
        target: Target,
        options: EncodeOptions,
        exact_streams: frozenset[str],
    ) -> None:
        self.writer = writer
        self.target = target
        self.options = options
        self.exact_streams = exact_streams
        self.outcomes = [
            StreamOutcome(spec, "", ChannelMoments(spec.channels), ErrorSums(spec.channels)) for spec in specs
        ]
        self.digests = [hashlib.sha256() for _ in specs]
        self.segments = [0] * len(specs)
        self.end_bytes = END_BYTES + writer.bytes_written  # the header is repeated in the end matter

    def encode(self, window: Window) -> None:
        """Plan one window, choose its step against everything so far, and write it as a segment."""
        outcome = self.outcomes[window.stream]
        spec = window.tensor.spec
        exact = self.target.kind == "lossless" or spec.name in self.exact_streams
        tiny = window.tensor.array.size < _EXACT_VALUES
        lossy = not exact and not tiny and spec.dtype in dtypes.FLOATS
        cuts = cut_rows(window.tensor, self.options.chunk_frames)
        seen = survey(window.tensor, cuts, nonfinite=self.options.nonfinite, lossy=lossy)
        self.digests[window.stream].update(np.ascontiguousarray(window.tensor.array).tobytes())
        recent = Recent(RECENT_BYTES)
        own = fit_options(self.options, None, seen)
        plan = StreamPlan(window.stream, window.tensor, cuts, seen, own, recent, recent)
        if lossy and plan.values:
            assert outcome.moments is not None
            outcome.moments.merge(plan.moments)
            self._choose(plan, outcome)
        self._write(plan, window, outcome)

    def _choose(self, plan: StreamPlan, outcome: StreamOutcome) -> None:
        search = self._search(plan, outcome)
        while (index := search.next()) is not None:
            search.record(index, self._value(plan, outcome, index))
        if search.best is not None:
            plan.set_step(search.best)
        elif search.rising:
            plan.set_lossless()  # no step holds the error: keep the window exactly
        else:
            plan.set_step(COARSEST)  # over the ceiling for now; judged when everything is written

    def _search(self, plan: StreamPlan, outcome: StreamOutcome) -> StepSearch:
        if self.target.kind not in SIZE_TARGETS:
            return StepSearch(error_goal(self.target), rising=True, slack=_ERROR_SLACK)
        values = sum(one.sums.values for one in self.outcomes) + plan.values
        goal = size_goal(self.target, values) - self.end_bytes - self._index_bytes(plan) - self.writer.bytes_written
        return StepSearch(max(goal, 1), rising=False, slack=_SIZE_SLACK)

    def _value(self, plan: StreamPlan, outcome: StreamOutcome, index: int) -> float:
        trial = plan.trial(index, self.options.jobs)
        if self.target.kind in SIZE_TARGETS:
            return trial.file_bytes + FRAMING_BYTES * (len(plan.cuts) + 2)
        together = ErrorSums(outcome.sums.channels)
        together.merge(outcome.sums)
        together.merge(trial.sums)
        assert outcome.moments is not None
        return error_of(self.target.kind, together, outcome.moments)

    def _index_bytes(self, plan: StreamPlan) -> int:
        chunks = sum(one.chunks for one in self.outcomes) + len(plan.cuts)
        return INDEX_BYTES * (chunks + sum(self.segments) + 1)

    def _write(self, plan: StreamPlan, window: Window, outcome: StreamOutcome) -> None:
        segment = self.segments[window.stream]
        self.segments[window.stream] += 1
        models = plan.segments[0].models
        if models is not None:
            self.writer.models(window.stream, segment, models)
        if window.timeline is not None and window.keeps_time:
            self.writer.times(window.item, window.row0, window.timeline.starts, window.timeline.ends)
        for chunk in coded([(plan, cut) for cut in plan.cuts], self.options.jobs):
            record = record_of(plan, chunk, window.timeline, segment)
            self.writer.data(replace(record, row0=window.row0 + record.row0), chunk.payload)
            outcome.sums.merge(chunk.sums)
            outcome.chunks += 1
        outcome.count_segment(plan, plan.segments[0])
        if plan.lossy:
            outcome.codec = plan.codec_name

    def finish(self, rows: list[int], facts: dict[str, Any], timeline: Timeline | None, target: dict[str, Any]) -> Any:
        """Write the end matter; returns the summary. Raises: TargetMissed when a size ceiling was not held."""
        for outcome, count, digest in zip(self.outcomes, rows, self.digests, strict=True):
            outcome.spec = outcome.spec.with_rows(count)
            outcome.digest = digest.hexdigest()
            if not outcome.lossy:
                outcome.moments = None
        summary = finish(self.writer, self.outcomes, facts, target, timeline)
        if self.target.kind in SIZE_TARGETS:
            goal = size_goal(self.target, sum(one.sums.values for one in self.outcomes))
            if self.writer.bytes_written > goal:
                raise TargetMissed(
                    f"target: {goal} bytes allowed, one pass needed {self.writer.bytes_written}",
                    hint="leave out --one-pass, or raise the ceiling",
                )
        return summary


def encode_feed(
    opened: Feed | Dump,
    at_opening: dict[str, Any],
    destination: Destination,
    options: EncodeOptions,
    recipe: dict[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Encode one item in one pass and deliver it; returns the `--json` document. See `twopass.encode_dump`."""
    started = time.monotonic()
    feed = feed_of(opened, options.chunk_frames) if isinstance(opened, Dump) else opened
    specs = [*feed.specs, *(one.tensor.spec for one in opened.beside)]
    target = _known_target(options.target(), specs)
    timed = timed_streams(feed)
    name = feed.name if options.record_name else None
    item = ItemFacts(name, at_opening, feed.encoder, feed.timebase, timed)
    header = header_of(specs, item, recipe, _limits(specs, options), codec_name(options), opened.beside)
    with disk_errors(destination.output), destination.begin_one_pass() as out:
        exact = kept_exactly(specs, feed.exact_streams, options.keep_lossless)
        encoder = CausalEncoder(ArchiveWriter(out, header), specs, target, options, exact)
        rows = [0] * len(specs)
        first = last = None

        def encode(window: Window) -> None:
            encoder.encode(window)
            out.flush()  # for whoever reads along
            rows[window.stream] += window.tensor.spec.known_rows
            reporter.progress("encode", rows[window.stream], specs[window.stream].rows, "rows")

        for window in windows(feed):
            encode(window)
            if window.timeline is not None:
                first = window.timeline if first is None else first
                last = window.timeline
        timeline = None
        if first is not None and last is not None:
            timeline = Timeline(first.starts[:1], last.ends[-1:], first.timebase)
        encoder.options = for_others(options)
        for number, one in enumerate(opened.beside):
            for window in windows(_feed_beside(one, timeline, options.chunk_frames)):
                encode(replace(window, stream=len(feed.specs) + number, item=1 + number))
        facts = summary_facts(feed.source, at_opening, feed.incomplete)
        summary = encoder.finish(rows, facts, timeline, recipe["target"])
        destination.deliver(out)
    result = WriteResult(encoder.outcomes, summary, encoder.writer.bytes_written)
    return encode_result(destination, result, seconds={"plan": 0.0, "code": time.monotonic() - started})


def _known_target(target: Target, specs: list[StreamSpec]) -> Target:
    """A size in bytes becomes bits per value, which needs the number of rows beforehand."""
    if target.kind != "max_size":
        return target
    if any(spec.rows is None or spec.ragged for spec in specs):
        raise UsageError(
            "--max-size: with --one-pass the input's length must be known beforehand",
            hint="use --target-bpv, or leave out --one-pass",
        )
    values = sum(spec.known_rows * spec.row_values for spec in specs)
    return Target("bpv", 8 * target.value / max(values, 1))


def _limits(specs: list[StreamSpec], options: EncodeOptions) -> Limits:
    return Limits(
        max_chunk_rows=max(min(options.chunk_frames or usual_chunk_rows(spec), MAX_CHUNK_ROWS) for spec in specs),
        max_chunk_values=CHUNK_VALUES,
        max_rank=max_rank(specs),
        max_modes=MAX_MODES,
        max_group=MAX_GROUP,
    )


def timed_streams(feed: Feed) -> frozenset[str]:
    """The streams whose rows are the rows of the feed's clock."""
    if feed.timebase is None:
        return frozenset()
    return frozenset(spec.name for spec in feed.specs if spec.timed) - feed.untimed_streams


def windows(feed: Feed) -> Iterator[Window]:
    """Windows of at most WINDOW_BYTES of every stream; streams that come in the same blocks stay in step."""
    rows_before = dict.fromkeys((spec.name for spec in feed.specs), 0)
    waiting: list[Block] = []
    size = 0
    for block in feed.blocks:
        if waiting and (size >= WINDOW_BYTES or block.arrays.keys() != waiting[0].arrays.keys()):
            yield from _joined(feed, waiting, rows_before)
            waiting, size = [], 0
        waiting.append(block)
        size += max((array.nbytes for array in block.arrays.values()), default=0)
    if waiting:
        yield from _joined(feed, waiting, rows_before)


def _joined(feed: Feed, blocks: list[Block], rows_before: dict[str, int]) -> Iterator[Window]:
    timed = timed_streams(feed)
    keeper = next((spec.name for spec in feed.specs if spec.name in timed), None)
    for number, spec in enumerate(feed.specs):
        if spec.name not in blocks[0].arrays:
            continue
        array = np.concatenate([block.arrays[spec.name] for block in blocks])
        counts = np.concatenate([block.token_counts[spec.name] for block in blocks]) if spec.ragged else None
        rows = len(array) if counts is None else len(counts)
        clock = _clock(feed, blocks) if spec.name in timed else None
        tensor = ArrayTensor(spec.with_rows(rows), array, counts)
        yield Window(number, rows_before[spec.name], tensor, clock, keeps_time=spec.name == keeper)
        rows_before[spec.name] += rows


def _clock(feed: Feed, blocks: list[Block]) -> Timeline:
    starts = [block.starts for block in blocks if block.starts is not None]
    ends = [block.ends for block in blocks if block.ends is not None]
    assert feed.timebase is not None
    return Timeline(np.concatenate(starts), np.concatenate(ends), feed.timebase)


def feed_of(dump: Dump, chunk_frames: int | None) -> Feed:
    """A dump as a feed: first the streams that share its timeline, in step, then the others one after the other."""
    specs = [tensor.spec for tensor in dump.tensors]
    return Feed(
        specs=specs,
        blocks=_blocks_of(dump, chunk_frames),
        name=dump.name,
        timebase=dump.timeline.timebase if dump.timeline is not None else None,
        untimed_streams=frozenset(spec.name for spec in specs) - dump.timed_streams,
        exact_streams=dump.exact_streams,
        source=dump.source,
        encoder=dump.encoder,
        incomplete=dump.incomplete,
    )


def _feed_beside(one: AddedStream, main: Timeline | None, chunk_frames: int | None) -> Feed:
    names = frozenset([one.tensor.spec.name])
    return feed_of(Dump([one.tensor], timeline=one.after(main), timed_streams=names), chunk_frames)


def _blocks_of(dump: Dump, chunk_frames: int | None) -> Iterator[Block]:
    timed = [tensor for tensor in dump.tensors if dump.timeline is not None and tensor.spec.name in dump.timed_streams]
    groups = [timed] if timed else []
    groups += [[tensor] for tensor in dump.tensors if tensor not in timed]
    for group in groups:
        cuts = min((cut_rows(tensor, chunk_frames) for tensor in group), key=_longest_cut)
        for start, stop in cuts:
            block = Block({tensor.spec.name: tensor.read(start, stop) for tensor in group})
            for tensor in group:
                if tensor.token_counts is not None:
                    block.token_counts[tensor.spec.name] = tensor.token_counts[start:stop]
            if group is timed and dump.timeline is not None:
                block.starts, block.ends = dump.timeline.starts[start:stop], dump.timeline.ends[start:stop]
            yield block


def _longest_cut(cuts: list[Cut]) -> int:
    return max((stop - start for start, stop in cuts), default=0)
