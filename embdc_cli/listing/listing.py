"""`embdc ls`: rows of many archives, in order, a few of them read at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from embdc_cli.errors import IncompleteError, SourceError, UsageError
from embdc_cli.listing.places import SUFFIX, Place, places, places_of, uploads
from embdc_cli.listing.rows import Row, archive_rows, failed_row, missing_row, uploading_row, work_rows
from embdc_cli.parallel import ordered_map
from embdc_cli.remote.errors import MissingObject
from embdc_cli.remote.filesystem import is_url
from embdc_cli.traffic import Traffic
from embdc_cli.worklist import assign_outputs

JOBS: Final = 8
"""Archives read at once: waiting for a disk or a server takes no core."""


@dataclass(frozen=True)
class Wanted:
    """Which rows are listed. incomplete: only of what is not complete.

    expect: inputs, as a work list names them; those without an archive are listed as missing.
    """

    recursive: bool = False
    incomplete: bool = False
    expect: Sequence[str] | None = None
    jobs: int = JOBS


class Listing:
    """The rows of `list_rows`, to be gone through once, and what those that have passed come to."""

    def __init__(self, arguments: Sequence[str], wanted: Wanted) -> None:
        self._arguments, self._wanted = arguments, wanted
        self._traffic = Traffic()
        self._counts: Counter[str] = Counter()
        self._failed: list[tuple[str, int]] = []

    def __iter__(self) -> Iterator[Row]:
        last = None
        for row in list_rows(self._arguments, self._wanted, self._traffic):
            self._counts["items"] += row["item"] is not None
            place = (row["path"], row["status"])
            if place != last:  # the first item of an archive
                last = place
                self._counts[row["status"]] += 1
                self._counts["archives"] += row["status"] != "missing"
                self._counts["file_bytes"] += row["file_bytes"] or 0
            if row["exit"]:
                self._failed.append((row["path"], row["exit"]))
            yield row

    def document(self, rows: Iterable[Row]) -> dict[str, Any]:
        """The `--json` document; rows: its own, gone through here."""
        items = list(rows)
        return {"items": items, "totals": self.totals(), "io": self.io(), "exit": self.exit_code()}

    def io(self) -> dict[str, int]:
        """The field `io` of the JSON document: what was read of the archives."""
        return self._traffic.document()

    def totals(self) -> dict[str, int]:
        """The field `totals` of the JSON document. What is not finished and what cannot be read count as archives."""
        statuses = ("complete", "incomplete", "unfinished", "uploading", "missing", "failed")
        names = ("archives", "items", *statuses, "file_bytes")
        return {name: self._counts[name] for name in names}

    def exit_code(self) -> int:
        """That of the archive where one is asked for by its name; else that of `IncompleteError` when any failed."""
        if len(self._arguments) == 1 and [path for path, _ in self._failed] == list(self._arguments):
            return self._failed[0][1]
        return IncompleteError.exit_code if self._failed else 0


def ls(arguments: Sequence[str], wanted: Wanted) -> dict[str, Any]:
    """The `--json` document of `embdc ls`: `{items, totals, io, exit}`. Raises: as `list_rows`."""
    listing = Listing(arguments, wanted)
    return listing.document(listing)


def list_rows(arguments: Sequence[str], wanted: Wanted, traffic: Traffic) -> Iterator[Row]:
    """The rows of all archives that `arguments` name, in their order, in folders by name; what is missing comes last.

    Without arguments it is the archives of `expect`, beside their inputs; with it the one argument is their folder.
    traffic: what was read of those that have passed is added to it. Memory is that of a few archives.
    Raises: UsageError; SourceError where the only argument is not there.
    """
    made_of = _expected(arguments, wanted.expect)
    listed: set[str] = set()

    def found() -> Iterator[Place | Row]:
        if not arguments:
            for output in made_of:
                yield from places_of(output)
        for argument in arguments:
            begun = _uploads(argument, wanted, made_of)
            try:
                there = places(argument, recursive=wanted.recursive)
                yield from (place for place in there if not (begun and place.path == argument))  # no folder yet
            except SourceError as error:
                if len(arguments) == 1:
                    raise
                yield failed_row(argument, None, error)
            yield from begun

    def read(one: Place | Row) -> tuple[list[Row], Traffic]:
        own = Traffic()
        return _rows(one, made_of.get(_key(one.path)), own) if isinstance(one, Place) else [one], own

    for rows, own in ordered_map(read, _once(found()), wanted.jobs):
        traffic.add(own)
        listed.update(_key(row["path"]) for row in rows[:1] if made_of)
        yield from (row for row in rows if not (wanted.incomplete and row["complete"]))
    yield from (missing_row(path, made_of[path]) for path in made_of if path not in listed)


def _uploads(argument: str, wanted: Wanted, made_of: Mapping[str, str]) -> list[Row]:
    """The rows of what is being uploaded, or of why that cannot be told, which costs no other row.

    Asked for only where it is wanted: it is one more request, and one more permission.
    """
    if not (wanted.incomplete and is_url(argument)):
        return []
    try:
        return [uploading_row(url, made_of.get(_key(url))) for url in uploads(argument, recursive=wanted.recursive)]
    except MissingObject:
        return []  # no bucket, as `places` says
    except SourceError as error:
        return [failed_row(argument, None, error)]


def _once(found: Iterable[Place | Row]) -> Iterator[Place | Row]:
    """Each place where it is named first."""
    seen = set()
    for one in found:
        key = (_key(one.path), one.work is None) if isinstance(one, Place) else None
        if key is None or key not in seen:
            seen.add(key)
            yield one


def _rows(place: Place, made_of: str | None, traffic: Traffic) -> list[Row]:
    """The rows of one place, of which whatever goes wrong costs only itself."""
    try:
        if place.work is None:
            return archive_rows(place, made_of, traffic)
        return work_rows(place, place.work, made_of, traffic)
    except Exception as error:  # noqa: BLE001  # one broken archive must not cost the list of the others
        return [failed_row(place.path, made_of, error)]


def _expected(arguments: Sequence[str], inputs: Sequence[str] | None) -> dict[str, str]:
    """The input of each archive that should be there. Raises: UsageError when it is not clear where."""
    if inputs is None:
        if not arguments:
            raise UsageError("path: missing, expected folders, archives or patterns", hint="see `embdc ls --help`")
        return {}
    folder = arguments[0] if arguments else None
    if len(arguments) > 1 or (folder is not None and not is_url(folder) and not os.path.isdir(folder)):
        raise UsageError(
            f"--expect: expected one folder with the archives, found {' '.join(arguments)}",
            hint="it is the --out-dir of `embdc encode`; without one they are sought beside their inputs",
        )
    jobs = assign_outputs(inputs, output=None, folder=folder, suffix=SUFFIX)
    return {_key(job["output"]): job["input"] for job in jobs}


def _key(path: str) -> str:
    """One spelling of each path."""
    return path if is_url(path) else os.path.normpath(path)
