"""`embdc repair`: a damaged archive made whole again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from embdc_cli import output
from embdc_cli.cli import library, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.lines import repaired
from embdc_cli.cli.options import Force, Words
from embdc_cli.cli.parameters import command, option
from embdc_cli.errors import UsageError

EXAMPLES = """
embdc repair broken.embdc -o whole.embdc
embdc repair cut.embdc -o whole.embdc --json
"""

Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Path or URL of a damaged archive.")]


@dataclass(frozen=True)
class RepairOutput:
    """Where a repaired archive goes."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE|-", help="The repaired archive; - is stdout. Required.")
    ] = None
    force: Force = False


def repair(archive: Archive, target: RepairOutput, words: Words) -> int:
    """Make a damaged archive whole again: single flipped bits put right, every good chunk kept, a new index."""
    console = Console(**vars(words))
    if target.output is None:
        raise UsageError("output: missing", hint="name it with -o FILE, or -o - for stdout")
    streams.refuse_stdin([archive])
    streams.check_output([target.output], json=words.json)
    output.check_not_input(target.output, archive)
    document = library.repair(archive, target.output, force=target.force)
    if words.json:
        console.document(document)
    for line in repaired(document):
        console.say(line)
    return int(document["exit"])


app = command(repair, EXAMPLES)
