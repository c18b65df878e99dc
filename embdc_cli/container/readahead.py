"""Ranges that are going to be read, fetched a batch ahead of who reads them."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Final

Range = tuple[int, int]

BATCH_BYTES: Final = 8 << 20
"""Ranges that follow each other travel together up to this size; three batches are in memory at most."""
_AGAIN: Final = 16  # batches back: somebody begins once more


def merged(ranges: Iterable[Range], gap_bytes: int) -> list[Range]:
    """`ranges` in file order; those that lie at most `gap_bytes` apart as one."""
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1] + gap_bytes:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found


class ReadAhead:
    """What `fetch` gives for `ranges`, while they are asked for in about the order of the file, from any thread."""

    def __init__(self, fetch: Callable[[Sequence[Range]], list[bytes]], ranges: Iterable[Range], gap_bytes: int):
        self._fetch = fetch
        self._pieces = list(_cut(merged(ranges, gap_bytes)))
        self._starts = [start for start, _ in self._pieces]
        self._batches = list(_batches(self._pieces))
        self._coming: dict[int, Future[list[bytes]]] = {}
        self._newest = 0
        self._process = os.getpid()
        self._lock = threading.Lock()

    def find(self, wanted: Range) -> bytes | None:
        """The bytes of a range, None where they are not among those fetched. Raises: what `fetch` does."""
        if self._process != os.getpid():
            return None  # threads do not survive a fork
        start, stop = wanted
        at = bisect_right(self._starts, start) - 1
        parts = []
        while start < stop:
            if not 0 <= at < len(self._pieces) or not self._pieces[at][0] <= start < self._pieces[at][1]:
                return None
            data = self._piece(at)
            if data is None:
                return None
            parts.append(data[start - self._starts[at] : stop - self._starts[at]])
            start, at = self._pieces[at][1], at + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, at: int) -> bytes | None:
        number = bisect_right(self._batches, at) - 1
        with self._lock:
            if self._newest - _AGAIN < number < self._newest - 1:
                return None  # dropped; somebody lags behind
            self._newest = number if number <= self._newest - _AGAIN else max(self._newest, number)
            for one in (number, number + 1):
                if one < len(self._batches) and one not in self._coming:
                    self._coming[one] = self._begun(one)
            for old in [one for one in self._coming if not self._newest - 1 <= one <= self._newest + 1]:
                del self._coming[old]
            coming = self._coming[number]
        return coming.result()[at - self._batches[number]]

    def _begun(self, number: int) -> Future[list[bytes]]:
        stop = self._batches[number + 1] if number + 1 < len(self._batches) else len(self._pieces)
        pieces = self._pieces[self._batches[number] : stop]
        future: Future[list[bytes]] = Future()

        def work() -> None:
            try:
                future.set_result(self._fetch(pieces))
            except BaseException as error:  # noqa: BLE001  # raised by who waits for it
                future.set_exception(error)

        threading.Thread(target=work, name="embdc-read-ahead", daemon=True).start()
        return future


def _cut(ranges: Iterable[Range]) -> Iterator[Range]:
    for start, stop in ranges:
        for at in range(start, stop, BATCH_BYTES):
            yield at, min(at + BATCH_BYTES, stop)


def _batches(pieces: Sequence[Range]) -> Iterator[int]:
    """The number of the first piece of every batch."""
    size = 0
    for at, (start, stop) in enumerate(pieces):
        if at == 0 or size + stop - start > BATCH_BYTES:
            yield at
            size = 0
        size += stop - start
