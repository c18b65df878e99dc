"""`embdc compare`: how good an archive or a dump is, and whether it is good enough."""

from __future__ import annotations

from typing import Annotated

import typer

from embdc_cli.cli import library, reports, streams
from embdc_cli.cli.compare_options import Head, Limits, Reference
from embdc_cli.cli.console import Console
from embdc_cli.cli.lines import beyond
from embdc_cli.cli.options import OnlyReport, Words
from embdc_cli.cli.parameters import command, fill
from embdc_cli.errors import TargetMissed
from embdc_cli.options import CompareOptions

EXAMPLES = """
embdc compare feats.npy feats.embdc
embdc compare feats.h5 feats.embdc --key clip --json
embdc compare feats.npy feats.embdc --min-cosine .98 --min-recall .9
embdc compare feats.npy feats.embdc --report quality.html
embdc compare feats.npy other.npy --probe head.safetensors --labels y.npy
"""

First = Annotated[str, typer.Argument(metavar="REFERENCE", help="The original: a dump, or an archive.")]
Second = Annotated[str, typer.Argument(metavar="ARCHIVE_OR_DUMP", help="What is judged by it.")]


def compare(
    reference: First, other: Second, dumps: Reference, head: Head, limits: Limits, report: OnlyReport, words: Words
) -> int:
    """Measure how good an archive or a dump is: error, direction, geometry, neighbours, a task."""
    console = Console(**vars(words))
    streams.refuse_stdin([reference, other])
    reports.check(report.report, reference, other, force=report.force)
    options = fill(CompareOptions, dumps, head, limits, codebooks=tuple(dumps.codebook or ()))
    with console.reporting() as reporter:
        document = library.compare(reference, other, options, reporter)
    if report.report is not None:
        from embdc_cli.cli.html_report.comparison import comparison

        reports.write(report.report, comparison(document), console, force=report.force)
    if words.json:
        console.document(document)
    else:
        from embdc_cli.cli.quality import quality

        console.table(*quality(document, verbose=words.verbose))
    for miss in document["missed"]:
        console.failure(TargetMissed(beyond(miss)))
    return int(document["exit"])


app = command(compare, EXAMPLES)
