"""A batch of `embdc encode` on a Ray cluster: the same documents, archives and exit codes as of a batch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from embdc_cli import batch
from embdc_cli.batch import Document
from embdc_cli.distributed.cluster import Workers, connected
from embdc_cli.distributed.item import Notes, absolute, attempt, with_absolute_paths
from embdc_cli.distributed.outcome import Outcome
from embdc_cli.distributed.pool import Pool
from embdc_cli.distributed.worker import Interrupted
from embdc_cli.errors import Busy, EmbdcError, ResourceError, Stopped
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter

BUSY_SECONDS: Final = 120.0
"""How long a worker that is thought lost may lock an output; file servers keep locks of dead clients for 90 s."""


@dataclass(frozen=True)
class _Item:
    """An item on its way to a worker. job: `{input, output}`, absolute."""

    job: Document
    options: EncodeOptions

    def again(self) -> _Item:
        """The item whose worker was lost: perhaps its archive is there, which is then no obstacle."""
        return replace(self, options=replace(self.options, skip_existing=True))


def run(
    jobs: Sequence[Document],
    options: EncodeOptions,
    *,
    address: str | None,
    workers: Workers,
    reporter: Reporter,
    finished: Callable[[Document, BaseException | None], None],
    fail_fast: bool = False,
    resumable: bool = False,
) -> list[Document]:
    """What `batch.run` returns, of jobs `{input, output}` encoded by `workers` of the cluster at `address`.

    The documents are in the order of the jobs; `finished` hears of every item as it comes. After a stop the items under
    way are interrupted, each with a document of its own. `fail_fast` begins nothing after a failure.
    Raises: ResourceError when there is no such cluster, or no room in it.
    """
    found: dict[int, Document] = {}
    failed = False

    def items() -> Iterator[_Item]:
        sent = with_absolute_paths(options)
        for job in jobs:
            if fail_fast and failed:
                return
            yield _Item({name: absolute(path) for name, path in job.items()}, sent)

    def take(index: int, item: Document, error: BaseException | None) -> None:
        nonlocal failed
        if item.get("status") == "stopped" and resumable and found:
            item["exit"] = Stopped.exit_code
        failed = failed or bool(item["exit"])
        found[index] = item
        finished(item, error)
        reporter.progress("encode", len(found), len(jobs), "inputs")

    if not jobs:
        return []
    with (
        connected(address),
        Pool(_encode, workers, most=len(jobs), again=_Item.again, note=reporter.note) as pool,
    ):
        try:
            for outcome in pool.map(items()):
                take(outcome.index, *_document(jobs[outcome.index], outcome, reporter))
        except (KeyboardInterrupt, SystemExit) as stop:
            for outcome in pool.stop():
                if outcome.index in found:  # the stop came right after it was taken
                    continue
                take(outcome.index, *_document(jobs[outcome.index], outcome, reporter, stop))
            if not any(item.get("status") == "stopped" for item in found.values()):
                index = next((index for index in range(len(jobs)) if index not in found), None)
                if index is not None:
                    take(index, batch.unfinished(jobs[index], "stopped", stop), stop)
    return [found[index] for index in sorted(found)]


def _encode(item: _Item) -> tuple[Document, list[str]]:
    """On a worker: the document of the item, and the notes to the user."""
    reporter = Notes()
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        document, error = attempt(item.job, item.options, reporter)
        if not isinstance(error, Busy) or time.monotonic() > deadline:
            return document, reporter.notes
        time.sleep(1)


def _document(
    job: Document,
    outcome: Outcome[_Item, tuple[Document, list[str]]],
    reporter: Reporter,
    stop: BaseException | None = None,
) -> tuple[Document, BaseException | None]:
    """The document of a job under the names that the user gave, and the error to tell."""
    if outcome.result is None:
        if isinstance(outcome.error, Interrupted) and stop is not None:
            return batch.unfinished(job, "stopped", stop), stop
        assert outcome.error is not None
        error = outcome.error
        if isinstance(error, ResourceError):
            error = ResourceError(f"{job['input']}: {error.message}", hint=error.hint)
        return batch.unfinished(job, "failed", error), error
    document, notes = outcome.result
    for note in notes:
        reporter.note(note)
    document = {**document, **job}
    told: dict[str, Any] | None = document.get("error")
    if stop is not None and document.get("status") == "stopped" and document["exit"] != Stopped.exit_code:
        return batch.unfinished(job, "stopped", stop), stop
    return document, EmbdcError(told["message"], hint=told["hint"]) if told else None
