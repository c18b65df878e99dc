"""The work list of a command: the inputs that a list file names, and where the result of each one goes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from embdc_cli.errors import SourceError, UsageError
from embdc_cli.remote.filesystem import is_url

Job = dict[str, str]
"""`{input, output}`"""


def read_list(source: BinaryIO, *, null: bool) -> list[str]:
    """The items of a list file, one a line (or ended by NUL bytes); empty ones are left out."""
    data = source.read()
    lines = data.split(b"\0") if null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(line) for line in lines if line]


def open_list(path: str, stdin: Callable[[], BinaryIO], *, null: bool, option: str = "--files-from") -> list[str]:
    """The items of the list file `path`, or of `stdin` for `-`.

    Raises, with the name of `option`: SourceError if it cannot be read, UsageError for a name with a NUL byte.
    """
    try:
        if path == "-":
            items = read_list(stdin(), null=null)
        else:
            with open(path, "rb") as source:
                items = read_list(source, null=null)
    except OSError as error:
        raise SourceError(f"{option}: {path}: {error.strerror}") from error
    if any("\0" in item for item in items):
        raise UsageError(
            f"{option}: {path}: expected one name a line, found NUL bytes",
            hint="`embdc encode -0` takes names that end with NUL",
        )
    return items


def output_name(source: str, folder: str | None, suffix: str) -> str:
    """Where the result of `source` goes: beside it, or in `folder`, which may be a URL; a URL's result goes to the
    working folder."""
    if source == "-":
        return "-"
    if is_url(source):
        source, folder = re.split(r"[?#]", source)[0].rstrip("/").rsplit("/", 1)[-1], folder or "."
    path = Path(source)
    named = path.name.removesuffix(path.suffix) + suffix
    if folder is not None and is_url(folder):
        return f"{folder.rstrip('/')}/{named}"
    return str(Path(folder, named) if folder is not None else path.with_name(named))


def assign_outputs(inputs: Sequence[str], *, output: str | None, folder: str | None, suffix: str) -> list[Job]:
    """`{input, output}` of every input; UsageError when an output is shared by two inputs or is an input itself."""
    if output is not None and folder is not None:
        raise UsageError("output: -o and --out-dir exclude each other")
    if output is not None and len(inputs) > 1:
        raise UsageError(
            f"output: -o {output} with {len(inputs)} inputs, expected one", hint="use --out-dir DIR for several inputs"
        )
    jobs: list[Job] = []
    owners: dict[str, str] = {}
    for source in inputs:
        target = output if output is not None else output_name(source, folder, suffix)
        place = _place(target)
        if target != "-" and place == _place(source):
            raise UsageError(f"output: {target} is also the input", hint="choose another name with -o")
        if place in owners and _place(owners[place]) == _place(source):
            other = "" if owners[place] == source else f", as {owners[place]} and {source}"
            raise UsageError(f"input: {source} is named twice{other}", hint="name it once")
        if place in owners:
            raise UsageError(
                f"output: {target} would hold both {owners[place]} and {source}",
                hint="encode them one by one with -o, or into different folders",
            )
        owners[place] = source
        jobs.append({"input": source, "output": target})
    return jobs


def _place(name: str) -> str:
    """One name for all names of a file."""
    return name if name == "-" or is_url(name) else os.path.realpath(name)
