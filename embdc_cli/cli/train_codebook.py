"""`embdc train-codebook`: bases and tables learned from examples, with an honest report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from embdc_cli import output
from embdc_cli.cli import library, quantities, reports, streams
from embdc_cli.cli.cluster_options import Cluster
from embdc_cli.cli.console import Console
from embdc_cli.cli.input_options import Dumps, Video
from embdc_cli.cli.lines import trained
from embdc_cli.cli.options import Compute, Report, Words
from embdc_cli.cli.parameters import choice, command, fill, flag, given, option
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions

EXAMPLES = """
embdc train-codebook dumps/*.npy -o clip.embdcb
embdc train-codebook *.mp4 --encoder openai/clip-vit-base-patch16 -o b.embdcb
embdc train-codebook dumps/*.npy -o clip.embdcb --report clip.html
embdc encode new.npy --codebook clip.embdcb
embdc train-codebook dumps/*.npy --kind vq -o codes.embdcb
embdc encode new.npy --codec vq --codebook codes.embdcb
embdc train-codebook videos/*.mp4 --engine ray -o b.embdcb
"""

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Dumps, archives or videos to learn from.")]


@dataclass(frozen=True)
class Training:
    """What is learned, from how much, and where it goes."""

    TITLE: ClassVar = "Training"

    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE", help="The codebook, FILE.embdcb. Required.")
    ] = None
    force: Annotated[bool, flag("-f", "--force", help="Overwrite codebook and report.")] = False
    resume: Annotated[bool, flag("--resume", help="Go on where the same training was stopped.")] = False
    kind: Annotated[str, choice("--kind", choices=("transform", "vq"), help="What to learn.")] = "transform"
    max_bytes: Annotated[
        int | None, option("--max-bytes", metavar="SIZE", read=quantities.size, help="At most this file size.")
    ] = None
    sample: Annotated[
        int | None,
        option("--sample", metavar="N", read=quantities.count, help="Tokens to learn from (default 2M)."),
    ] = None
    seed: Annotated[
        int | None, option("--seed", metavar="N", read=quantities.whole(0), help="Of the sample (default 0).")
    ] = None
    holdout: Annotated[
        float | None,
        option("--holdout", metavar="X", read=quantities.share, help="Share of inputs kept for the report (10%)."),
    ] = None
    refine: Annotated[
        int | None,
        option("--refine", metavar="N", read=quantities.whole(0), help="vq: steps of refinement (default 4)."),
    ] = None
    init: Annotated[str | None, option("--init", metavar="FILE", help="vq: a codebook to start from.")] = None
    weighting: Annotated[
        str | None,
        option("--weighting", metavar="none|channel|token|FILE", help="vq: which error refinement lowers."),
    ] = None
    probe: Annotated[
        str | None, option("--probe", metavar="FILE", help="vq: a linear head whose output refinement keeps.")
    ] = None
    reconstruction: Annotated[
        str | None,
        choice(
            "--reconstruction", choices=("auto", "on", "off"), help="Learn a network that improves what is decoded."
        ),
    ] = None


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
