"""From a target to a quantiser step per stream: trials on the samples, then corrections from whole passes.

Errors are held per stream, sizes over the whole archive with one step index for all lossy streams (the step is
relative to each stream's rms). A stream that cannot hold its error at the finest step, or whose lossless form is
not larger, is stored losslessly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.overhead import END_BYTES, FRAMING_BYTES, HEADER_BYTES, INDEX_BYTES
from embdc_cli.encoding.plan import StreamPlan, Trial, error_of
from embdc_cli.encoding.rate import COARSEST, StepSearch
from embdc_cli.encoding.writing import NullOutput, WriteJob, WriteResult, perform
from embdc_cli.errors import TargetMissed
from embdc_cli.options import SIZE_TARGETS, Target
from embdc_cli.reporter import Reporter

ERROR_SLACK = 0.01  # targets are met from the good side by less than this
SIZE_SLACK = 0.01
_TRIAL_SLACK = 0.006
_MODELS_SLACK = 0.06  # models made for a step this near serve as well; then the quantiser alone is moved
_ENOUGH = 12  # measurements after which the best one so far is taken
_MOST_IMPORTANT = 16.0
"""How many times finer the step of a tensor of a small stack may be (`_weigh_stacks`)."""
_CLEARLY_LESS = 0.8
"""Of the error of the largest that fits: a smaller one with less than this is taken instead (`_least_error`)."""
_LOSSLESS_WORTH_TRYING = 1.5  # one chunk's lossless bytes over its lossy bytes


def size_goal(target: Target, values: int) -> int:
    """Bytes that a size target allows for `values` values."""
    return max(1, int(target.value * values / 8) if target.kind == "bpv" else int(target.value))


def error_goal(target: Target) -> float:
    """The error a quality target allows, in the measure of `error_of`."""
    return 1.0 - target.value if target.kind == "cosine" else target.value


@dataclass
class Choice:
    """The searches behind a decision, continued when a whole pass shows that the sample misled.

    settled: what was measured was the whole archive, so that nothing is left to correct. Whole passes search among
    nudges: models stay, the quantiser moves.
    """

    target: Target
    goal: float
    settled: bool = True
    searches: dict[int, StepSearch] = field(default_factory=dict)  # by stream; size targets use key -1

    @classmethod
    def of(cls, target: Target, job: WriteJob) -> Choice:
        """A choice without searches yet."""
        if target.kind in SIZE_TARGETS:
            return cls(target, size_goal(target, sum(plan.values for plan in job.streams)))
        return cls(target, error_goal(target))

    def correct(self, job: WriteJob, result: WriteResult) -> bool:
        """Record a whole pass; True when every stream holds its goal, else steps are changed for another pass."""
        if self.settled:
            if self.target.kind in SIZE_TARGETS and result.file_bytes > self.goal:
                raise _too_small(self.goal, result.file_bytes)
            if self.target.kind not in (*SIZE_TARGETS, "lossless"):
                self._check_errors(job, result)
            return True
        if self.target.kind in SIZE_TARGETS:
            return self._correct_size(job, result)
        held = True
        for plan, outcome in zip(job.streams, result.outcomes, strict=True):
            if plan.index is None or plan.number not in self.searches:
                continue
            search = self.searches[plan.number]
            search.record(plan.nudge, error_of(self.target.kind, outcome.sums, plan.moments))
            held &= _move(plan, search)
        return held

    def _check_errors(self, job: WriteJob, result: WriteResult) -> None:
        for plan, outcome in zip(job.streams, result.outcomes, strict=True):
            error = error_of(self.target.kind, outcome.sums, plan.moments) if plan.lossy else 0.0
            if error > self.goal * (1 + 1e-9):
                found = f"expected an error up to {self.goal:g}, found {error:g}"
                raise TargetMissed(f"stream {plan.spec.name!r}: {self.target.kind}, {found}")

    def _correct_size(self, job: WriteJob, result: WriteResult) -> bool:
        lossy = [plan for plan in job.streams if plan.lossy]
        if not lossy:
            if result.file_bytes > self.goal:
                raise _too_small(self.goal, result.file_bytes)
            return True
        search = self.searches[-1]
        current = lossy[0].nudge
        search.record(current, result.file_bytes)
        nudge = _following(search)
        if nudge is None:
            raise _too_small(self.goal, result.file_bytes)
        if nudge == current:
            return True
        for plan in lossy:
            plan.move(nudge)
        return False


def _following(search: StepSearch) -> int | None:
    """The next nudge of a search, or its best one when it is over or has had enough passes; None: no step will do."""
    if search.best is not None and len(search.tried) >= _ENOUGH:
        return search.best
    following = search.next()
    return search.best if following is None else following


def _move(plan: StreamPlan, search: StepSearch) -> bool:
    """Set the stream to the search's next or best nudge; True when it is there already."""
    nudge = _following(search)
    if nudge == plan.nudge:
        return True
    if nudge is None:
        plan.set_lossless()
    else:
        plan.move(nudge)
    return False


