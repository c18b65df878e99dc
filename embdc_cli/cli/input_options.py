"""Options that say how inputs are read: dumps, and videos with their encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.cli import quantities
from embdc_cli.cli.decode_options import DTYPES
from embdc_cli.cli.parameters import choice, flag, option
from embdc_cli.dump_formats import FORMATS
from embdc_cli.options import ENCODER_DTYPES, EncodeOptions

Key = Annotated[str | None, option("--key", metavar="NAME", help="Only this dataset or tensor.")]
RawLayout = Annotated[
    str | None,
    option("--raw", metavar="dtype=T,shape=S", help="Layout of raw input, such as dtype=f16,shape=?x196x768."),
]
Axes = Annotated[str | None, option("--axes", metavar="LIST", help="Names of the axes, such as t,n,c or t,h,w,c.")]


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
