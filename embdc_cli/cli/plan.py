"""`embdc plan`: what every preset would give, before anything is encoded."""

from __future__ import annotations

from typing import Annotated

import typer

from embdc_cli import batch, output
from embdc_cli.batch import Document
from embdc_cli.cli import library, reports, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.encode_options import Coding, Spooling
from embdc_cli.cli.input_options import Dumps, Video
from embdc_cli.cli.options import Compute, Report, Words
from embdc_cli.cli.parameters import command, fill, given
from embdc_cli.cli.plan_options import Emitted, Planning
from embdc_cli.errors import UsageError
from embdc_cli.forecast.options import PlanOptions
from embdc_cli.forecast.rows import Row
from embdc_cli.forecast.total import total
from embdc_cli.options import EncodeOptions

EXAMPLES = """
embdc plan feats.npy
embdc plan talk.mp4 --encoder google/siglip2-base-patch16-224 --fps 1
embdc plan feats.npy --rows balanced,cosine=0.95 --probe head.safetensors
embdc plan feats.npy --report plan.html --choose small
embdc plan feats.npy --emit recipe.toml --choose small
embdc encode feats.npy --config recipe.toml
"""

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Videos or dumps; - is stdin.")]


def plan(
    inputs: Inputs,
    planning: Planning,
    emitted: Emitted,
    report: Report,
    coding: Coding,
    spooling: Spooling,
    video: Video,
    dumps: Dumps,
    compute: Compute,
    words: Words,
) -> int:
    """Predict size, quality and time of every preset, and of other targets, by encoding a sample."""
    console = Console(**vars(words))
    streams.check_input(inputs)
    options = PlanOptions(**given(planning), coding=fill(EncodeOptions, coding, spooling, video, dumps, compute))
    for name in options.rows:
        Row.parse(name)
    reports.check(report.report, *inputs, outputs=(emitted.emit,), force=emitted.force)
    row = _chosen(emitted, inputs, report)
    if emitted.emit is not None or emitted.choose is not None:
        options = options.with_row(row.name)

    with console.reporting() as reporter:

        def work(job: Document) -> Document:
            reporter.next_item(f"{job['input']}: " if len(inputs) > 1 else "")
            return library.plan(job["input"], options, reporter)

        def finished(item: Document, error: BaseException | None) -> None:
            reporter.close()
            if error is not None:
                console.failure(error, item["input"] if len(inputs) > 1 else None)
            elif not words.json:
                from embdc_cli.cli import forecast_table

                console.table(*forecast_table.forecast(item))

        items = batch.run([{"input": name} for name in inputs], work, finished=finished)
    good = [item for item in items if "rows" in item]
    if emitted.emit is not None and good:
        library.write_recipe(emitted.emit, row, options.coding, good, force=emitted.force)
        console.say(f"{emitted.emit}: {row.name}, for `embdc encode --config {emitted.emit}`")
    document = batch.summary(items, len(inputs)) if len(inputs) > 1 else items[0]
    if len(inputs) > 1 and good:
        document["totals"]["rows"] = total(good)
        if not words.json:
            from embdc_cli.cli import forecast_table

            console.table(*forecast_table.total(document["totals"], len(good)))
    if report.report is not None and good:
        from embdc_cli.cli.html_report.forecast import forecast

        reports.write(report.report, forecast(document, chosen=row.name), console, force=emitted.force)
    if words.json:
        console.document(document)
    return int(document["exit"])


def _chosen(emitted: Emitted, inputs: list[str], report: Report) -> Row:
    """The row of recipe and report; what is wrong with its name, or the recipe's, is refused beforehand."""
    if emitted.choose is not None and emitted.emit is None and report.report is None:
        raise UsageError("--choose: needs --emit or --report", hint="name the recipe with --emit FILE")
    try:
        row = Row.parse(emitted.choose or "balanced")
    except UsageError as error:
        raise UsageError(error.message.replace("--rows", "--choose"), hint=error.hint) from error
    if emitted.emit is not None:
        output.check_not_input(emitted.emit, *inputs)
        output.check_output(emitted.emit, force=emitted.force)
    return row


app = command(plan, EXAMPLES)
