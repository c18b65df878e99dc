"""`embdc inspect`: what is in an archive, read from its head and tail."""

from __future__ import annotations

from typing import Annotated

import typer

from embdc_cli import batch
from embdc_cli.batch import Document
from embdc_cli.cli import library, reports, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.options import Detail, OnlyReport, Words
from embdc_cli.cli.parameters import command
from embdc_cli.errors import UsageError

EXAMPLES = """
embdc inspect talk.embdc
embdc inspect talk.embdc --json | jq .bits_per_value
embdc inspect talk.embdc --chunks --planes --report talk.html
embdc inspect https://example.org/talk.embdc --chunks
"""

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Archives, as paths or URLs.")]


def inspect(paths: Paths, detail: Detail, report: OnlyReport, words: Words) -> int:
    """Show what is in archives, where every byte went, and the achieved quality."""
    console = Console(**vars(words))
    streams.refuse_stdin(paths)
    reports.check(report.report, *paths, force=report.force)
    if detail.planes and not words.json and report.report is None:
        raise UsageError("--planes: needs --json or --report", hint="name the report with --report FILE.html")

    def work(job: Document) -> Document:
        codebooks = tuple(detail.codebook or ())
        return library.inspect(
            job["path"], chunks=detail.chunks, stats=detail.stats, planes=detail.planes, codebooks=codebooks
        )

    def finished(item: Document, error: BaseException | None) -> None:
        if error is not None:
            console.failure(error)
        elif not words.json:
            from embdc_cli.cli import tables

            console.table(*tables.overview(item, verbose=words.verbose))
            if detail.stats:
                console.table(*tables.statistics(item["stats"]))
            if detail.chunks:
                console.table(*tables.chunks(item["chunks"]))
            if len(paths) > 1:
                console.data("")

    items = batch.run([{"path": path} for path in paths], work, finished=finished)
    document = batch.summary(items, len(paths)) if len(paths) > 1 else items[0]
    if report.report is not None and any("parts" in item for item in items):
        from embdc_cli.cli.html_report.archive import archive

        reports.write(report.report, archive(document), console, force=report.force)
    if words.json:
        console.document(document)
    return int(document["exit"])


app = command(inspect, EXAMPLES)
