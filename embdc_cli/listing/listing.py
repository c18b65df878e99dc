"""`embdc ls`: rows of many archives, in order, a few of them read at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from embdc_cli.errors import IncompleteError, SourceError, UsageError
from embdc_cli.listing.places import SUFFIX, Place, places, places_of
from embdc_cli.listing.rows import Row, archive_rows, failed_row, missing_row
from embdc_cli.parallel import ordered_map
from embdc_cli.worklist import Job, assign_outputs

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


@dataclass
class Totals:
    """What rows that pass by come to."""

    counts: Counter[str] = field(default_factory=Counter)
    items: int = 0
    archives: int = 0
    file_bytes: int = 0
    failures: list[Row] = field(default_factory=list)
    _last: tuple[str, str] | None = None

    def watched(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, counted as they pass. An archive counts once, by its first item."""
        for row in rows:
            place = (row["path"], row["status"])
            self.items += row["item"] is not None
            if place != self._last:
                self._last = place
                self.archives += row["file_bytes"] is not None
                self.counts[row["status"]] += 1
                self.file_bytes += row["file_bytes"] or 0
            if row["exit"]:
                self.failures.append(row)
            yield row

    def document(self) -> dict[str, int]:
        """As the field `totals` of the JSON document."""
        kinds = ("complete", "incomplete", "unfinished", "missing", "failed")
        counts = {kind: self.counts[kind] for kind in kinds}
        return {"archives": self.archives, "items": self.items, **counts, "file_bytes": self.file_bytes}

    def exit_code(self, arguments: Sequence[str]) -> int:
        """That of the archive where one is asked for by its name; else that of `IncompleteError` when any failed."""
        if [row["path"] for row in self.failures] == list(arguments) and len(arguments) == 1:
            return int(self.failures[0]["exit"])
        return IncompleteError.exit_code if self.failures else 0


def ls(arguments: Sequence[str], wanted: Wanted) -> dict[str, Any]:
    """The `--json` document of `embdc ls`: `{items, totals, exit}`. Raises: as `list_rows`."""
    totals = Totals()
    items = list(totals.watched(list_rows(arguments, wanted)))
    return {"items": items, "totals": totals.document(), "exit": totals.exit_code(arguments)}


def list_rows(arguments: Sequence[str], wanted: Wanted) -> Iterator[Row]:
    """The rows of all archives that `arguments` name, in their order, in folders by name; what is missing comes last.

    Without arguments it is the archives of `expect`, beside their inputs; with it the one argument is their folder.
    Memory is that of a few archives. Raises: UsageError; SourceError where the only argument is not there.
    """
    made_of = _expected(arguments, wanted.expect)
    listed: set[str] = set()

    def found() -> Iterator[Place | Row]:
        if not arguments:
            for output in made_of:
                yield from places_of(output)
        for argument in arguments:
            try:
                yield from places(argument, recursive=wanted.recursive)
            except SourceError as error:
                if len(arguments) == 1:
                    raise
                yield failed_row(argument, None, error)

    def read(one: Place | Row) -> list[Row]:
        return _rows(one, made_of.get(_key(one.path))) if isinstance(one, Place) else [one]

    for rows in ordered_map(read, found(), wanted.jobs):
        listed.update(_key(row["path"]) for row in rows[:1] if made_of)
        yield from (row for row in rows if not (wanted.incomplete and row["complete"]))
    yield from (missing_row(path, made_of[path]) for path in made_of if path not in listed)


def _rows(place: Place, made_of: str | None) -> list[Row]:
    """The rows of one place, of which whatever goes wrong costs only itself."""
    try:
        if place.work is not None and made_of is None:
            made_of = place.work.made_of()
        return archive_rows(place, made_of)
    except Exception as error:  # noqa: BLE001  # one broken archive must not cost the list of the others
        return [failed_row(place.path, made_of, error)]


def _expected(arguments: Sequence[str], inputs: Sequence[str] | None) -> dict[str, str]:
    """The input of each archive that should be there. Raises: UsageError when it is not clear where."""
    if inputs is None:
        if not arguments:
            raise UsageError("path: missing, expected folders, archives or patterns", hint="see `embdc ls --help`")
        return {}
    folder = arguments[0] if arguments else None
    if len(arguments) > 1 or (folder is not None and "://" not in folder and not os.path.isdir(folder)):
        raise UsageError(
            f"--expect: expected one folder with the archives, found {' '.join(arguments)}",
            hint="it is the --out-dir of `embdc encode`; without one they are sought beside their inputs",
        )
    return {_key(job["output"]): job["input"] for job in _jobs(inputs, folder)}


def _jobs(inputs: Sequence[str], folder: str | None) -> list[Job]:
    """`{input, output}` as of `embdc encode --out-dir folder`."""
    if folder is None or "://" not in folder:
        return assign_outputs(inputs, output=None, folder=folder, suffix=SUFFIX)
    jobs = assign_outputs(inputs, output=None, folder=".", suffix=SUFFIX)
    return [{**job, "output": f"{folder.rstrip('/')}/{os.path.basename(job['output'])}"} for job in jobs]


def _key(path: str) -> str:
    """One spelling of each path."""
    return path if "://" in path else os.path.normpath(path)
