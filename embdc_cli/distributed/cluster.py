"""Work on a Ray cluster: a connection, and a pool of workers that lives through the loss of any of them.

Nothing here knows what the work is:

    with connected(address), Pool(function, Workers(cpus=1)) as pool:
        for outcome in pool.map(items):
            use(outcome.item, outcome.value())

Workers are actors, so that what a function keeps (a network on a GPU) is loaded once per worker; a call of an actor
also takes about half the time of a task of its own. No more items are under way than there are workers.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from embdc_cli import __version__
from embdc_cli.errors import ResourceError

T = TypeVar("T")
R = TypeVar("R")

RETRIES: Final = 3
"""How often an item is tried again whose worker was lost."""
GRACE_SECONDS: Final = 20.0
"""How long stopped work may take to come to its end: less than the 30 s that Slurm and Kubernetes leave."""
CONNECT_SECONDS: Final = 10.0
"""How long the head of a cluster may take to answer."""
PATIENCE_SECONDS: Final = 60.0
"""How often it is said, while there is no worker, what is waited for."""

_SETTINGS: Final = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # messages of the cluster would go to standard output
    "RAY_USAGE_STATS_ENABLED": "0",  # of a cluster that is started here
}
"""Environment that Ray reads when it is imported."""

_PASSED_ON: Final = (
    "ATEN_CPU_CAPABILITY",
    "HF_HUB_OFFLINE",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "NUMBA_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "OPENBLAS_CORETYPE",
)
"""Environment that workers take over from here: which instructions compute decides the last bits."""


@dataclass(frozen=True)
class Workers:
    """What each worker takes, and how many there are; None: as many as the cluster has room for at the start."""

    cpus: float = 1
    gpus: float = 0
    count: int | None = None


class Lost(ResourceError):
    """The workers of an item were lost again and again."""


class Interrupted(Exception):
    """The work on an item was stopped before it was finished."""


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of `item`, the one of number `index`: the result, or why there is none.

    error: what the function raised; `Lost`; Interrupted.
    """

    index: int
    item: T
    result: R | None = None
    error: BaseException | None = None

    def value(self) -> R:
        """The result. Raises: the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # R may itself be optional


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """Inside the block this process is the driver of a job on the Ray cluster at `address`.

    None: $RAY_ADDRESS, else the cluster that runs on this machine, else one that is started here and ends with the
    block. Ray prints nothing, and signals keep their handlers. A connection that is there already is used.
    Raises: ResourceError when Ray is not installed, or there is no such cluster.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ResourceError("--engine ray: ray is not installed", hint="pip install 'embdc[ray]'") from error
    if ray.is_initialized():
        yield
        return
    _check_there(address or os.environ.get("RAY_ADDRESS"))
    on_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, include_dashboard=False)
    except SystemExit:  # of ray's own handler
        if on_main_thread and callable(before):
            before(signal.SIGTERM, None)
        raise
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ResourceError(f"--engine ray: no cluster can be used, {_first_line(error)}") from error
    finally:
        if on_main_thread:  # ray has put one of its own there
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
    try:
        yield
    finally:
        ray.shutdown()


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
        import ray

        self._ray = ray
        self._retries, self._again, self._note = retries, again, note
        self.count = min(workers.count or _room(workers), most or sys.maxsize)
        self._function = ray.put(function)  # once, however many workers
        self._kind = ray.remote(_Worker).options(
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            max_concurrency=2,  # the work, and the call that stops it
            runtime_env={"env_vars": {name: os.environ[name] for name in _PASSED_ON if name in os.environ}},
        )
        self._events: queue.SimpleQueue[tuple[_Handle[T], Any]] = queue.SimpleQueue()
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
        """
        deadline = time.monotonic() + grace_seconds
        working = {handle for handle in self._handles if handle.task is not None}
        for handle in working:
            handle.actor.stop.remote()
        self._retries = -1  # what is lost now is lost
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
            self._kill(handle)
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
            handle = _Handle[T](self._kind.remote(self._function))
            self._handles.add(handle)
            handle.listen(handle.actor.version.remote(), self._events)
        return [handle for handle in self._handles if handle.ready and handle.task is None]

    def _next_outcome(self, timeout_seconds: float | None) -> Outcome[T, R] | None:
        """Waits for the next event, and says what it means for an item if it does."""
        try:
            handle, future = self._events.get(timeout=timeout_seconds or PATIENCE_SECONDS)
        except queue.Empty:
            if timeout_seconds is None:
                self._say_what_is_missing()
            return None
        self._heard = time.monotonic()
        if handle not in self._handles:  # given up before
            return None
        task, handle.task = handle.task, None
        try:
            found = future.result()
        except self._ray.exceptions.RayTaskError as error:
            if task is None:
                raise ResourceError(f"cluster: {_first_line(error.cause)}") from error
            return Outcome(task.index, task.item, error=error.cause)
        except self._ray.exceptions.RayError as error:
            return self._lost(handle, task, error)
        if task is not None:
            return Outcome(task.index, task.item, found)
        if found != __version__:
            raise ResourceError(f"cluster: a node has embdc {found}, expected {__version__} as here")
        handle.ready, self._failed_starts = True, 0
        return None

    def _lost(self, handle: _Handle[T], task: _Task[T] | None, error: Exception) -> Outcome[T, R] | None:
        self._handles.discard(handle)
        self._kill(handle)  # it may only be out of reach
        unavailable = isinstance(error, self._ray.exceptions.ActorUnavailableError)
        why = "it cannot be reached" if unavailable else _why_lost(error)
        if task is None:
            self._failed_starts += not handle.ready
            if self._failed_starts > self._retries >= 0:
                raise ResourceError(f"cluster: workers cannot be started, {why}", hint=_SAME) from error
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

    def _kill(self, handle: _Handle[T]) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(handle.actor)


def ordered(outcomes: Iterable[Outcome[T, R]]) -> Iterator[Outcome[T, R]]:
    """The outcomes of `Pool.map` in the order of their items; those that come early are held."""
    held: dict[int, Outcome[T, R]] = {}
    due = 0
    for outcome in outcomes:
        held[outcome.index] = outcome
        while due in held:
            yield held.pop(due)
            due += 1


_SAME: Final = "every node needs the same embdc and Python"


@dataclass(eq=False)
class _Task(Generic[T]):
    index: int
    item: T
    home: Hashable | None = None
    losses: int = 0


@dataclass(eq=False)
class _Handle(Generic[T]):
    """A worker as its driver sees it: started, ready, at work on a task."""

    actor: Any
    ready: bool = False
    task: _Task[T] | None = None

    def begin(self, task: _Task[T], events: queue.SimpleQueue[tuple[_Handle[T], Any]]) -> None:
        self.task = task
        self.listen(self.actor.run.remote(task.item), events)

    def listen(self, reference: Any, events: queue.SimpleQueue[tuple[_Handle[T], Any]]) -> None:
        # a queue, not ray.wait: that would swallow exceptions of signal handlers
        reference.future().add_done_callback(lambda future: events.put((self, future)))


class _Worker:
    """A worker as it runs on a node."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._working: int | None = None  # the thread that works

    def version(self) -> str:
        return __version__

    def run(self, item: Any) -> Any:
        try:
            self._working = threading.get_ident()
            try:
                return self._function(item)
            finally:
                self._working = None
        except KeyboardInterrupt:
            raise Interrupted from None

    def stop(self) -> None:
        """KeyboardInterrupt in the thread that works, as a signal raises it in a program of its own."""
        if self._working is not None:
            thread, error = ctypes.c_ulong(self._working), ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)


