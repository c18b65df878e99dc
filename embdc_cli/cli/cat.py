"""`embdc cat`: archives joined without encoding again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from embdc_cli import output
from embdc_cli.cli import library, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.lines import joined
from embdc_cli.cli.options import Force, Words
from embdc_cli.cli.parameters import choice, command, option
from embdc_cli.errors import UsageError

EXAMPLES = """
embdc cat part0.embdc part1.embdc -o whole.embdc
embdc cat part*.embdc --join items -o set.embdc
"""

Parts = Annotated[list[str], typer.Argument(metavar="ARCHIVE...", help="Archives, in order.")]


@dataclass(frozen=True)
class Join:
    """How archives become one."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE|-", help="The joined archive; - is stdout. Required.")
    ] = None
    force: Force = False
    join: Annotated[
        str | None,
        choice("--join", choices=("time", "items"), help="One longer stream, or items (default where names differ)."),
    ] = None


def cat(archives: Parts, join: Join, words: Words) -> int:
    """Join archives: their chunks are copied, not encoded again."""
    console = Console(**vars(words))
    if join.output is None:
        raise UsageError("output: missing", hint="name it with -o FILE, or -o - for stdout")
    streams.refuse_stdin(archives)
    streams.check_output([join.output], json=words.json)
    output.check_not_input(join.output, *archives)
    document = library.cat(archives, join.output, join=join.join, force=join.force)
    if words.json:
        console.document(document)
    for line in joined(document, verbose=words.verbose):
        console.say(line)
    return int(document.get("exit", 0))


app = command(cat, EXAMPLES)
