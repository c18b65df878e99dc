"""`embdc train-codebook`: bases and tables learned from examples, with an honest report."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from embdc_cli import output
from embdc_cli.cli import library, reports, streams
from embdc_cli.cli.cluster_options import Cluster
from embdc_cli.cli.console import Console
from embdc_cli.cli.lines import trained
from embdc_cli.cli.options import Compute, Dumps, Report, Training, Video, Words
from embdc_cli.cli.parameters import command, fill, given
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions

EXAMPLES = """
embdc train-codebook dumps/*.npy -o clip.embdcb
embdc train-codebook *.mp4 --encoder openai/clip-vit-base-patch16 -o b.embdcb
embdc train-codebook dumps/*.npy -o clip.embdcb --report clip.html
embdc encode new.npy --codebook clip.embdcb
embdc train-codebook dumps/*.npy --kind vq -o codes.embdcb
embdc encode new.npy --codec vq --codebook codes.embdcb
embdc train-codebook videos/*.mp4 --encoder openai/clip-vit-base-patch16 -o b.embdcb --engine ray
"""

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Dumps, archives or videos to learn from.")]


def train_codebook(
    inputs: Inputs,
    training: Training,
    report: Report,
    video: Video,
    dumps: Dumps,
    cluster: Cluster,
    compute: Compute,
    words: Words,
) -> int:
    """Learn a codebook, and report what it saves on inputs that were held out."""
    console = Console(**vars(words))
    if training.output is None:
        raise UsageError("output: missing", hint="name the codebook with -o FILE.embdcb")
    streams.check_input(inputs)
    streams.check_output([training.output], json=words.json)
    output.check_not_input(training.output, *inputs, *(one for one in (training.init, training.probe) if one))
    reports.check(report.report, *inputs, outputs=(training.output,), force=training.force)
    settings: dict[str, Any] = {name: value for name, value in given(training).items() if name != "output"}
    settings["reading"] = reading = fill(EncodeOptions, video, dumps, compute)
    place: dict[str, Any] = {}
    if cluster.used:
        if "-" in inputs:
            raise UsageError("--engine ray: not with standard input", hint="name files that every node has")
        place = {"address": cluster.address, "workers": cluster.asked(device=reading.device, jobs=reading.jobs)}
    with console.reporting() as reporter:
        train = library.train_on_cluster if cluster.used else library.train
        document = train(inputs, training.output, settings, reporter, **place)
    if report.report is not None:
        from embdc_cli.cli.html_report.codebook import codebook

        reports.write(report.report, codebook(document), console, force=training.force)
    if words.json:
        console.document(document)
    for line in trained(document, verbose=words.verbose):
        console.say(line)
    return int(document.get("exit", 0))


app = command(train_codebook, EXAMPLES)
