"""A batch: one command on many inputs, of which one failure costs one item.

Nothing is printed. `run` gives one document per item, `summary` the document of the whole batch, `EventLog` writes
a line per item while it goes, and a `Shard` is the part of a list that one of several machines takes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from embdc_cli.errors import IncompleteError, Stopped, UsageError
from embdc_cli.failure import Failure

Document = dict[str, Any]

EVENT_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of any list: an item belongs to it by its name alone, wherever it stands in the list."""

    index: int
    count: int

    def holds(self, item: str) -> bool:
        digest = hashlib.sha256(os.fsencode(item)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index


def run(
    jobs: Iterable[Document],
    work: Callable[[Document], Document],
    *,
    finished: Callable[[Document, BaseException | None], None] = lambda item, error: None,
    fail_fast: bool = False,
    resumable: bool = False,
) -> list[Document]:
    """The document of every item that was tried, in order: its job's fields, then what `work` gave, or its error.

    An item that fails, out of memory and bugs included, costs itself only; `fail_fast` stops after it. A signal (as
    KeyboardInterrupt or SystemExit) or `Stopped` ends the batch with the item it hit; when `resumable` and items are
    done before it, the exit code is that of `Stopped`.
    `finished` hears of every item at once, with the exception if there was one.
    """
    items: list[Document] = []
    for job in jobs:
        item, error = attempt(job, work)
        if item.get("status") == "stopped" and resumable and items:
            item["exit"] = Stopped.exit_code
        items.append(item)
        finished(item, error)
        if item.get("status") == "stopped" or (fail_fast and item["exit"]):
            break
    return items


def attempt(job: Document, work: Callable[[Document], Document]) -> tuple[Document, BaseException | None]:
    """The document of one item, and why there is no result if there is none. Raises: BrokenPipeError."""
    try:
        item = {**job, **work(job)}
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, SystemExit, Stopped) as stop:
        return unfinished(job, "stopped", stop), stop
    except Exception as failed:  # noqa: BLE001  # one input's bug must not cost the other nine hundred
        return unfinished(job, "failed", failed), failed
    item.setdefault("exit", 0)
    return item, None


def unfinished(job: Document, status: str, error: BaseException) -> Document:
    """The document of an item without a result. status: `stopped` or `failed`."""
    failure = Failure.of(error)
    return {**job, "status": status, "error": failure.document(), "exit": failure.exit}


def summary(items: Sequence[Document], expected: int) -> Document:
    """`{items, totals, exit}` of a batch of `expected` items of which `items` were tried."""
    totals: Document = {"inputs": expected}
    for status in ("done", "skipped", "planned", "incomplete", "stopped", "failed"):
        totals[status] = sum(_status(item) == status for item in items)
    totals["remaining"] = expected - len(items)
    for field in ("file_bytes", "raw_bytes", "values"):
        totals[field] = sum(item.get(field) or 0 for item in items if item.get("status") != "planned")
    return {"items": list(items), "totals": totals, "exit": exit_code(items)}


def exit_code(items: Sequence[Document]) -> int:
    """The exit code of a batch: that of a stop, else that of `IncompleteError` when any item failed, else 0.

    Of several items that were stopped at once: that of `Stopped` when any can be gone on with.
    """
    stops = [int(item["exit"]) for item in items if _status(item) == "stopped"]
    if stops:
        return Stopped.exit_code if Stopped.exit_code in stops else stops[0]
    return IncompleteError.exit_code if any(item["exit"] for item in items) else 0


class EventLog:
    """NDJSON on a file (appended to) or an open descriptor `fd:N`: one line per item, written out at once."""

    def __init__(self, target: str) -> None:
        descriptor = re.fullmatch(r"fd:([0-9]+)", target)
        try:
            if descriptor:
                self._out = open(int(descriptor[1]), "ab", buffering=0, closefd=False)  # noqa: SIM115  # closed by __exit__
            else:
                self._out = open(target, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--events: {target}: {error.strerror}", hint="expected a file or fd:N") from error

    def write(self, item: Mapping[str, Any]) -> None:
        event = {"v": EVENT_VERSION, "type": "item", "input": item.get("input"), "output": item.get("output")}
        event |= {"status": _status(item), "exit": item["exit"], "error": item.get("error")}
        self._out.write(json.dumps(event).encode() + b"\n")

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()


def _status(item: Mapping[str, Any]) -> str:
    """What became of an item; documents without a status (inspect, verify) are judged by their exit code."""
    return str(item.get("status") or ("failed" if item["exit"] else "done"))
