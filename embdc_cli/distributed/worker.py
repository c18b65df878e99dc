"""What runs in a worker: a function, applied to one item after the other, that can be stopped from beside.

Nothing here knows what the work is, nor Ray, which makes actors of it (`cluster.py`).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from embdc_cli import __version__


class Interrupted(Exception):
    """The work on an item was stopped before it was finished."""


class Worker:
    """Keeps the function, and so what it has loaded. `stop` is called in another thread than `run`."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._thread: int | None = None  # that works
        self._lock = threading.Lock()

    def version(self) -> str:
        """Of embdc, where the worker is."""
        return __version__

    def run(self, item: Any) -> Any:
        """What the function gives for `item`. Raises: what it raises; Interrupted."""
        results: list[Any] = []
        try:
            self._set_thread(threading.get_ident())
            try:
                results.append(self._function(item))
            finally:
                self._set_thread(None)
        except KeyboardInterrupt:
            if not results:  # else it came too late
                raise Interrupted from None
        return results[0]

    def stop(self) -> None:
        """KeyboardInterrupt in the thread that works, as a signal raises it in a program of its own."""
        with self._lock:
            if self._thread is not None:
                thread, error = ctypes.c_ulong(self._thread), ctypes.py_object(KeyboardInterrupt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)
                self._thread = None

    def _set_thread(self, thread: int | None) -> None:
        with self._lock:  # so that it is raised before `run` is left, never in what called it
            self._thread = thread
