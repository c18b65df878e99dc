"""`embdc inspect`: what is in an archive, read from its head and tail; and how the values of a dump are distributed."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from embdc_cli import batch
from embdc_cli.batch import Document
from embdc_cli.cli import library, reports, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.input_options import Dumps
from embdc_cli.cli.inspect_options import Detail, Pages
from embdc_cli.cli.options import Words
from embdc_cli.cli.parameters import command, fill
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions

EXAMPLES = """
embdc inspect talk.embdc
embdc inspect talk.embdc --json | jq .bits_per_value
embdc inspect talk.embdc --chunks --planes --report talk.html
embdc inspect https://example.org/talk.embdc --chunks
embdc inspect features.npy --stats
embdc inspect model.safetensors --stats --plots pictures
"""

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Archives, as paths or URLs; with --stats dumps.")]


def inspect(paths: Paths, detail: Detail, dumps: Dumps, report: Pages, words: Words) -> int:
    """Show what is in archives, where every byte went, and the achieved quality; or what a dump's values are like."""
    console = Console(**vars(words))
    streams.refuse_stdin(paths)
    reports.check(report.report, *paths, force=report.force)
    reading = fill(EncodeOptions, dumps)
    _check(detail, report, reading, json=words.json)

    def work(job: Document) -> Document:
        with console.reporting() as reporter:
            return library.inspect(
                job["path"],
                chunks=detail.chunks,
                stats=detail.stats,
                decoded=detail.decoded,
                planes=detail.planes,
                codebooks=tuple(detail.codebook or ()),
                reading=reading,
                plots=report.plots,
                force=report.force,
                reporter=reporter,
            )

    def finished(item: Document, error: BaseException | None) -> None:
        if error is not None:
            console.failure(error, item["path"] if len(paths) > 1 else None)
        elif not words.json:
            _print(console, item, detail, verbose=words.verbose)
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


def _check(detail: Detail, report: Pages, reading: EncodeOptions, *, json: bool) -> None:
    """Refuse (2) options that say nothing without another."""
    if detail.planes and not json and report.report is None:
        raise UsageError("--planes: needs --json or --report", hint="name the report with --report FILE.html")
    for name, given in (("--decoded", detail.decoded), ("--plots", report.plots is not None)):
        if given and not detail.stats:
            raise UsageError(f"{name}: needs --stats")
    layout = reading.given(("key", "input_format", "raw", "axes", "special_tokens"))
    if layout and not detail.stats:
        raise UsageError(f"{layout[0]}: expected --stats as well, which reads dumps")
    if report.plots is not None and not os.path.isdir(report.plots):
        raise UsageError(f"--plots: folder {report.plots!r} does not exist", hint="create it first")


def _print(console: Console, item: Document, detail: Detail, *, verbose: bool) -> None:
    from embdc_cli.cli import distribution_table, tables

    if "parts" in item:
        console.table(*tables.overview(item, verbose=verbose))
    if "stats" in item:
        console.table(*tables.statistics(item["stats"]))
    if "distribution" in item:
        console.table(*distribution_table.distribution(item, verbose=verbose))
    if detail.chunks and "chunks" in item:
        console.table(*tables.chunks(item["chunks"]))


app = command(inspect, EXAMPLES)
