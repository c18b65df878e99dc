"""From a target to a quantiser step per stream: trials on the samples, then corrections from whole passes.

Errors are held per stream, sizes over the whole archive with one step index for all lossy streams (the step is
relative to each stream's rms). A stream that cannot hold its error at the finest step, or whose lossless form is
not larger, is stored losslessly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding.plan import StreamPlan, error_of
from embdc_cli.encoding.rate import StepSearch
from embdc_cli.encoding.writing import NullOutput, WriteJob, WriteResult, as_binary, perform
from embdc_cli.errors import TargetMissed
from embdc_cli.options import SIZE_TARGETS, Target
from embdc_cli.reporter import Reporter

ERROR_SLACK = 0.03  # targets are met from the good side by less than this
SIZE_SLACK = 0.03
_TRIAL_SLACK = 0.02
_ENOUGH = 12  # measurements after which the best one so far is taken
_MARGIN_BYTES = 4096  # header, index and summary of an archive that was not written to be measured
_CHUNK_BYTES = 96
_LOSSLESS_WORTH_TRYING = 1.5  # one chunk's lossless bytes over its lossy bytes


def size_goal(target: Target, values: int) -> int:
    """Bytes that a size target allows for `values` values."""
    return int(target.value * values / 8) if target.kind == "bpv" else int(target.value)


def error_goal(target: Target) -> float:
    """The error a quality target allows, in the measure of `error_of`."""
    return 1.0 - target.value if target.kind == "cosine" else target.value


@dataclass
class Choice:
    """The searches behind a decision, continued when a whole pass shows that the sample misled."""

    target: Target
    goal: float
    searches: dict[int, StepSearch] = field(default_factory=dict)  # by stream; size targets use key -1

    @classmethod
    def of(cls, target: Target, job: WriteJob) -> Choice:
        """A choice without searches yet."""
        if target.kind in SIZE_TARGETS:
            return cls(target, size_goal(target, sum(plan.values for plan in job.streams)))
        return cls(target, error_goal(target))

    def correct(self, job: WriteJob, result: WriteResult) -> bool:
        """Record a whole pass; True when every stream holds its goal, else steps are changed for another pass."""
        if self.target.kind in SIZE_TARGETS:
            return self._correct_size(job, result)
        settled = True
        for plan, outcome in zip(job.streams, result.outcomes, strict=True):
            if plan.index is None:
                continue
            search = self.searches[plan.number]
            search.record(plan.index, error_of(self.target.kind, outcome.sums, plan.moments))
            settled &= _move(plan, search)
        return settled

    def _correct_size(self, job: WriteJob, result: WriteResult) -> bool:
        lossy = [plan for plan in job.streams if plan.lossy]
        if not lossy:
            if result.file_bytes > self.goal:
                raise _too_small(self.goal, result.file_bytes)
            return True
        search = self.searches[-1]
        current = lossy[0].index
        assert current is not None
        search.record(current, result.file_bytes)
        index = _following(search)
        if index is None:
            raise _too_small(self.goal, result.file_bytes)
        if index == current:
            return True
        for plan in lossy:
            plan.set_step(index)
        return False


def _following(search: StepSearch) -> int | None:
    """The next index of a search, or its best one when it is over or has had enough passes; None: no step will do."""
    if search.best is not None and len(search.tried) >= _ENOUGH:
        return search.best
    following = search.next()
    return search.best if following is None else following


def _move(plan: StreamPlan, search: StepSearch) -> bool:
    """Set the stream to the search's next or best index; True when it is there already."""
    index = _following(search)
    if index == plan.index:
        return True
    if index is None:
        plan.set_lossless()
    else:
        plan.set_step(index)
    return False


def _too_small(goal: float, least: float) -> TargetMissed:
    return TargetMissed(
        f"target: {int(goal)} bytes allowed, the coarsest quality needs {int(least)}",
        hint="raise the ceiling; short inputs pay for header and models",
    )


