"""Large objects that can be made again: kept while they fit a budget, made anew when they were dropped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

T = TypeVar("T")


class Recent:
    """The values used last, up to `budget_bytes` by the sizes they were said to have, but always at least one."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], size_bytes: Callable[[T], int]) -> T:
        """The value of `key`, made by `make` when it is not kept; of threads that ask at once, one makes it for all."""
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    kept: T = self._values[key][0]
                    return kept
                making = self._making.get(key)
                if making is None:
                    promised = self._making[key] = Future()
                    break
            try:
                found: T = making.result()
            except CancelledError:
                continue  # the thread that made it was interrupted
            return found
        try:
            value = make()
            self.put(key, value, size_bytes(value))
            promised.set_result(value)
        except BaseException as error:
            if isinstance(error, Exception):
                promised.set_exception(error)
            else:
                promised.cancel()
            raise
        finally:
            with self._lock:
                del self._making[key]
        return value

    @property
    def held_bytes(self) -> int:
        """Of all values that are kept."""
        with self._lock:
            return sum(size for _, size in self._values.values())

    def known(self, key: Hashable) -> Any:
        """The value of `key`, None when it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of `size` bytes."""
        with self._lock:
            self._values[key] = value, size
            while len(self._values) > 1 and sum(size for _, size in self._values.values()) > self._budget:
                self._values.popitem(last=False)
