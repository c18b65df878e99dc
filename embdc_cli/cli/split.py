"""`embdc split`: an archive cut in time without encoding again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from embdc_cli.cli import library, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.lines import divided
from embdc_cli.cli.options import Force, Words
from embdc_cli.cli.parameters import command, option
from embdc_cli.errors import UsageError

EXAMPLES = """
embdc split day.embdc --every 10m
embdc split day.embdc --every 1h -o 'hours/{n}.embdc'
"""

Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Path or URL of an archive.")]


@dataclass(frozen=True)
class Cut:
    """How an archive becomes several."""

    TITLE: ClassVar = "Output"

    every: Annotated[
        str | None, option("--every", metavar="TIME", help="The length of a part, such as 10m or 1h30m. Required.")
    ] = None
    output: Annotated[
        str | None,
        option("-o", "--output", metavar="NAMES", help="Names with {n} for the number (default: NAME-{n}.embdc)."),
    ] = None
    force: Force = False


def split(archive: Archive, cut: Cut, words: Words) -> int:
    """Cut an archive in time: its chunks are copied, not encoded again."""
    console = Console(**vars(words))
    if cut.every is None:
        raise UsageError("--every: missing", hint="for example --every 10m")
    streams.refuse_stdin([archive])
    if cut.output == "-":
        raise UsageError("output: -: expected names of files, with {n}", hint="for example -o 'part-{n}.embdc'")
    document = library.split(archive, cut.output, every=cut.every, force=cut.force)
    if words.json:
        console.document(document)
    for line in divided(document, verbose=words.verbose):
        console.say(line)
    return int(document["exit"])


app = command(split, EXAMPLES)
