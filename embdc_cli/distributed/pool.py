"""A pool of workers on a cluster that lives through the loss of any of them.

Nothing here knows what the work is:

    with connected(address), Pool(function, Workers(cpus=1)) as pool:
        for outcome in pool.map(items):
            use(outcome.item, outcome.value())

Workers are actors, so that what a function keeps (a network on a GPU) is loaded once per worker; a call of an actor
also takes about half the time of a task of its own. No more items are under way than there are workers.
"""

from __future__ import annotations

import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from embdc_cli import __version__
from embdc_cli.distributed.cluster import Gone, Raised, RemoteWorker, Workers, answer, room, starter
from embdc_cli.distributed.outcome import Lost, Outcome
from embdc_cli.distributed.worker import Interrupted
from embdc_cli.errors import ResourceError

T = TypeVar("T")
R = TypeVar("R")

RETRIES: Final = 3
"""How often an item is tried again whose worker was lost."""
GRACE_SECONDS: Final = 20.0
"""How long stopped work may take to come to its end: less than the 30 s that Slurm and Kubernetes leave."""
PATIENCE_SECONDS: Final = 60.0
"""How often it is said, while there is no worker, what is waited for."""


class Pool(Generic[T, R]):
    """Workers of the connected cluster that apply `function` (picklable) to items (picklable), each to one at a time.

    A worker that is lost is replaced, and its item is tried again, at most `retries` times. An exception of the
    function is an outcome, and not tried again.

    most: of workers, where there are not more items. again: what is sent instead of an item that is tried again, for
    its worker may have finished it before it was lost.
    note: hears in words of losses and of waiting.
    Raises: ResourceError when the cluster has no room for a worker, or workers cannot be started.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        workers: Workers,
        *,
        most: int | None = None,
        retries: int = RETRIES,
        again: Callable[[T], T] = lambda item: item,
        note: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._retries, self._again, self._note = retries, again, note
        self.count = min(workers.count or room(workers), most or sys.maxsize)
        self._start = starter(function, workers)
        self._events: queue.SimpleQueue[tuple[_Handle[T], Future[Any]]] = queue.SimpleQueue()
        self._given: Outcome[T, R] | None = None  # last, and perhaps not taken
        self._handles: set[_Handle[T]] = set()
        self._lost_tasks: deque[_Task[T]] = deque()
        self._homes: dict[Hashable, _Handle[T]] = {}
        self._failed_starts = 0
        self._heard = time.monotonic()

    def map(
        self,
        items: Iterable[T],
        *,
        ahead: int | None = None,
        home: Callable[[T], Hashable | None] = lambda item: None,
    ) -> Iterator[Outcome[T, R]]:
        """The outcome of every item, as they come. `items` is read only as far as workers are free.

        ahead: an item waits while the first unfinished one is so many places before it, so that no more than that
        many results ever wait for their turn in `ordered`; None: it never waits.
        home: what an item needs that a worker keeps. As long as the worker lives that had the first such item, in this
        call or one before, it has them all; items for workers that are busy are passed over. None: any worker.
        """
        rest = enumerate(items)
        taken, exhausted = 0, False
        unfinished: set[int] = set()
        passed_over: list[_Task[T]] = []

        def next_for(handle: _Handle[T]) -> _Task[T] | None:
            nonlocal taken, exhausted
            for task in passed_over:
                if self._may_have(handle, task):
                    passed_over.remove(task)
                    return task
            while not exhausted and (ahead is None or taken < min(unfinished, default=taken) + ahead):
                for index, item in rest:
                    taken += 1
                    unfinished.add(index)
                    task = _Task(index, item, home(item))
                    if self._may_have(handle, task):
                        return task
                    passed_over.append(task)
                    break
                else:
                    exhausted = True
            # last: an item that kills its worker must not kill one after the other
            return self._lost_tasks.popleft() if self._lost_tasks else None

        while True:
            for handle in self._idle():
                task = next_for(handle)
                if task is not None:
                    if task.home is not None:
                        self._homes[task.home] = handle
                    handle.begin(task, self._events)
            if exhausted and not unfinished:
                return
            outcome = self._next_outcome(None)
            if outcome is not None:
                unfinished.discard(outcome.index)
                yield outcome

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> Iterator[Outcome[T, R]]:
        """Interrupts what is under way, with KeyboardInterrupt in the function, and gives what becomes of it.

        What has not come to an end within `grace_seconds`, or with its worker, is an outcome with `Interrupted`.
        The last outcome of `map` may come once more: perhaps the signal came before it was taken.
        """
        deadline = time.monotonic() + grace_seconds
        working = {handle for handle in self._handles if handle.task is not None}
        for handle in working:
            handle.worker.stop()
        self._retries = -1  # what is lost now is lost
        if self._given is not None:
            yield self._given
        while working and (left := deadline - time.monotonic()) > 0:
            outcome = self._next_outcome(left)
            if outcome is not None:
                lost = isinstance(outcome.error, ResourceError)
                yield Outcome(outcome.index, outcome.item, error=Interrupted()) if lost else outcome
            working = {handle for handle in working if handle.task is not None}
        for handle in working:
            assert handle.task is not None
            yield Outcome(handle.task.index, handle.task.item, error=Interrupted())

    def close(self) -> None:
        """End all workers at once, whatever they do."""
        for handle in self._handles:
            handle.worker.kill()
        self._handles.clear()

    def __enter__(self) -> Pool[T, R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _may_have(self, handle: _Handle[T], task: _Task[T]) -> bool:
        found = None if task.home is None else self._homes.get(task.home)
        return found is None or found is handle or found not in self._handles

    def _idle(self) -> list[_Handle[T]]:
        """Workers that wait for an item; those that are missing are started."""
        while len(self._handles) < self.count:
            handle = _Handle[T](self._start())
            self._handles.add(handle)
            handle.call("version", events=self._events)
        return [handle for handle in self._handles if handle.ready and handle.task is None]

    def _next_outcome(self, timeout_seconds: float | None) -> Outcome[T, R] | None:
        """Waits for the next event, and says what it means for an item if it does."""
        self._given = None
        try:
            handle, future = self._events.get(timeout=timeout_seconds or PATIENCE_SECONDS)
        except queue.Empty:
            if timeout_seconds is None:
                self._say_what_is_missing()
            return None
        self._heard = time.monotonic()
        if handle in self._handles:  # else given up before
            self._given = self._outcome(handle, future)
        return self._given

    def _outcome(self, handle: _Handle[T], future: Future[Any]) -> Outcome[T, R] | None:
        task, handle.task = handle.task, None
        try:
            found = answer(future)
        except Raised as raised:
            if task is None:
                raise ResourceError(f"cluster: {raised}") from raised.error
            return Outcome(task.index, task.item, error=raised.error)
        except Gone as gone:
            return self._lost(handle, task, gone)
        if task is not None:
            return Outcome(task.index, task.item, found)
        if found != __version__:
            raise ResourceError(f"cluster: a node has embdc {found}, expected {__version__} as here")
        handle.ready, self._failed_starts = True, 0
        return None

    def _lost(self, handle: _Handle[T], task: _Task[T] | None, why: Gone) -> Outcome[T, R] | None:
        self._handles.discard(handle)
        handle.worker.kill()  # it may only be out of reach
        if task is None:
            self._failed_starts += not handle.ready
            if self._failed_starts > self._retries >= 0:
                hint = "every node needs the same embdc and Python"
                raise ResourceError(f"cluster: workers cannot be started, {why}", hint=hint) from why
            return None
        task.losses += 1
        if task.losses <= self._retries:
            self._note(f"a worker was lost, {why}: its item is tried again ({task.losses} of {self._retries})")
            task.item = self._again(task.item)
            self._lost_tasks.append(task)
            return None
        lost = Lost(
            f"lost with its worker {task.losses} times, at last because {why}",
            hint="if memory ran out: fewer workers at once, with more --worker-cpus each",
        )
        return Outcome(task.index, task.item, error=lost)

    def _say_what_is_missing(self) -> None:
        if not any(handle.ready for handle in self._handles):
            waited = time.monotonic() - self._heard
            self._note(f"waiting for the cluster to have room for a worker, since {waited:.0f} s")


@dataclass(eq=False)
class _Task(Generic[T]):
    index: int
    item: T
    home: Hashable | None = None
    losses: int = 0


@dataclass(eq=False)
class _Handle(Generic[T]):
    """A worker as the pool knows it: started, ready, at work on a task."""

    worker: RemoteWorker
    ready: bool = False
    task: _Task[T] | None = None

    def begin(self, task: _Task[T], events: queue.SimpleQueue[tuple[_Handle[T], Any]]) -> None:
        self.task = task
        self.call("run", task.item, events=events)

    def call(self, method: str, *arguments: Any, events: queue.SimpleQueue[tuple[_Handle[T], Any]]) -> None:
        self.worker.call(method, *arguments, answered=lambda future: events.put((self, future)))
