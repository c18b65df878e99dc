"""An object read at any offset, mostly forward: in blocks, each fetched once, ahead of who reads on.

Blocks are kept in a scratch file, the least recently used are dropped where it may not grow; so memory is bounded by
the few blocks that are on their way.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Final

from embdc_cli.remote.object import RemoteObject
from embdc_cli.scratch import disk_errors, scratch_file, scratch_folder

BLOCK_BYTES: Final = 8 << 20
_AHEAD: Final = 2  # blocks
_LEAST: Final = 8  # blocks, however little may be kept: more than are on their way at once


class Blocks:
    """The blocks of `source`, which it closes; at most `keep_max` bytes of them are kept. Serves any thread."""

    def __init__(self, source: RemoteObject, keep_max: int) -> None:
        self._source = source
        self.size = source.size
        self._count = -(-self.size // BLOCK_BYTES)
        self._most = max(_LEAST, keep_max // BLOCK_BYTES)
        self._slots: OrderedDict[int, int] = OrderedDict()  # of blocks, the one used last at the end
        self._coming: dict[int, Future[None]] = {}
        self._lock = threading.Lock()
        self._last = -1
        self._file = scratch_file()
        if self._count:
            self._fetch(0)  # it came when the object was opened
            source.forget()

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`, up to the end of a block; how many bytes that are. Raises: SourceError."""
        number, start = divmod(offset, BLOCK_BYTES)
        size = min(len(buffer), BLOCK_BYTES - start, self.size - offset)
        goes_on: bool | None = None
        while True:
            with self._lock:
                if goes_on is None:  # not of the second look, after the block has come
                    goes_on = self._last in (number - 1, number)
                    self._last = number
                if number in self._slots:
                    self._slots.move_to_end(number)
                    done = os.preadv(self._file.fileno(), [buffer[:size]], self._slots[number] * BLOCK_BYTES + start)
                    coming = None
                else:
                    coming = self._begun(number)
                if goes_on:
                    for following in range(number + 1, min(number + 1 + _AHEAD, self._count)):
                        if following not in self._slots:
                            self._begun(following)
            if coming is None:
                return done
            coming.result()

    def close(self) -> None:
        """Let go of the object and the scratch file."""
        with self._lock:
            self._file.close()
        self._source.close()

    def _begun(self, number: int) -> Future[None]:
        """The fetch of a block, begun if it is not; the caller holds the lock."""
        if number not in self._coming:
            future: Future[None] = Future()
            self._coming[number] = future
            thread = threading.Thread(target=self._run, args=(number, future), name="embdc-blocks", daemon=True)
            thread.start()
        return self._coming[number]

    def _run(self, number: int, future: Future[None]) -> None:
        try:
            self._fetch(number)
        except Exception as error:  # noqa: BLE001  # raised by who waits for the block
            future.set_exception(error)
        else:
            future.set_result(None)
        finally:
            with self._lock:
                del self._coming[number]

    def _fetch(self, number: int) -> None:
        start = number * BLOCK_BYTES
        (data,) = self._source.read_many([(start, min(start + BLOCK_BYTES, self.size))])
        with self._lock:
            if self._file.closed:
                return
            slot = len(self._slots) if len(self._slots) < self._most else self._slots.popitem(last=False)[1]
            with disk_errors(scratch_folder()):
                os.pwrite(self._file.fileno(), data, slot * BLOCK_BYTES)
            self._slots[number] = slot
