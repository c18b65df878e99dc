"""`embdc ls`: which archives there are, what is in them, and which are not complete."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, BinaryIO, ClassVar, Final

import typer

from embdc_cli import output, worklist
from embdc_cli.cli import library, quantities, streams
from embdc_cli.cli.console import Console, is_terminal
from embdc_cli.cli.lines import listed, traffic
from embdc_cli.cli.ls_table import table
from embdc_cli.cli.options import Force, Words
from embdc_cli.cli.parameters import choice, command, flag, option
from embdc_cli.errors import EmbdcError, UsageError

EXAMPLES = """
embdc ls archives
embdc ls 's3://bucket/set/*.embdc' -o list.parquet
embdc ls -r archives --json | jq .totals
embdc ls archives --incomplete --expect list.txt
embdc ls --incomplete archives | embdc encode --files-from - --resume
"""

Row = dict[str, Any]
Write = Callable[[Iterable[Row], BinaryIO], None]

FORMATS: Final = ("table", "ndjson", "csv", "parquet", "paths", "inputs")
_SUFFIXES: Final = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".parquet": "parquet"}

Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH...", help="Folders, archives, patterns; paths or URLs.", show_default=False),
]


@dataclass(frozen=True)
class Which:
    """What is listed."""

    TITLE: ClassVar = "Which"

    recursive: Annotated[bool, flag("-r", "--recursive", help="Also the folders in folders.")] = False
    incomplete: Annotated[
        bool, flag("--incomplete", help="Only what is cut, unfinished, uploading, missing or cannot be read.")
    ] = False
    expect: Annotated[
        str | None,
        option("--expect", metavar="LIST|-", help="Inputs, one a line, that there should be archives of in PATH."),
    ] = None
    jobs: Annotated[
        int | None, option("-j", "--jobs", metavar="N", read=quantities.jobs, help="Archives read at once (default 8).")
    ] = None


@dataclass(frozen=True)
class ListOutput:
    """In which form, and where it goes."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE|-", help="Where the list goes (default: stdout).")
    ] = None
    force: Force = False
    format: Annotated[
        str | None,
        choice("--format", choices=FORMATS, help="Default: by suffix; a table, or ndjson, of --incomplete inputs."),
    ] = None
    null: Annotated[bool, flag("-0", "--null", help="End paths and inputs with NUL, not newline.")] = False


def ls(*, paths: Paths = None, which: Which, target: ListOutput, words: Words) -> int:
    """List the items of archives, from heads and tails only, as a table or a file."""
    console = Console(**vars(words))
    arguments = list(paths or [])
    streams.refuse_stdin(arguments)
    form = _form(target, incomplete=which.incomplete, json=words.json)
    expect = (
        None if which.expect is None else worklist.open_list(which.expect, streams.stdin, null=False, option="--expect")
    )
    listing = library.listing(arguments, vars(which) | {"expect": expect})
    rows = _told(listing, console)
    if form == "json":
        console.document(listing.document(rows))
    elif form == "table":
        console.table(table(list(rows)))
        console.say(listed(listing.totals()))
    else:
        if form == "inputs":
            rows = _to_encode(rows, console)
        with output.destination(target.output or "-", force=target.force) as out:
            _writer(form, null=target.null)(rows, out)
    if words.verbose:
        console.say(f"read {traffic(listing.io())}")
    return listing.exit_code()


def _form(target: ListOutput, *, incomplete: bool, json: bool) -> str:
    """`json` or one of FORMATS. Raises: UsageError for what does not go together."""
    file = target.output not in (None, "-")
    if json:
        if target.format is not None or target.output is not None or target.null:
            raise UsageError("--json: not with --format, -o or -0", hint="--format ndjson has a line for every item")
        return "json"
    piped = file or not is_terminal(sys.stdout)
    form = target.format or _SUFFIXES.get(os.path.splitext(target.output or "")[1])
    form = form or (("inputs" if incomplete else "ndjson") if piped else "table")
    if target.null and form not in ("paths", "inputs"):
        raise UsageError(f"--null: expected paths or inputs, found {form}", hint="--format paths or --format inputs")
    if form == "table" and file:
        raise UsageError("--format table: only on standard output", hint="leave out -o, or --format")
    if form == "parquet":
        streams.check_output([target.output or "-"], json=False)
    return form


def _writer(form: str, *, null: bool) -> Write:
    from embdc_cli.listing import files  # beside numpy, which --help must not load

    names = {"paths": files.write_names("path", null=null), "inputs": files.write_names("input", null=null)}
    writers: dict[str, Write] = {
        "ndjson": files.write_ndjson,
        "csv": files.write_csv,
        "parquet": files.write_parquet,
        **names,
    }
    return writers[form]


def _told(rows: Iterable[Row], console: Console) -> Iterator[Row]:
    """The rows, with a line on stderr for each archive that cannot be read."""
    for row in rows:
        if row["error"] is not None:
            console.failure(EmbdcError(row["error"]))
        yield row


def _to_encode(rows: Iterable[Row], console: Console) -> Iterator[Row]:
    """The rows whose input `embdc encode --files-from` gives their archive, with a note on each other archive."""
    for _, items in groupby(rows, key=lambda row: (row["path"], row["status"])):
        row = next(items)
        path, made_of, added = row["path"], row["input"], row["add"] or []
        if made_of is None:
            told = row["error"] is not None and not path.endswith(".embdc")  # of a folder, which no input makes
            if not (row["complete"] or told):
                console.note(f"{path}: {row['status']}, not known what it is made of; name its input in --expect LIST")
        elif added or os.path.basename(worklist.output_name(made_of, ".", ".embdc")) != os.path.basename(path):
            options = [word for one in added for word in ("--add", one)]
            command = shlex.join(["embdc", "encode", made_of, *options, "-o", path, "--resume"])
            how = "--add" if added else "-o"
            console.note(
                f"{path}: {row['status']}, made with {how}: `{command}` goes on, with the options of the first run"
            )
        else:
            yield row


app = command(ls, EXAMPLES)
