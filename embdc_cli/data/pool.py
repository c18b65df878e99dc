"""Archives of one process that are open: few files, little memory, each opened again when it is wanted."""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from embdc_cli.archive import Archive
from embdc_cli.data.manifest import Manifest
from embdc_cli.errors import SourceError

MOST_OPEN: Final = 64
"""Archives that one process keeps open, a file each."""

HELD_BYTES: Final = 128 << 20
"""Indexes and models that open archives keep together; the archive used last may have more on its own."""


class OpenArchives:
    """The archives of a manifest by number, opened when they are used; threads may use several at once.

    Can be sent to other processes, and survives a fork: every process opens files for itself.
    """

    def __init__(self, manifest: Manifest, codebooks: Sequence[str], device: str) -> None:
        self._manifest, self._codebooks, self.device = manifest, tuple(codebooks), device
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Archive] = OrderedDict()  # used last at the end
        self._held: dict[int, int] = {}
        self._users: Counter[int] = Counter()
        self._pid = os.getpid()

    @contextmanager
    def using(self, number: int) -> Iterator[Archive]:
        """Archive `number`, which stays open meanwhile. Raises: what `embdc.open` raises; SourceError when it is no
        longer what the manifest says."""
        self._check_process()
        with self._lock:
            archive = self._open.get(number)
            self._users[number] += 1
        try:
            yield archive if archive is not None else self._opened(number)
        finally:
            with self._lock:
                self._users[number] -= 1
                if number in self._open:
                    self._open.move_to_end(number)
                    self._held[number] = self._open[number].held_bytes
                self._close_some()

    def _opened(self, number: int) -> Archive:
        known = self._manifest[number]
        archive = Archive(known.path, codebooks=self._codebooks, device=self.device)
        if archive.reader.file_bytes != known.file_bytes:
            archive.close()
            raise SourceError(
                f"{known.path}: expected {known.file_bytes} bytes, found {archive.reader.file_bytes}",
                hint="it has changed since its manifest was made",
            )
        with self._lock:
            kept = self._open.setdefault(number, archive)
        if kept is not archive:  # another thread was faster
            archive.close()
        return kept

    def _close_some(self) -> None:
        idle = [number for number in self._open if not self._users[number]]
        for number in idle[: len(idle) - 1]:
            if len(self._open) <= MOST_OPEN and sum(self._held.values()) <= HELD_BYTES:
                break
            self._open.pop(number).close()
            del self._held[number]

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            inherited = list(self._open.values())
            self._begin()  # a new lock as well: that of the parent may be held for ever
            for archive in inherited:
                archive.close()

    def __len__(self) -> int:
        """Archives that are open."""
        return len(self._open)

    def __getstate__(self) -> dict[str, Any]:
        return {"manifest": self._manifest, "codebooks": self._codebooks, "device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
