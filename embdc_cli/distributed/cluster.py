"""A Ray cluster: the connection, the room it has, and workers on its nodes. All that knows Ray."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from embdc_cli.distributed.worker import Worker
from embdc_cli.errors import ResourceError

CONNECT_SECONDS: Final = 10.0
"""How long the head of a cluster may take to answer."""

_SETTINGS: Final = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # messages of the cluster would go to standard output
    "RAY_USAGE_STATS_ENABLED": "0",  # of a cluster that is started here
}
"""Environment that Ray reads when it is imported."""

_FOLDERS: Final = ("EMBDC_CODEBOOK_PATH",)
_PASSED_ON: Final = (
    "ATEN_CPU_CAPABILITY",  # which instructions compute decides the last bits: this one, and those below
    "HF_HUB_OFFLINE",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "NUMBA_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "OPENBLAS_CORETYPE",
    *_FOLDERS,
)
"""Environment that workers take over from here, as it means the same on every node: the folders among it with absolute
names. EMBDC_TMPDIR does not: temporary files lie on the disk of the node."""


@dataclass(frozen=True)
class Workers:
    """What each worker takes, and how many there are; None: as many as the cluster has room for at the start."""

    cpus: float = 1
    gpus: float = 0
    count: int | None = None


class Gone(Exception):
    """A worker has ended or is out of reach; the words say why."""


class Raised(Exception):
    """What was called on a worker has raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(_first_line(error))
        self.error = error


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


def room(workers: Workers) -> int:
    """How many workers the connected cluster can hold now. Raises: ResourceError when it is none."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    asked = {"CPU": workers.cpus, "GPU": workers.gpus}
    needs = {name: amount for name, amount in asked.items() if amount}
    found = sum(int(min(node.get(name, 0) / amount for name, amount in needs.items())) for node in nodes)
    if found == 0:
        needed = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
        there = "; ".join(", ".join(f"{node.get(name, 0):g} {name}" for name in asked) for node in nodes)
        raise ResourceError(
            f"cluster: a worker needs {needed}, found nodes of {there}", hint="--workers N waits for nodes to come"
        )
    return found


def starter(function: Callable[[Any], Any], workers: Workers) -> Callable[[], RemoteWorker]:
    """What starts a `Worker` of `function` (picklable) on a node, or lets it wait for room there."""
    import ray

    sent = ray.put(function)  # once, however many workers
    kind = ray.remote(Worker).options(
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
        max_concurrency=2,  # the work, and the call that stops it
        runtime_env={"env_vars": _environment()},
    )
    return lambda: RemoteWorker(kind.remote(sent))


class RemoteWorker:
    """A `Worker` on a node, as its driver sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, method: str, *arguments: Any, answered: Callable[[Future[Any]], None]) -> None:
        """Call a method of the worker; `answered` hears of its end in another thread, with what `answer` reads."""
        # not ray.wait: that would swallow exceptions of signal handlers
        getattr(self._actor, method).remote(*arguments).future().add_done_callback(answered)

    def stop(self) -> None:
        """`Worker.stop`."""
        self._actor.stop.remote()

    def kill(self) -> None:
        """End it at once, whatever it does."""
        import ray

        with suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self._actor)


def answer(future: Future[Any]) -> Any:
    """What a worker has answered. Raises: Raised, Gone."""
    from ray.exceptions import RayError, RayTaskError

    try:
        return future.result()
    except RayTaskError as error:
        raise Raised(error.cause) from error
    except RayError as error:
        raise Gone(_why_gone(error)) from error


def _environment() -> dict[str, str]:
    found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    for name in found.keys() & set(_FOLDERS):
        folders = [os.path.abspath(folder) for folder in found[name].split(os.pathsep) if folder]
        found[name] = os.pathsep.join(folders)
    return found


def _why_gone(error: Exception) -> str:
    """Why a worker is gone, out of the long words of Ray."""
    from ray.exceptions import ActorUnavailableError

    if isinstance(error, ActorUnavailableError):
        return "it cannot be reached"
    words = str(error)
    found = re.search(r"(?:is dead|died) because (?:of )?(.*?)(?:[.,:] |[.,:]?$)", words, re.MULTILINE)
    kind = re.search(r"Worker exit type: (\w+)", words)
    return (found[1] if found else _first_line(error)) + (f" ({kind[1]})" if kind else "")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
