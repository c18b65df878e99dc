"""`embdc search`: the tokens or rows of archives that are nearest to a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from embdc_cli.cli import library, quantities, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.decode_options import Selection
from embdc_cli.cli.lines import found
from embdc_cli.cli.options import Codebooks, Jobs, Words
from embdc_cli.cli.parameters import choice, command, fill, flag, option
from embdc_cli.errors import UsageError
from embdc_cli.options import METRICS, SearchOptions

EXAMPLES = """
embdc search talk.embdc --query q.npy -k 10
embdc search out/*.embdc --query q.npy --pooled --json
embdc search talk.embdc --query q.npy --metric l2 --rescore talk.npy
"""

Paths = Annotated[list[str], typer.Argument(metavar="ARCHIVE...", help="Archives, as paths or URLs.")]


@dataclass(frozen=True)
class Query:
    """What is sought, and what counts as near."""

    TITLE: ClassVar = "Query"

    query: Annotated[
        str | None, option("--query", metavar="FILE", help="A vector, or one a row: any dump. Required.")
    ] = None
    key: Annotated[str | None, option("--key", metavar="NAME", help="Only this dataset or tensor of --query.")] = None
    k: Annotated[int, option("-k", metavar="N", read=quantities.whole(1), help="How many of the nearest.")] = (
        SearchOptions.k
    )
    metric: Annotated[str, choice("--metric", choices=METRICS, help="What is near.")] = SearchOptions.metric
    pooled: Annotated[bool, flag("--pooled", help="Rows, by the mean of their tokens, rather than tokens.")] = False
    rescore: Annotated[
        str | None, option("--rescore", metavar="DUMP", help="Score the nearest 4 N again by the original values.")
    ] = None


@dataclass(frozen=True)
class Search:
    """How the archives are read."""

    TITLE: ClassVar = "Reading"

    on_damage: Annotated[
        str, choice("--on-damage", choices=("fail", "skip"), help="Fail, or leave damaged rows out.")
    ] = SearchOptions.on_damage
    codebook: Codebooks = None
    jobs: Jobs = None


def search(archives: Paths, query: Query, part: Selection, reading: Search, words: Words) -> int:
    """Find the nearest tokens or rows of archives, by their codes where they are vector-quantised."""
    console = Console(**vars(words))
    streams.refuse_stdin(archives)
    if query.query is None:
        raise UsageError("query: missing", hint="--query FILE.npy")
    streams.refuse_stdin([query.query])
    options = fill(SearchOptions, query, part, reading, codebooks=tuple(reading.codebook or ()))
    with console.reporting() as reporter:
        document = library.search(archives, query.query, options, reporter)
    if words.json:
        console.document(document)
    else:
        for line in found(document, verbose=words.verbose):
            console.data(line)
    return int(document["exit"])


app = command(search, EXAMPLES)
