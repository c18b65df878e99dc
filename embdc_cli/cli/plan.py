"""`embdc plan`: what every preset would give, before anything is encoded."""

from __future__ import annotations

from typing import Annotated

import typer

from embdc_cli import batch, output
from embdc_cli.batch import Document
from embdc_cli.cli import library, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.options import Coding, Compute, Dumps, Emitted, Planning, Spooling, Video, Words
from embdc_cli.cli.parameters import command, fill, given
from embdc_cli.errors import UsageError
from embdc_cli.forecast.options import PlanOptions
from embdc_cli.forecast.rows import Row
from embdc_cli.options import EncodeOptions

EXAMPLES = """
embdc plan feats.npy
embdc plan talk.mp4 --encoder google/siglip2-base-patch16-224 --fps 1
embdc plan feats.npy --rows balanced,cosine=0.95 --probe head.safetensors
embdc plan feats.npy --emit recipe.toml --choose small
embdc encode feats.npy --config recipe.toml
"""

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Videos or dumps; - is stdin.")]


def plan(
    inputs: Inputs,
    planning: Planning,
    emitted: Emitted,
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
    row = _chosen(emitted, inputs)
    if row is not None:
        options = options.with_row(row.name)

    with console.reporting() as reporter:

        def work(job: Document) -> Document:
            reporter.next_item(f"{job['input']}: " if len(inputs) > 1 else "")
            return library.plan(job["input"], options, reporter)

        def finished(item: Document, error: BaseException | None) -> None:
            reporter.close()
            if error is not None:
                console.failure(error)
            elif not words.json:
                from embdc_cli.cli import forecast_table

                console.table(*forecast_table.forecast(item))

        items = batch.run([{"input": name} for name in inputs], work, finished=finished)
    good = [item for item in items if "rows" in item]
    if row is not None and emitted.emit is not None and good:
        library.write_recipe(emitted.emit, row, options.coding, good, force=emitted.force)
        console.say(f"{emitted.emit}: {row.name}, for `embdc encode --config {emitted.emit}`")
    document = batch.summary(items, len(inputs)) if len(inputs) > 1 else items[0]
    if words.json:
        console.document(document)
    return int(document["exit"])


def _chosen(emitted: Emitted, inputs: list[str]) -> Row | None:
    """The row of the recipe, where one is to be written; what is wrong with its name is refused beforehand."""
    if emitted.emit is None:
        if emitted.choose is not None:
            raise UsageError("--choose: needs --emit", hint="name the recipe with --emit FILE")
        return None
    try:
        row = Row.parse(emitted.choose or "balanced")
    except UsageError as error:
        raise UsageError(error.message.replace("--rows", "--choose"), hint=error.hint) from error
    output.check_not_input(emitted.emit, *inputs)
    output.check_output(emitted.emit, force=emitted.force)
    return row


app = command(plan, EXAMPLES)
