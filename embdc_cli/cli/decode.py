"""`embdc decode`: an archive, or a part of it, back to a dump."""

from __future__ import annotations

from typing import Annotated

import typer

from embdc_cli import output, worklist
from embdc_cli.cli import library, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.decode_options import Consumer, Decoded, DecodeOutput, Following, Reading
from embdc_cli.cli.lines import decoded
from embdc_cli.cli.options import Compute, Words
from embdc_cli.cli.parameters import command, fill
from embdc_cli.cli.video_codec_options import VideoDecoding
from embdc_cli.errors import UsageError
from embdc_cli.options import DecodeOptions

EXAMPLES = """
embdc decode talk.embdc -o talk.npy
embdc decode talk.embdc --time 60s..65s -o - | python use.py
embdc decode talk.embdc --stream cls --frames 0:100:10 --dtype f32 -o cls.npy
embdc decode state.embdc -o state.safetensors
embdc decode talk.embdc --for vllm:Qwen/Qwen2.5-VL-7B-Instruct
embdc decode live.embdc --follow -o - | python use.py   # while it grows
embdc decode s3://bucket/talk.embdc --frames 0:64 -o start.npy
"""

Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Path or URL of an archive; - is stdin.")]


def decode(
    archive: Archive,
    target: DecodeOutput,
    part: Decoded,
    consumer: Consumer,
    reading: Reading,
    following: Following,
    video: VideoDecoding,
    compute: Compute,
    words: Words,
) -> int:
    """Decode an archive to npy, npz, safetensors, h5, pt or raw, or for a language model, whole or in part."""
    console = Console(**vars(words))
    streams.check_input([archive])
    codebooks, reconstruction = tuple(reading.codebook or ()), not part.no_reconstruction
    groups = (target, part, consumer, reading, following, video, compute)
    options = fill(DecodeOptions, *groups, codebooks=codebooks, reconstruction=reconstruction)
    if not options.follow and (options.appends or following.idle_timeout is not None):
        raise UsageError("--appends, --idle-timeout: only with --follow")
    if options.consumer is None and (options.grid is not None or options.modality != DecodeOptions.modality):
        raise UsageError("--modality, --grid: only with --for")
    path = target.output if target.output is not None else _default_output(archive, options)
    streams.check_output([path], json=words.json)
    output.check_not_input(path, archive)
    with console.reporting() as reporter:
        document = library.decode(archive, path, options, reporter)
    if words.json:
        console.document(document)
    for line in decoded(document, verbose=words.verbose):
        console.say(line)
    return int(document.get("exit", 0))


def _default_output(archive: str, options: DecodeOptions) -> str:
    """The archive's name with the suffix of the format; without one, npy for one stream and safetensors for several."""
    if archive == "-" or options.follow:
        return "-"
    form = options.format
    if options.consumer is not None:
        form = "safetensors"
    elif form is None and options.stream is not None:
        form = "npy"
    elif form is None:
        form = "npy" if len(library.chosen(archive, options)) == 1 else "safetensors"
    return worklist.output_name(archive, None, f".{form}")


app = command(decode, EXAMPLES)
