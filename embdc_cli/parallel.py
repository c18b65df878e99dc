"""Ordered work on a few threads, and one BLAS thread per task: the two things that keep bytes independent of `-j`."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """`function` of every item, in order, with at most `jobs` running and as many results waiting."""
    if jobs <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(jobs) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


_limits_lock = threading.Lock()
_limits: list[Any] = []  # one entry per nested or concurrent use; the first holds what to restore


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread: how a product is split over threads changes its last bits.

    The setting belongs to the process, so uses in several threads share it: the first sets it, the last restores it.
    """
    with _limits_lock:
        _limits.append(_limited() if not _limits else None)
    try:
        yield
    finally:
        with _limits_lock:
            first = _limits.pop(0)
            if _limits:
                _limits[0] = first
            else:
                first.restore_original_limits()


def _limited() -> Any:
    return _controller(len(sys.modules)).limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _controller(_modules: int) -> Any:
    """What sets the threads of libraries that are loaded: finding them takes a millisecond, so they are looked for
    again only when modules have come, which may have brought some."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
