"""Signals as exceptions, so that `finally` and `with` clean up: SIGINT is KeyboardInterrupt, SIGTERM SystemExit(143),
the end of a time limit TimeLimit. A second signal ends the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from embdc_cli.failure import TimeLimit, signal_exit

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def raising() -> Iterator[None]:
    """Inside the block signals raise; the handlers before are put back. Off the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    ignored = {number for number in _ENDING if before[number] is signal.SIG_IGN}  # nohup, background jobs
    for number in set(_ENDING) - ignored:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def time_limit(limit_seconds: float | None) -> Iterator[None]:
    """Inside the block TimeLimit is raised once `limit_seconds` are over; None or off the main thread: never."""
    if limit_seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, expire)
    # 0 would disarm the timer: a limit of 0 s expires at once instead
    signal.setitimer(signal.ITIMER_REAL, max(limit_seconds, 1e-6))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_DFL)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(signal_exit(number))