def choose(job: WriteJob, target: Target, reporter: Reporter) -> Choice:
    """Set every stream of `job` to a step (or lossless) that should meet `target`."""
    lossy = [plan for plan in job.streams if plan.survey.moments is not None and plan.values]
    if target.kind == "lossless":
        return Choice.of(target, job)
    if target.kind in SIZE_TARGETS:
        return _choose_for_size(job, lossy, target, reporter)
    choice = Choice.of(target, job)
    for plan in lossy:
        search = StepSearch(choice.goal, rising=True, slack=_TRIAL_SLACK)
        while (index := search.next()) is not None:
            search.record(index, plan.trial(index, job.jobs).error(target.kind, plan.moments))
            reporter.progress(f"plan {plan.spec.name}", len(search.tried), None, "trials")
        if search.best is None:
            plan.set_lossless()
            continue
        plan.set_step(search.best)
        _prefer_lossless(plan, search.best, job.jobs)
        exact = plan.sample_is_all
        choice.searches[plan.number] = (
            search if exact else StepSearch(choice.goal, rising=True, slack=ERROR_SLACK, start=search.best)
        )
    return choice


def _prefer_lossless(plan: StreamPlan, index: int, jobs: int) -> None:
    """Store the stream losslessly where that is not larger; one chunk decides whether it is worth a trial."""
    lossy = plan.trial(index, jobs)
    first = plan.code(plan.sample[0])
    plan.set_lossless()
    exact_first = plan.code(plan.sample[0])
    close = len(exact_first.payload) < _LOSSLESS_WORTH_TRYING * (len(first.payload) + lossy.file_bytes * 0.05)
    if not close or plan.trial(None, jobs).file_bytes > lossy.file_bytes:
        plan.set_step(index)


def _choose_for_size(job: WriteJob, lossy: list[StreamPlan], target: Target, reporter: Reporter) -> Choice:
    choice = Choice.of(target, job)
    goal = choice.goal
    if _lossless_fits(job, goal):
        return choice
    exact = all(plan.sample_is_all for plan in job.streams)
    search = StepSearch(goal, rising=False, slack=_TRIAL_SLACK)
    while (index := search.next()) is not None:
        search.record(index, _archive_bytes(job, lossy, index, exact=exact))
        reporter.progress("plan", len(search.tried), None, "trials")
    index = search.best
    if index is None:
        if exact:
            raise _too_small(goal, min(search.tried.values()))
        index = max(search.tried)
    for plan in lossy:
        plan.set_step(index)
    choice.searches[-1] = search if exact else StepSearch(goal, rising=False, slack=SIZE_SLACK, start=index)
    return choice


def _archive_bytes(job: WriteJob, lossy: list[StreamPlan], index: int, *, exact: bool) -> float:
    """Size of the archive at `index`: measured when the samples are everything, else estimated from them."""
    if exact:
        for plan in lossy:
            plan.set_step(index)
        return null_pass(job).file_bytes
    total = float(_MARGIN_BYTES)
    for plan in job.streams:
        trial = plan.trial(index if plan in lossy else None, job.jobs)
        total += trial.file_bytes + _CHUNK_BYTES * len(plan.cuts)
    return total


def null_pass(job: WriteJob) -> WriteResult:
    """A whole pass whose bytes are only counted, with end matter."""
    return perform(job, ArchiveWriter(as_binary(NullOutput()), job.header))


def _lossless_fits(job: WriteJob, goal: float) -> bool:
    """Whether the lossless form is within a size ceiling; judged by first chunks before anything is coded in full."""
    for plan in job.streams:
        plan.set_lossless()
    first = sum(len(plan.code(plan.sample[0]).payload) * len(plan.cuts) for plan in job.streams if plan.cuts)
    if first > 2 * goal:
        return False
    return null_pass(job).file_bytes <= goal
