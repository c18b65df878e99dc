"""Encoding in one pass: every window of rows is a segment of its own, with its own models and step.

Control is causal. A size ceiling holds after every window for the values so far; an error is held for the statistics
so far, windows before included. Memory is one window, whatever the length.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embdc_cli import dtypes
from embdc_cli.container.header import Limits
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.choosing import error_goal, size_goal
from embdc_cli.encoding.delivery import Destination
from embdc_cli.encoding.header import MAX_GROUP, ItemFacts, header_of, summary_facts
from embdc_cli.encoding.kept import Recent
from embdc_cli.encoding.plan import RECENT_BYTES, StreamPlan, error_of, fit_options
from embdc_cli.encoding.rate import COARSEST, StepSearch
from embdc_cli.encoding.result import encode_result
from embdc_cli.encoding.survey import CHUNK_VALUES, channels_of, cut_rows, survey
from embdc_cli.encoding.writing import StreamOutcome, WriteResult, finish, record_of
from embdc_cli.errors import TargetMissed, UsageError
from embdc_cli.metrics import ChannelMoments, ErrorSums
from embdc_cli.options import SIZE_TARGETS, EncodeOptions, Target
from embdc_cli.parallel import ordered_map
from embdc_cli.reporter import Reporter
from embdc_cli.values import ArrayTensor, Block, Dump, Feed, StreamSpec, Timeline

if TYPE_CHECKING:
    from embdc_cli.codebook.codebook import Codebook

WINDOW_BYTES = 64 << 20  # raw rows of one stream that are planned together
_SIZE_SLACK = 0.04
_ERROR_SLACK = 0.03
_END_BYTES = 2048  # summary and tail
_CHUNK_END_BYTES = 80  # index entry, digest, and the difference between an estimate and a written chunk


@dataclass
class Window:
    """Consecutive rows of one stream, with their times."""

    stream: int
    row0: int
    tensor: ArrayTensor
    timeline: Timeline | None
    keeps_time: bool = False  # the one stream beside which the shared times are written


class CausalEncoder:
    """The state of one pass: what was written and measured so far, per stream."""

    def __init__(self, writer: ArchiveWriter, specs: list[StreamSpec], target: Target, options: EncodeOptions) -> None:
        self.writer = writer
        self.target = target
        self.options = options
        self.outcomes = [
            StreamOutcome(spec, "", ChannelMoments(channels_of(spec)), ErrorSums(channels_of(spec))) for spec in specs
        ]
        self.digests = [hashlib.sha256() for _ in specs]
        self.segments = [0] * len(specs)
        self.end_bytes = _END_BYTES + writer.bytes_written  # the header is repeated in the end matter

    def encode(self, window: Window) -> None:
        """Plan one window, choose its step against everything so far, and write it as a segment."""
        outcome = self.outcomes[window.stream]
        spec = window.tensor.spec
        lossy = self.target.kind != "lossless" and spec.dtype in dtypes.FLOATS
        cuts = cut_rows(window.tensor, self.options.chunk_frames)
        seen = survey(window.tensor, cuts, nonfinite=self.options.nonfinite, lossy=lossy)
        self.digests[window.stream].update(np.ascontiguousarray(window.tensor.array).tobytes())
        recent = Recent(RECENT_BYTES)
        plan = StreamPlan(window.stream, window.tensor, cuts, seen, fit_options(self.options, None), recent)
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
            return trial.file_bytes + _CHUNK_END_BYTES * (len(plan.cuts) + 1)
        together = ErrorSums(outcome.sums.channels)
        together.merge(outcome.sums)
        together.merge(trial.sums)
        assert outcome.moments is not None
        return error_of(self.target.kind, together, outcome.moments)

    def _index_bytes(self, plan: StreamPlan) -> int:
        chunks = sum(one.chunks for one in self.outcomes) + len(plan.cuts)
        return _CHUNK_END_BYTES * (chunks + sum(self.segments) + 1)

    def _write(self, plan: StreamPlan, window: Window, outcome: StreamOutcome) -> None:
        segment = self.segments[window.stream]
        self.segments[window.stream] += 1
        if plan.models is not None:
            self.writer.models(window.stream, segment, plan.models)
        if window.timeline is not None and window.keeps_time:
            self.writer.times(0, window.row0, window.timeline.starts, window.timeline.ends)
        for chunk in ordered_map(plan.code, plan.cuts, self.options.jobs):
            record = record_of(plan, chunk, window.timeline, segment)
            self.writer.data(replace(record, row0=window.row0 + record.row0), chunk.payload)
            outcome.sums.merge(chunk.sums)
            outcome.chunks += 1
        outcome.lossy |= plan.lossy

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
    codebook: Codebook | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Encode one item in one pass and deliver it; returns the `--json` document. See `twopass.encode_dump`."""
    started = time.monotonic()
    if codebook is not None:
        raise UsageError("--codebook: not with --one-pass", hint="leave out one of them")
    feed = feed_of(opened) if isinstance(opened, Dump) else opened
    specs = list(feed.specs)
    target = _known_target(options.target(), specs)
    timed = frozenset(spec.name for spec in specs if feed.timebase is not None and spec.timed)
    name = feed.name if options.record_name else None
    item = ItemFacts(name, at_opening, feed.encoder, feed.timebase, timed)
    header = header_of(specs, item, recipe, _limits(specs, options))
    with destination.work.begin() as out:
        encoder = CausalEncoder(ArchiveWriter(out, header), specs, target, options)
        rows = [0] * len(specs)
        first = last = None
        for window in windows(feed):
            encoder.encode(window)
            rows[window.stream] += window.tensor.spec.known_rows
            if window.timeline is not None:
                first = window.timeline if first is None else first
                last = window.timeline
            reporter.progress("encode", rows[window.stream], specs[window.stream].rows, "rows")
        timeline = None
        if first is not None and last is not None:
            timeline = Timeline(first.starts[:1], last.ends[-1:], first.timebase)
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
        max_chunk_rows=options.chunk_frames,
        max_chunk_values=CHUNK_VALUES,
        max_rank=max((channels_of(spec) for spec in specs), default=1),
        max_modes=1,
        max_group=MAX_GROUP,
    )


