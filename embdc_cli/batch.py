"""Many inputs, one command: the list, its shard, the output names, and the run in which one failure costs one item.

Nothing is printed. `run` gives one document per item, `summary` the document of the whole batch, `EventLog` writes
a line per item while it goes. `Failure` is how any exception looks from outside: words, a hint and an exit code.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from embdc_cli.errors import EmbdcError, SourceError, Stopped, UsageError

Document = dict[str, Any]

EVENT_VERSION = 1

_UNREADABLE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class Failure:
    """One line that says what went wrong, the remedy if there is one, and the exit code (embdc(1), EXIT STATUS)."""

    message: str
    hint: str | None
    exit: int

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that `error` means to a user."""
        if isinstance(error, EmbdcError):
            return cls(error.message, error.hint, error.exit_code)
        if isinstance(error, KeyboardInterrupt):
            return cls("interrupted", None, 130)
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else 1
            if code == Stopped.exit_code:
                return cls("stopped, the time limit is over", "the same command with --resume goes on", code)
            return cls("terminated", None, code)
        # torch's out-of-memory error is known by name: torch may not be imported
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            detail = next(iter(str(error).splitlines()), "") or "not enough for this input"
            return cls(f"out of memory: {detail}", "use fewer jobs (-j), or a machine with more memory", 9)
        if isinstance(error, OSError) and error.strerror:
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            code = 9 if error.errno in _EXHAUSTED else 8 if error.errno in _UNREADABLE and where else 1
            return cls(f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}", None, code)
        return cls(
            f"internal error: {type(error).__name__}: {' '.join(str(error).split())}{_raised_at(error)}",
            "this is a bug in embdc: please report it with what EMBDC_DEBUG=1 prints",
            1,
        )

    def document(self) -> Document:
        return {"message": self.message, "hint": self.hint}


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of any list: an item belongs to it by its name alone, wherever it stands in the list."""

    index: int
    count: int

    def holds(self, item: str) -> bool:
        digest = hashlib.sha256(os.fsencode(item)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index


def read_list(source: BinaryIO, *, null: bool) -> list[str]:
    """The items of a list file, one a line (or ended by NUL bytes); empty ones are left out."""
    data = source.read()
    lines = data.split(b"\0") if null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(line) for line in lines if line]


def open_list(path: str, stdin: Callable[[], BinaryIO], *, null: bool) -> list[str]:
    """The items of the list file `path`, or of `stdin` for `-`; SourceError when it cannot be read."""
    if path == "-":
        return read_list(stdin(), null=null)
    try:
        with open(path, "rb") as source:
            return read_list(source, null=null)
    except OSError as error:
        raise SourceError(f"--files-from: {path}: {error.strerror}") from error


def output_name(source: str, folder: str | None, suffix: str) -> str:
    """Where the result of `source` goes: beside it, or in `folder`; a URL's result goes to the working folder."""
    if source == "-":
        return "-"
    if "://" in source:
        source, folder = re.split(r"[?#]", source)[0].rstrip("/").rsplit("/", 1)[-1], folder or "."
    path = Path(source)
    named = path.name.removesuffix(path.suffix) + suffix
    return str(Path(folder, named) if folder is not None else path.with_name(named))


def assign_outputs(inputs: Sequence[str], *, output: str | None, folder: str | None, suffix: str) -> list[Document]:
    """`{input, output}` of every input; UsageError when an output is shared by two inputs or is an input itself."""
    if output is not None and folder is not None:
        raise UsageError("output: -o and --out-dir exclude each other")
    if output is not None and len(inputs) > 1:
        raise UsageError(
            f"output: -o {output} with {len(inputs)} inputs, expected one", hint="use --out-dir DIR for several inputs"
        )
    jobs: list[Document] = []
    owners: dict[str, str] = {}
    for source in inputs:
        target = output if output is not None else output_name(source, folder, suffix)
        place = target if target == "-" else os.path.realpath(target)
        if target != "-" and "://" not in source and source != "-" and place == os.path.realpath(source):
            raise UsageError(f"output: {target} is also the input", hint="choose another name with -o")
        if place in owners:
            raise UsageError(
                f"output: {target} would hold both {owners[place]} and {source}",
                hint="encode them one by one with -o, or into different folders",
            )
        owners[place] = source
        jobs.append({"input": source, "output": target})
    return jobs


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
        error: BaseException | None = None
        try:
            item = {**job, **work(job)}
            item.setdefault("exit", 0)
        except BrokenPipeError:
            raise
        except (KeyboardInterrupt, SystemExit, Stopped) as stop:
            error, item = stop, _unfinished(job, "stopped", stop)
            if resumable and items:
                item["exit"] = Stopped.exit_code
        except Exception as failed:  # noqa: BLE001  # one input's bug must not cost the other nine hundred
            error, item = failed, _unfinished(job, "failed", failed)
        items.append(item)
        finished(item, error)
        if item.get("status") == "stopped" or (fail_fast and item["exit"]):
            break
    return items


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
    """The exit code of a batch: that of a stop, else 3 when any item failed, else 0."""
    if items and _status(items[-1]) == "stopped":
        return int(items[-1]["exit"])
    return 3 if any(item["exit"] for item in items) else 0


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


def _raised_at(error: BaseException) -> str:
    """` (FILE:LINE)` of the innermost frame, so that even one line is a useful report."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""


def _unfinished(job: Document, status: str, error: BaseException) -> Document:
    failure = Failure.of(error)
    return {**job, "status": status, "error": failure.document(), "exit": failure.exit}


def _status(item: Mapping[str, Any]) -> str:
    """What became of an item; documents without a status (inspect, verify) are judged by their exit code."""
    return str(item.get("status") or ("failed" if item["exit"] else "done"))
