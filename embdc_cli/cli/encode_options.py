"""Options of `embdc encode`: what becomes of the values, where they go, and of many inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.batch import Shard
from embdc_cli.cli import quantities
from embdc_cli.cli.options import Force
from embdc_cli.cli.parameters import choice, flag, option
from embdc_cli.options import CODECS, PRESETS, EncodeOptions


@dataclass(frozen=True)
class EncodeOutput:
    """Where archives go and what is done with those that are there already."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None,
        option("-o", "--output", metavar="FILE|-", help="The archive; - is stdout (default: INPUT as .embdc)."),
    ] = None
    out_dir: Annotated[
        str | None, option("--out-dir", metavar="DIR", help="Put the archives of all inputs into DIR.")
    ] = None
    force: Force = False
    append: Annotated[bool, flag("--append", help="Add to the archive given with -o, after its last tail.")] = False
    skip_existing: Annotated[
        bool, flag("--skip-existing", help="Skip inputs whose archive is complete and made by the same recipe.")
    ] = False
    resume: Annotated[bool, flag("--resume", help="Go on with unfinished work of the same recipe.")] = False
    record_name: Annotated[bool, flag("--record-name", help="Record the stem of the input as item name.")] = False
    dry_run: Annotated[bool, flag("--dry-run", help="Say what would be done, write nothing.")] = False


@dataclass(frozen=True)
class ErrorFeedback:
    """What one encode loses, for the next one."""

    TITLE: ClassVar = "Error feedback"

    residual_in: Annotated[
        str | None, option("--residual-in", metavar="FILE", help="Add what was lost before, a dump, to the input.")
    ] = None
    residual_out: Annotated[
        str | None, option("--residual-out", metavar="FILE", help="Write what this archive loses, such as R.npz.")
    ] = None


@dataclass(frozen=True)
class Recipe:
    """Options kept in a file."""

    TITLE: ClassVar = "Recipe"

    config: Annotated[
        str | None,
        option("--config", metavar="FILE", help="Take options from a TOML file; those given here go before."),
    ] = None


@dataclass(frozen=True)
class Rate:
    """How large or how good the result shall be."""

    TITLE: ClassVar = "Rate (at most one target)"

    preset: Annotated[
        str | None, choice("--preset", choices=PRESETS, help="A target cosine and an effort (default balanced).")
    ] = None
    target_bpv: Annotated[
        float | None,
        option("--target-bpv", metavar="X", read=quantities.number, help="At most X bits per value, whole file."),
    ] = None
    target_nmse: Annotated[
        float | None, option("--target-nmse", metavar="X", read=quantities.number, help="At most this plain NMSE.")
    ] = None
    target_channel_nmse: Annotated[
        float | None,
        option(
            "--target-channel-nmse", metavar="X", read=quantities.number, help="At most this mean NMSE of channels."
        ),
    ] = None
    target_cosine: Annotated[
        float | None,
        option("--target-cosine", metavar="X", read=quantities.number, help="At least this mean cosine of tokens."),
    ] = None
    max_size: Annotated[
        int | None,
        option("--max-size", metavar="SIZE", read=quantities.size, help="At most this file size, such as 500MB."),
    ] = None
    lossless: Annotated[bool, flag("--lossless", help="Keep every bit.")] = False


@dataclass(frozen=True)
class Codec:
    """How the values are coded."""

    TITLE: ClassVar = "Codec"

    codec: Annotated[str, choice("--codec", choices=CODECS, help="Which codec.")] = EncodeOptions.codec


@dataclass(frozen=True)
class Coding:
    """What goes with any target."""

    TITLE: ClassVar = Codec.TITLE

    effort: Annotated[
        int | None,
        option("--effort", metavar="0..3", read=quantities.whole(0, 3), help="Search effort (default 1)."),
    ] = None
    weighting: Annotated[
        str,
        option("--weighting", metavar="none|channel|token|FILE", help="Which error is minimised."),
    ] = EncodeOptions.weighting
    codebook: Annotated[
        str | None, option("--codebook", metavar="FILE", help="Use the bases and tables of a codebook.")
    ] = None
    embed_codebook: Annotated[
        str, choice("--embed-codebook", choices=("auto", "yes", "no"), help="Put the codebook into the archive.")
    ] = EncodeOptions.embed_codebook
    reconstruction: Annotated[
        str, choice("--reconstruction", choices=("auto", "on", "off"), help="Decode with the network of the codebook.")
    ] = EncodeOptions.reconstruction
    chunk_frames: Annotated[
        int | None,
        option("--chunk-frames", metavar="N", read=quantities.whole(1), help="Most frames per chunk (default 64)."),
    ] = EncodeOptions.chunk_frames
    nonfinite: Annotated[
        str, choice("--nonfinite", choices=("refuse", "keep"), help="What to do with NaN and Inf.")
    ] = EncodeOptions.nonfinite
    keep_lossless: Annotated[
        list[str] | None,
        option("--keep-lossless", metavar="PATTERN", help="Streams to keep exactly, such as '*.norm.*'; repeatable."),
    ] = None


@dataclass(frozen=True)
class OnePass:
    """Whether an input that can be read only once is spooled."""

    TITLE: ClassVar = Codec.TITLE

    one_pass: Annotated[bool, flag("--one-pass", help="Never spool; control the rate as the input arrives.")] = False


@dataclass(frozen=True)
class Spooling:
    """How much of it is spooled."""

    TITLE: ClassVar = Codec.TITLE

    spool_max: Annotated[
        int | None,
        option("--spool-max", metavar="SIZE", read=quantities.size, help="Most bytes to spool (default 20GB)."),
    ] = None


@dataclass(frozen=True)
class Additions:
    """Streams of other inputs on the same clock."""

    TITLE: ClassVar = "Beside the input"

    add: Annotated[
        list[str] | None,
        option(
            "--add",
            metavar="NAME=FILE@TIMES",
            help="A dump with times of its own, such as audio=w2v.npy@50hz or text=t.npy@times.npy; repeatable.",
        ),
    ] = None


@dataclass(frozen=True)
class Batch:
    """Many inputs in one run."""

    TITLE: ClassVar = "Batches"

    files_from: Annotated[
        str | None, option("--files-from", metavar="LIST|-", help="Also encode the inputs listed in LIST, one a line.")
    ] = None
    null: Annotated[bool, flag("-0", "--null", help="Items of LIST end with NUL, not newline.")] = False
    shard: Annotated[
        Shard | None,
        option("--shard", metavar="i/n", read=quantities.shard, help="Only part i (from 0) of n of the inputs."),
    ] = None
    keep_going: Annotated[
        bool | None,
        flag(
            "--keep-going/--fail-fast",
            help="After a failure go on (default) or stop; --keep-going also keeps the good part of a broken video.",
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        option(
            "--time-limit",
            metavar="TIME",
            read=quantities.duration("--time-limit"),
            help="Stop after this long, exit 75 if resumable.",
        ),
    ] = None
    events: Annotated[
        str | None, option("--events", metavar="FILE|fd:N", help="Append one line of JSON per finished input.")
    ] = None
