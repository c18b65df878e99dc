"""The options of every command, in groups; embdc-COMMAND(1) describes each one.

Fields that carry the names of `EncodeOptions`, `DecodeOptions` or `TrainOptions` become those options as they are,
None meaning the default there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.batch import Shard
from embdc_cli.cli import quantities
from embdc_cli.cli.parameters import choice, flag, option
from embdc_cli.device import device_word
from embdc_cli.dump_formats import FORMATS, OUTPUT_FORMATS
from embdc_cli.options import CODECS, ENCODER_DTYPES, MODALITIES, PRESETS, DecodeOptions, EncodeOptions

DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32"}

Codebooks = Annotated[
    list[str] | None,
    option("--codebook", metavar="FILE", help="Codebook that the archive refers to; repeatable."),
]
Device = Annotated[
    str | None,
    option("--device", metavar="auto|cpu|cuda[:N]", read=device_word, help="Where to compute (default auto)."),
]
Jobs = Annotated[
    int | None,
    option(
        "-j",
        "--jobs",
        metavar="N",
        read=quantities.jobs,
        help="Threads; 0 means all cores (default 1). The bytes do not depend on it.",
    ),
]
Key = Annotated[str | None, option("--key", metavar="NAME", help="Only this dataset or tensor.")]
RawLayout = Annotated[
    str | None,
    option("--raw", metavar="dtype=T,shape=S", help="Layout of raw input, such as dtype=f16,shape=?x196x768."),
]
Axes = Annotated[str | None, option("--axes", metavar="LIST", help="Names of the axes, such as t,n,c or t,h,w,c.")]
Force = Annotated[bool, flag("-f", "--force", help="Overwrite the output.")]


@dataclass(frozen=True)
class Words:
    """What is said while the command runs, and in which form."""

    TITLE: ClassVar = "Words"

    json: Annotated[bool, flag("--json", help="Print exactly one JSON document on stdout.")] = False
    quiet: Annotated[bool, flag("-q", "--quiet", help="Only errors on stderr.")] = False
    verbose: Annotated[bool, flag("-v", "--verbose", help="More detail.")] = False


@dataclass(frozen=True)
class Report:
    """A page to look at, for commands with outputs of their own, whose --force it goes by."""

    TITLE: ClassVar = "Report"

    report: Annotated[
        str | None,
        option("--report", metavar="FILE", help="Also write figures and tables as one HTML file."),
    ] = None


@dataclass(frozen=True)
class OnlyReport(Report):
    """A page to look at, for commands that write nothing else."""

    force: Annotated[bool, flag("-f", "--force", help="Overwrite the report.")] = False


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
class Video:
    """How a video becomes embeddings."""

    TITLE: ClassVar = "Video"

    encoder: Annotated[
        str | None, option("--encoder", metavar="NAME|PATH", help="Vision model (default patch-dct, built in).")
    ] = None
    encoder_dtype: Annotated[
        str,
        choice("--encoder-dtype", choices=ENCODER_DTYPES, aliases=DTYPES.values(), help="What the model computes in."),
    ] = EncodeOptions.encoder_dtype
    compile: Annotated[bool, flag("--compile", help="Compile the model, for long videos.")] = False
    layer: Annotated[
        int | None, option("--layer", metavar="N", read=quantities.whole(), help="Layer to tap, such as -2.")
    ] = None
    streams: Annotated[
        quantities.Names | None,
        option(
            "--streams",
            metavar="LIST",
            read=quantities.Names.parse,
            help="Of patch, cls, pooled; comma-separated (default patch).",
        ),
    ] = None
    fps: Annotated[str | None, option("--fps", metavar="F|native|every:N", help="Which frames (default native).")] = (
        None
    )
    time: Annotated[
        str | None, option("--time", metavar="A..B", help="Only from time A to before B, such as 10s..1m30s.")
    ] = None
    batch_size: Annotated[
        int | None,
        option("--batch-size", metavar="N", read=quantities.whole(1), help="Frames per run of the model."),
    ] = None


@dataclass(frozen=True)
class Dumps:
    """How a dump is read."""

    TITLE: ClassVar = "Dumps"

    key: Key = None
    input_format: Annotated[
        str | None,
        choice("--input-format", choices=(*FORMATS, "video"), help="Format, where the content does not tell."),
    ] = None
    raw: RawLayout = None
    axes: Axes = None
    special_tokens: Annotated[
        str,
        option(
            "--special-tokens",
            metavar="auto|N",
            read=quantities.auto_or_whole,
            help="Leading tokens coded apart from the patches.",
        ),
    ] = EncodeOptions.special_tokens


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


@dataclass(frozen=True)
class Compute:
    """What the work runs on."""

    TITLE: ClassVar = "Compute"

    device: Device = None
    jobs: Jobs = None


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


@dataclass(frozen=True)
class Comparison:
    """What of an archive is tested besides its checksums and structure."""

    TITLE: ClassVar = "Checks"

    deep: Annotated[
        bool, flag("--deep", help="Also check all digests, and the integers that every chunk decodes to.")
    ] = False

    against: Annotated[
        str | None, option("--against", metavar="DUMP", help="Also compare the values with the original.")
    ] = None
    key: Annotated[str | None, option("--key", metavar="NAME", help="Only this dataset or tensor of DUMP.")] = None
    codebook: Codebooks = None


@dataclass(frozen=True)
class Join:
    """How archives become one."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE|-", help="The joined archive; - is stdout. Required.")
    ] = None
    force: Force = False
    join: Annotated[
        str | None,
        choice("--join", choices=("time", "items"), help="One longer stream, or items (default where names differ)."),
    ] = None


@dataclass(frozen=True)
class Cut:
    """How an archive becomes several."""

    TITLE: ClassVar = "Output"

    every: Annotated[
        str | None, option("--every", metavar="TIME", help="The length of a part, such as 10m or 1h30m. Required.")
    ] = None
    output: Annotated[
        str | None,
        option("-o", "--output", metavar="NAMES", help="Names with {n} for the number (default: NAME-{n}.embdc)."),
    ] = None
    force: Force = False


@dataclass(frozen=True)
class RepairOutput:
    """Where a repaired archive goes."""

    TITLE: ClassVar = "Output"

    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE|-", help="The repaired archive; - is stdout. Required.")
    ] = None
    force: Force = False


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
