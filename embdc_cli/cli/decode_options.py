"""Options of commands that take rows out of archives: which, as what, and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.cli import quantities
from embdc_cli.cli.options import Codebooks, Force
from embdc_cli.cli.parameters import choice, flag, option
from embdc_cli.dump_formats import OUTPUT_FORMATS
from embdc_cli.options import MODALITIES, DecodeOptions

DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32"}


@dataclass(frozen=True)
class DecodeOutput:
    """Where the embeddings go and in which form."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None,
        option("-o", "--output", metavar="FILE|-", help="The dump; - is stdout (default: beside ARCHIVE)."),
    ] = None
    force: Force = False
    format: Annotated[
        str | None,
        choice(
            "--format", choices=OUTPUT_FORMATS, help="Default: by suffix, else npy, or safetensors for several streams."
        ),
    ] = None
    dtype: Annotated[
        str | None,
        choice("--dtype", choices=DTYPES, aliases=DTYPES.values(), help="Element type (default: that of the input)."),
    ] = None


@dataclass(frozen=True)
class Consumer:
    """What takes the embeddings in place of pictures or video."""

    TITLE: ClassVar = "Hand-off"

    consumer: Annotated[
        str | None,
        option("--for", metavar="STACK[:MODEL]", help="Tensors for vllm, sglang, hf or llava, checked against MODEL."),
    ] = None
    modality: Annotated[
        str, choice("--modality", choices=MODALITIES, help="Each row a picture, or each item a video.")
    ] = DecodeOptions.modality
    grid: Annotated[
        str | None, option("--grid", metavar="HxW", help="Tokens down and across, where the archive does not say.")
    ] = None


@dataclass(frozen=True)
class Selection:
    """Which part of the archive is meant."""

    TITLE: ClassVar = "Part"

    item: Annotated[str | None, option("--item", metavar="NAME", help="Only this item.")] = None
    stream: Annotated[str | None, option("--stream", metavar="NAME", help="Only this stream.")] = None
    frames: Annotated[
        str | None, option("--frames", metavar="A:B[:S]", help="Rows A to before B, every S-th; as in Python.")
    ] = None
    time: Annotated[
        str | None, option("--time", metavar="A..B", help="Rows from time A to before B after the first.")
    ] = None


@dataclass(frozen=True)
class Decoded(Selection):
    """Which part of the archive is decoded, and how finely."""

    levels: Annotated[
        int | None,
        option("--levels", metavar="N", read=quantities.whole(1), help="Only N levels of codec vq: coarser."),
    ] = None
    no_reconstruction: Annotated[bool, flag("--no-reconstruction", help="Leave out the network of a codebook.")] = False


@dataclass(frozen=True)
class Reading:
    """What is needed to read an archive, and what to do where it is damaged."""

    TITLE: ClassVar = "Reading"

    on_damage: Annotated[
        str,
        choice("--on-damage", choices=("fail", "skip", "nan"), help="Fail, leave damaged rows out, or fill with NaN."),
    ] = "fail"
    codebook: Codebooks = None


@dataclass(frozen=True)
class Following:
    """Rows of an archive that is still being written."""

    TITLE: ClassVar = "Following"

    follow: Annotated[
        bool, flag("--follow", help="Write the rows to stdout as the archive grows, an npy array per chunk.")
    ] = False
    appends: Annotated[bool, flag("--appends", help="With --follow: go on after a tail, with what is appended.")] = (
        False
    )
    idle_timeout: Annotated[
        float | None,
        option(
            "--idle-timeout",
            metavar="TIME",
            read=quantities.duration("--idle-timeout"),
            help="With --follow: give up when nothing has come for so long (default 10m).",
        ),
    ] = None