def _too_small(goal: float, least: float) -> TargetMissed:
    return TargetMissed(
        f"target: {int(goal)} bytes allowed, the smallest that was found needs {int(least)}",
        hint="raise the ceiling; short inputs pay for header and models, and some streams may be kept exactly",
    )


def choose(job: WriteJob, target: Target, reporter: Reporter) -> Choice:
    """Set every stream of `job` to a step (or lossless) that should meet `target`."""
    lossy = [plan for plan in job.streams if plan.survey.moments is not None and plan.values]
    choice = Choice.of(target, job)
    if target.kind == "lossless" or not lossy:
        return choice
    if target.kind in SIZE_TARGETS:
        _choose_for_size(choice, job, lossy, reporter)
        return choice
    for plan in lossy:
        start = plan.likely_index(error=choice.goal)
        plan.divide(start)
        found = _found(choice.goal, True, start, partial(_error, plan, target, job.jobs), plan, reporter)
        if found is None:
            plan.set_lossless()
            continue
        plan.set_step(*found)
        _prefer_lossless(plan, job.jobs)
        if not plan.sample_is_all:
            choice.settled = False
            choice.searches[plan.number] = StepSearch(choice.goal, rising=True, slack=ERROR_SLACK)
    return choice


Measure = Callable[[tuple[int, int]], float]


def _found(
    goal: float, rising: bool, start: int, measure: Measure, plan: StreamPlan, reporter: Reporter
) -> tuple[int, int] | None:
    """(index, nudge) that holds the goal and nearly uses it up; None when no step holds it."""
    search = StepSearch(goal, rising=rising, slack=_MODELS_SLACK, start=start)
    near_tried = False
    while (index := search.next()) is not None:
        search.record(index, measure((index, 0)))
        reporter.progress(f"plan {plan.spec.name}", len(search.tried), None, "trials")
        if not near_tried and abs(search.tried[index] / goal - 1) < _MODELS_SLACK:
            near_tried = True  # models for a step nearby will do, unless no nudge of them can
            found = _nudged(goal, rising, measure, search, [index])
            if found is not None:
                return found
    # where models jump between two indices, those of either side are tried
    return _nudged(goal, rising, measure, search, [search.best, search.failing])


def _nudged(
    goal: float, rising: bool, measure: Measure, search: StepSearch, indices: list[int | None]
) -> tuple[int, int] | None:
    """(index, nudge) among these indices that uses up the goal best; None where no nudge keeps it."""
    found: dict[tuple[int, int], float] = {}
    for index in indices:
        if index is None or any(value >= goal * (1 - _TRIAL_SLACK) for value in found.values()):
            continue
        fine = StepSearch(goal, rising=rising, slack=_TRIAL_SLACK)
        fine.record(0, search.tried[index])
        while (nudge := fine.next()) is not None and len(fine.tried) < _ENOUGH:
            fine.record(nudge, measure((index, nudge)))
        if fine.best is not None:
            found[index, fine.best] = fine.tried[fine.best]
    return max(found, key=found.__getitem__, default=None)


def _error(plan: StreamPlan, target: Target, jobs: int, step: tuple[int, int]) -> float:
    return plan.trial(step[0], jobs, step[1]).error(target.kind, plan.moments)


def _prefer_lossless(plan: StreamPlan, jobs: int) -> None:
    """Store the stream losslessly where that is not larger; one chunk decides whether it is worth a trial."""
    index, nudge = plan.index, plan.nudge
    assert index is not None
    lossy = plan.trial(index, jobs, nudge)
    (first,) = plan.code(plan.sample[:1])
    plan.set_lossless()
    (exact_first,) = plan.code(plan.sample[:1])
    close = len(exact_first.payload) < _LOSSLESS_WORTH_TRYING * (len(first.payload) + lossy.file_bytes * 0.05)
    if not close or plan.trial(None, jobs).file_bytes > lossy.file_bytes:
        plan.set_step(index, nudge)


