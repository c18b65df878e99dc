"""`embdc encode`: videos and dumps to archives, one or thousands."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from embdc_cli import batch, worklist
from embdc_cli.batch import Document, EventLog
from embdc_cli.cli import library, signals, streams
from embdc_cli.cli.cluster_options import Cluster
from embdc_cli.cli.console import Console
from embdc_cli.cli.encode_options import (
    Additions,
    Batch,
    Codec,
    Coding,
    EncodeOutput,
    ErrorFeedback,
    OnePass,
    Rate,
    Recipe,
    Spooling,
)
from embdc_cli.cli.input_options import Dumps, Video
from embdc_cli.cli.lines import encoded, totalled
from embdc_cli.cli.options import Compute, Words
from embdc_cli.cli.parameters import command, fill
from embdc_cli.cli.progress import StageReporter
from embdc_cli.cli.video_codec_options import VideoCodec
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.remote.filesystem import is_url
from embdc_cli.scratch import disk_errors

EXAMPLES = """
embdc encode talk.mp4                                 # talk.embdc beside it
embdc encode feats.npy --target-bpv 0.5 -o small.embdc
embdc encode a.mp4 --encoder openai/clip-vit-large-patch14 --layer -2 --fps 1
embdc encode talk.mp4 --add audio=wav2vec.npy@50hz --add text=t.npy@words.npy
embdc encode model.safetensors --codec hevc --target-bpv 2.9
embdc encode state.safetensors --lossless
embdc encode feats.npy --config recipe.toml           # of `embdc plan --emit`
embdc encode videos/*.mp4 --out-dir out --skip-existing --shard 0/8
embdc encode --files-from all.txt --out-dir out --skip-existing --engine ray
cat feats.npy | embdc encode - -o - | ssh host 'cat > feats.embdc'
"""

Inputs = Annotated[
    list[str] | None, typer.Argument(metavar="INPUT...", help="Videos or dumps; - is stdin.", show_default=False)
]


def encode(
    *,
    inputs: Inputs = None,
    output: EncodeOutput,
    recipe: Recipe,
    rate: Rate,
    codec: Codec,
    coding: Coding,
    video_codec: VideoCodec,
    feedback: ErrorFeedback,
    one_pass: OnePass,
    spooling: Spooling,
    video: Video,
    dumps: Dumps,
    beside: Additions,
    many: Batch,
    cluster: Cluster,
    compute: Compute,
    words: Words,
) -> int:
    """Encode videos or embedding dumps (npy, npz, safetensors, h5, pt, raw) into archives."""
    del recipe  # its options have joined those given here before this is called
    console = Console(**vars(words))
    options = _options(
        output, rate, codec, coding, video_codec, feedback, one_pass, spooling, video, dumps, beside, many, compute
    )
    several = len(inputs or []) > 1 or many.files_from is not None or many.shard is not None
    if several and options.given(("residual_in", "residual_out")):
        raise UsageError("--residual-in, --residual-out: expected a single input, found several or a list")
    if several and options.add:
        raise UsageError("--add: expected a single input, found several or a list")
    jobs = _jobs(inputs or [], output, many)
    streams.check_output([job["output"] for job in jobs], json=words.json)
    if cluster.used:
        _check_cluster(jobs, options)
    if output.out_dir is not None and not is_url(output.out_dir) and jobs and not output.dry_run:
        _make_folder(output.out_dir)

    with ExitStack() as stack:
        log = stack.enter_context(EventLog(many.events)) if many.events is not None else None
        reporter = stack.enter_context(console.reporting())
        stack.enter_context(signals.time_limit(many.time_limit))
        run = _Run(console, reporter, options, log, len(jobs) if several else None)
        rules: Any = {"fail_fast": many.keep_going is False, "resumable": output.resume or output.skip_existing}
        if cluster.used:
            workers = cluster.asked(device=options.device, jobs=options.jobs)
            place: Any = {"address": cluster.address, "workers": workers, "reporter": reporter}
            items = library.encode_on_cluster(jobs, options, finished=run.tell, **place, **rules)
        else:
            items = batch.run(jobs, run.work, finished=run.finished, **rules)
    document = batch.summary(items, len(jobs)) if several else items[0]
    if words.json:
        console.document(document)
    elif several:
        console.say(totalled(document["totals"]))
    return int(document["exit"])


class _Run:
    """The work on one item and what is said about it."""

    def __init__(
        self, console: Console, reporter: StageReporter, options: EncodeOptions, log: EventLog | None, count: int | None
    ) -> None:
        self._console, self._reporter, self._options, self._log = console, reporter, options, log
        self._count, self._begun = count, 0

    def work(self, job: Document) -> Document:
        self._begun += 1
        counter = f"[{self._begun}/{self._count}] {os.path.basename(job['input'])}: " if self._count else ""
        self._reporter.next_item(counter)
        return library.encode(job["input"], job["output"], self._options, self._reporter)

    def finished(self, item: Document, error: BaseException | None) -> None:
        self._reporter.close()
        self.tell(item, error)

    def tell(self, item: Document, error: BaseException | None) -> None:
        if self._log is not None:
            self._log.write(item)
        if error is not None:
            self._console.failure(error, item["input"] if self._count else None)
            return
        for line in encoded(item, verbose=self._console.verbose):
            if item.get("status") == "planned" and not self._console.json:
                self._console.data(line)
            else:
                self._console.say(line)


def _jobs(inputs: list[str], output: EncodeOutput, many: Batch) -> list[Document]:
    """`{input, output}` of the inputs of this shard."""
    listed = list(inputs)
    stdin = ["-"] if many.files_from == "-" else []
    if many.files_from is not None:
        streams.check_input([*inputs, *stdin])
        listed += worklist.open_list(many.files_from, streams.stdin, null=many.null)
    elif many.null:
        raise UsageError("--null: needs --files-from")
    elif not listed:
        raise UsageError("input: missing, expected INPUT... or --files-from LIST", hint="see `embdc encode --help`")
    streams.check_input([*listed, *stdin])
    if output.append and output.output is None:
        raise UsageError("--append: needs the archive to add to", hint="name it with -o")
    jobs = worklist.assign_outputs(listed, output=output.output, folder=output.out_dir, suffix=".embdc")
    return [job for job in jobs if many.shard is None or many.shard.holds(job["input"])]


def _check_cluster(jobs: list[Document], options: EncodeOptions) -> None:
    """Refuse (2) what only this process has: its standard streams, and a file that is read and written again."""
    if any("-" in job.values() for job in jobs):
        raise UsageError("--engine ray: not with standard input or output", hint="name files that every node has")
    given = options.given(("append", "residual_in", "residual_out"))
    if given:
        raise UsageError(f"{given[0]}: not with --engine ray", hint="leave out one of them")


def _make_folder(folder: str) -> None:
    with disk_errors(folder):
        try:
            os.makedirs(folder, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"--out-dir: {folder}: expected a folder, found a file") from error


def _options(*groups: Any) -> EncodeOptions:
    """The options of every item; what is wrong with them alone is refused here, once, before the first item."""
    options = fill(EncodeOptions, *groups)
    options.target()
    options.check_codec()
    if options.fps is not None or options.time is not None:
        from embdc_cli.source.frame_selection import FrameSelection

        FrameSelection.parse(options.fps, options.time)
    if options.raw is not None or options.input_format is not None:
        from embdc_cli.source.detect import chosen_format
        from embdc_cli.source.raw import parse_raw

        chosen_format(options)
        if options.raw is not None:
            parse_raw(options.raw)
    return options


app = command(encode, EXAMPLES)
