"""Where archives and unfinished work are: folders, patterns and URLs become places, in a stable order."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from embdc_cli.encoding.work import WorkInProgress
from embdc_cli.errors import SourceError
from embdc_cli.remote.errors import read_errors, unreadable
from embdc_cli.remote.filesystem import filesystem, is_url
from embdc_cli.remote.multipart import unfinished_uploads
from embdc_cli.unfinished import parts_of, resumable_name

SUFFIX: Final = ".embdc"


@dataclass(frozen=True)
class Place:
    """An archive at a path or URL; with `work` one that is not finished, which `encode --resume` goes on with."""

    path: str
    work: WorkInProgress | None = None

    @property
    def file(self) -> str:
        """What there is to read of it."""
        return self.path if self.work is None else str(self.work.part)


def places(argument: str, *, recursive: bool) -> Iterator[Place]:
    """The archives that a path, folder, pattern, or URL of these names, and unfinished work in folders.

    What is neither folder nor pattern is a place whether or not it is there. Folders are walked in order of names.
    Raises: SourceError for a folder that cannot be read, and for a pattern that nothing matches.
    """
    if is_url(argument):
        yield from _remote(argument, recursive=recursive)
    elif os.path.isdir(argument):
        yield from _folder(argument, recursive=recursive)
    elif glob.has_magic(argument) and not os.path.exists(argument):
        found = sorted(glob.glob(argument, recursive=True))
        if not found:
            raise SourceError(f"{argument}: nothing matches")
        for path in found:
            if os.path.isdir(path):
                yield from _folder(path, recursive=recursive)
            else:
                yield Place(path)
    else:
        yield Place(argument)


def places_of(output: str) -> Iterator[Place]:
    """The archive at a path, if it is there, and unfinished work on it."""
    if os.path.exists(output):
        yield Place(output)
    for part in parts_of(Path(output)):
        work = _work(os.path.dirname(output), part.name)
        if work is not None:
            yield Place(output, work)


def _work(folder: str, name: str) -> WorkInProgress | None:
    """The unfinished work whose part has this name. Without a plan it is being written, or left over: None."""
    found = resumable_name(name)
    if found is None or not found[0].endswith(SUFFIX):
        return None
    work = WorkInProgress(Path(folder, found[0]), found[1])
    return work if work.plan.exists() else None


def _folder(folder: str, *, recursive: bool) -> Iterator[Place]:
    try:
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}") from error
    found: list[tuple[str, str, Place | None]] = []
    for name, is_folder in listed:
        path = os.path.join(folder, name)
        work = _work(folder, name)
        if work is not None:
            target = os.path.join(folder, work.target.name)
            found.append((target, name, Place(target, work)))
        elif is_folder and recursive:
            found.append((path, name, None))
        elif name.endswith(SUFFIX) and not name.startswith(".") and not os.path.isdir(path):
            found.append((path, name, Place(path)))
    for path, _, place in sorted(found, key=lambda one: one[:2]):
        if place is not None:
            yield place
        else:
            yield from _folder(path, recursive=True)


def _remote(url: str, *, recursive: bool) -> Iterator[Place]:
    if not _is_pattern(url) and url.endswith(SUFFIX):
        yield Place(url)
        return
    for path in _listed(url, pattern=_is_pattern(url), recursive=recursive):
        yield Place(path)


def uploads(url: str, *, recursive: bool) -> list[str]:
    """URLs of the archives that are being uploaded into the folder that a URL names; none for another URL.

    Raises: as `unfinished_uploads`.
    """
    if _is_pattern(url) or url.endswith(SUFFIX):
        return []
    depth = url.rstrip("/").count("/") + 1
    found = [one for one in unfinished_uploads(url) if one.endswith(SUFFIX)]
    return [one for one in found if recursive or one.count("/") == depth]


def _is_pattern(url: str) -> bool:
    # ? begins the query of a web address; elsewhere it is a pattern
    return any(letter in url for letter in ("*[" if url.startswith("http") else "*[?"))


def _listed(url: str, *, pattern: bool, recursive: bool) -> list[str]:
    """The URLs of the archives that match `url`, or are in the folder it names; of another object its own."""
    system, path = filesystem(url)
    try:
        prefix = url.rstrip("/").removesuffix(path.strip("/"))
        if pattern:
            found: list[Any] = system.glob(path)
        elif system.isdir(path):
            found = [one for one in system.find(path, maxdepth=None if recursive else 1) if one.endswith(SUFFIX)]
        else:
            return [url]
    except read_errors() as error:
        raise unreadable(url, error) from error
    if pattern and not found:
        raise SourceError(f"{url}: nothing matches")
    return sorted(prefix + one.lstrip("/") if prefix else one for one in found)