def _choose_for_size(choice: Choice, job: WriteJob, lossy: list[StreamPlan], reporter: Reporter) -> None:
    goal = choice.goal
    if _lossless_fits(job, goal):
        return
    exact = all(plan.sample_is_all for plan in job.streams)
    tried: dict[tuple[int, int], Measured] = {}

    def measure(step: tuple[int, int]) -> float:
        tried[step] = _measured(job, lossy, step, exact=exact)
        return tried[step].file_bytes

    if len({plan.spec.channels for plan in lossy}) > 1:
        _weigh_stacks(lossy)
    main = min(lossy, key=lambda plan: (plan.importance, -plan.values))
    start = main.likely_index(bits_per_value=8 * goal / sum(plan.values for plan in job.streams))
    for plan in lossy:
        plan.divide(start)
    found = _found(goal, False, start, measure, lossy[0], reporter)
    if found is None:
        if exact:
            raise _too_small(goal, min(one.file_bytes for one in tried.values()))
        found = (COARSEST, 0)
    else:
        found = _least_error(found, goal, tried)
    choice.settled = exact
    for plan in lossy:
        plan.set_step(*found)
    if not exact:
        choice.searches[-1] = StepSearch(goal, rising=False, slack=SIZE_SLACK)


def _weigh_stacks(plans: list[StreamPlan]) -> None:
    """Finer steps for tensors of which, all of one shape together, there are few values.

    Tensors of unlike width are those of a network. Those of one shape are its layers, and of k of them each adds a k-th
    to the result; embeddings and heads, of which there is one, act on all of it. So every shape counts alike, and the
    sum of their nmse is least at a given size where nmse is in proportion to the values of all tensors of a shape.
    """
    layers = Counter((plan.spec.row_shape, plan.values) for plan in plans)
    largest = max(values * count for (_, values), count in layers.items())
    for plan in plans:
        stack = plan.values * layers[plan.spec.row_shape, plan.values]
        plan.importance = min(_MOST_IMPORTANT, math.sqrt(largest / stack))


class Measured(NamedTuple):
    """An archive: its size, and the sum of its lossy streams' nmse."""

    file_bytes: float
    error: float


def _least_error(found: tuple[int, int], goal: float, tried: Mapping[tuple[int, int], Measured]) -> tuple[int, int]:
    """`found`, unless a step tried on the way to it has clearly less error; no larger than `goal` either way.

    Not every finer step means less error: where samples of a video codec have no more levels to give, another rotation
    is taken for them, and that one may be worse for all that is asked for before the next.
    """
    least = min((step for step, one in tried.items() if one.file_bytes <= goal), key=lambda step: tried[step].error)
    return least if tried[least].error < _CLEARLY_LESS * tried[found].error else found


def _measured(job: WriteJob, lossy: list[StreamPlan], step: tuple[int, int], *, exact: bool) -> Measured:
    """The archive at `step`: measured when the samples are everything, else estimated from them."""
    if exact:
        for plan in lossy:
            plan.set_step(*step)
        whole = null_pass(job)
        errors = (
            outcome.sums.nmse(plan.moments)
            for plan, outcome in zip(job.streams, whole.outcomes, strict=True)
            if plan.lossy
        )
        return Measured(whole.file_bytes, sum(errors))
    trials = [plan.trial(step[0], job.jobs, step[1]) for plan in lossy]
    error = sum(trial.error("nmse", plan.moments) for trial, plan in zip(trials, lossy, strict=True))
    kept = [plan for plan in job.streams if plan not in lossy]
    return Measured(_estimate(job, [*trials, *(plan.trial(None, job.jobs) for plan in kept)]), error)


def _estimate(job: WriteJob, trials: list[Trial]) -> float:
    """Bytes of an archive whose streams' samples were coded in `trials`."""
    chunks = sum(len(plan.cuts) for plan in job.streams)
    framing_bytes = HEADER_BYTES + END_BYTES + (FRAMING_BYTES + INDEX_BYTES) * chunks
    return framing_bytes + sum(trial.file_bytes for trial in trials)


def null_pass(job: WriteJob) -> WriteResult:
    """A whole pass whose bytes are only counted, with end matter."""
    return perform(job, ArchiveWriter(NullOutput(), job.header))


def _lossless_fits(job: WriteJob, goal: float) -> bool:
    """Whether the lossless form is within a size ceiling; judged by first chunks before anything is coded in full."""
    for plan in job.streams:
        plan.set_lossless()
    first = sum(len(plan.code(plan.sample[:1])[0].payload) * len(plan.cuts) for plan in job.streams if plan.cuts)
    if first > 2 * goal:
        return False
    if any(plan.part is not None for plan in job.streams):
        return _estimate(job, [plan.trial(None, job.jobs) for plan in job.streams]) <= goal
    return null_pass(job).file_bytes <= goal