def windows(feed: Feed) -> Iterator[Window]:
    """Windows of at most WINDOW_BYTES of every stream, streams in step."""
    specs = list(feed.specs)
    waiting: list[Block] = []
    rows_before = [0] * len(specs)
    size = 0
    for block in feed.blocks:
        waiting.append(block)
        size += max((array.nbytes for array in block.arrays.values()), default=0)
        if size >= WINDOW_BYTES:
            yield from _joined(specs, waiting, rows_before, feed)
            waiting, size = [], 0
    if waiting:
        yield from _joined(specs, waiting, rows_before, feed)


def _joined(specs: list[StreamSpec], blocks: list[Block], rows_before: list[int], feed: Feed) -> Iterator[Window]:
    timeline = None
    if feed.timebase is not None and all(block.starts is not None and block.ends is not None for block in blocks):
        starts = np.concatenate([block.starts for block in blocks if block.starts is not None])
        ends = np.concatenate([block.ends for block in blocks if block.ends is not None])
        timeline = Timeline(starts, ends, feed.timebase)
    for number, spec in enumerate(specs):
        arrays = [block.arrays[spec.name] for block in blocks if spec.name in block.arrays]
        if not arrays:
            continue
        array = np.concatenate(arrays)
        counts = None
        if spec.ragged:
            counts = np.concatenate([block.token_counts[spec.name] for block in blocks])
        rows = len(array) if counts is None else len(counts)
        clock = timeline if spec.timed else None
        tensor = ArrayTensor(spec.with_rows(rows), array, counts)
        yield Window(number, rows_before[number], tensor, clock, keeps_time=number == 0)
        rows_before[number] += rows


def feed_of(dump: Dump) -> Feed:
    """A dump as a feed: its streams one after the other, or in step when they share a timeline."""
    return Feed(
        specs=[tensor.spec for tensor in dump.tensors],
        blocks=_blocks_of(dump),
        name=dump.name,
        timebase=dump.timeline.timebase if dump.timeline is not None else None,
        source=dump.source,
        encoder=dump.encoder,
    )


def _blocks_of(dump: Dump) -> Iterator[Block]:
    for tensor in dump.tensors:
        for start, stop in cut_rows(tensor, 64):
            counts = tensor.token_counts
            block = Block({tensor.spec.name: tensor.read(start, stop)})
            if counts is not None:
                block.token_counts[tensor.spec.name] = counts[start:stop]
            yield block