def _check_there(address: str | None) -> None:
    """Refuse an address at which nobody listens; Ray itself tries for minutes. Raises: ResourceError."""
    host, colon, port = (address or "").rpartition(":")
    if not colon:  # none, or `auto` or `local`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        words = (getattr(error, "strerror", None) or str(error)).lower()
        raise ResourceError(f"--engine ray: {address}: no cluster there, {words}") from error


def _room(workers: Workers) -> int:
    """How many workers the cluster can hold now. Raises: ResourceError when it is none."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    asked = {"CPU": workers.cpus, "GPU": workers.gpus}
    needs = {name: amount for name, amount in asked.items() if amount}
    room = sum(int(min(node.get(name, 0) / amount for name, amount in needs.items())) for node in nodes)
    if room == 0:
        needed = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
        there = "; ".join(", ".join(f"{node.get(name, 0):g} {name}" for name in asked) for node in nodes)
        raise ResourceError(
            f"cluster: a worker needs {needed}, found nodes of {there}", hint="--workers N waits for nodes to come"
        )
    return room


def _why_lost(error: Exception) -> str:
    """Why a worker is gone, out of the long words of Ray."""
    words = str(error)
    found = re.search(r"(?:is dead|died) because (?:of )?(.*?)(?:[.,:] |[.,:]?$)", words, re.MULTILINE)
    kind = re.search(r"Worker exit type: (\w+)", words)
    return (found[1] if found else _first_line(error)) + (f" ({kind[1]})" if kind else "")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
