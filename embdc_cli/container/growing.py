"""A local file that a writer is still adding to: its chunks as they come, until the tail or until nothing comes.

The file stays the same one when it gets its final name meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from embdc_cli.container.scan import GrowingScan, ScannedChunk
from embdc_cli.container.storage import LocalFile
from embdc_cli.errors import CorruptArchive, IncompleteError, SourceError
from embdc_cli.remote.filesystem import is_url

POLL_SECONDS: Final = 0.2
_DAMAGED_SECONDS: Final = 5.0
"""How long bytes may be wrong: on a network file system what comes later may be seen first."""


def growing_chunks(path: str, *, appends: bool, idle_seconds: float) -> Iterator[ScannedChunk]:
    """The chunks of the archive `path`, or of the unfinished work for it, as a writer adds them; ends at the tail.

    appends: go on behind a tail with the parts that follow, until nothing has come for `idle_seconds`.
    Raises: IncompleteError when nothing has come for that long and the last part has no tail, or when the unfinished
    work was deleted or begun anew; CorruptArchive for bytes that are wrong and stay so; SourceError when there is
    nothing to follow; UnsupportedArchive.
    """
    storage = _opened(path, idle_seconds)
    try:
        yield from _chunks(storage, appends, idle_seconds)
    finally:
        storage.close()


def _chunks(storage: LocalFile, appends: bool, idle_seconds: float) -> Iterator[ScannedChunk]:
    scan = GrowingScan(storage)
    last: ScannedChunk | None = None
    cut_back = False
    came = time.monotonic()
    while True:
        named = storage.refresh()
        before = scan.place
        if storage.size < before:
            cut_back = True  # by a writer that goes on from there, with the same bytes, or begins again
        elif storage.size > before:
            if cut_back and last is not None and not _is_there(storage, last):
                raise IncompleteError(f"{storage.name}: was begun anew by another writer", hint="follow it again")
            cut_back = False
            for chunk in scan.more(storage.size):
                last = chunk
                yield chunk
                came = time.monotonic()  # after the caller has taken its time with it
        if scan.sealed and scan.place == storage.size and not appends:
            return
        waited = time.monotonic() - came
        if scan.problem and not scan.cut and waited > min(idle_seconds, _DAMAGED_SECONDS):
            raise CorruptArchive(f"{storage.name}: byte {scan.place}: {scan.problem}")
        if scan.place > before:
            continue
        if waited > idle_seconds or not named:
            if scan.sealed and scan.place == storage.size:
                return
            raise _unfinished(storage.name, waited, deleted=not named)
        time.sleep(POLL_SECONDS)


def _unfinished(name: str, waited: float, *, deleted: bool) -> IncompleteError:
    if deleted:
        return IncompleteError(f"{name}: was deleted unfinished", hint="its writer has failed: see what it said")
    return IncompleteError(
        f"{name}: no tail, and nothing new for {waited:.0f} s", hint="its writer was stopped, or needs --idle-timeout"
    )


def _is_there(storage: LocalFile, chunk: ScannedChunk) -> bool:
    return storage.read(chunk.offset, chunk.offset + len(chunk.raw_header)) == chunk.raw_header


def _opened(path: str, idle_seconds: float) -> LocalFile:
    """The archive, or the youngest unfinished work for it, waited for. Raises: SourceError."""
    if is_url(path):
        raise SourceError(f"{path}: expected a local file, a URL cannot be followed", hint="follow it where it grows")
    begun = time.monotonic()
    while True:
        for name in (path, *unfinished_work(path)):
            if os.path.exists(name):
                try:
                    return LocalFile(name)
                except SourceError:
                    if os.path.exists(name):  # else it was renamed or deleted meanwhile
                        raise
        if time.monotonic() - begun > idle_seconds:
            raise SourceError(f"{path}: no such archive, and no unfinished work for it")
        time.sleep(POLL_SECONDS)


def unfinished_work(path: str) -> list[str]:
    """Files beside `path` that are to become it, the youngest first."""
    target = Path(path)
    prefix = f".{target.name}.part-"
    try:
        found = [entry for entry in os.scandir(target.parent) if entry.name.startswith(prefix)]
    except OSError:
        return []
    ages = {}
    for entry in found:
        try:
            if not entry.name.endswith((".plan", ".new")):
                ages[entry.path] = entry.stat().st_mtime
        except FileNotFoundError:
            continue  # it has got its name
    return sorted(ages, key=lambda name: ages[name], reverse=True)
