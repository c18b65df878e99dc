"""Options of `embdc plan` alone: what is tried, and the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.cli import quantities
from embdc_cli.cli.parameters import flag, option


@dataclass(frozen=True)
class Planning:
    """What is predicted, and from how much."""

    TITLE: ClassVar = "Forecast"

    rows: Annotated[
        quantities.Names | None,
        option(
            "--rows",
            metavar="LIST",
            read=quantities.Names.parse,
            help="Of presets, lossless, cosine=X, nmse=X, channel-nmse=X, bpv=X; comma-separated.",
        ),
    ] = None
    sample: Annotated[
        int | None,
        option(
            "--sample", metavar="SIZE", read=quantities.size, help="Rows to encode, at most 256MiB (default 16MiB)."
        ),
    ] = None
    seed: Annotated[
        int | None, option("--seed", metavar="N", read=quantities.whole(0), help="Which chunks (default 0).")
    ] = None
    probe: Annotated[
        str | None,
        option("--probe", metavar="FILE", help="Linear head, .npy or .safetensors, to predict its loss."),
    ] = None


@dataclass(frozen=True)
class Emitted:
    """A row as options of encode."""

    TITLE: ClassVar = "Recipe"

    emit: Annotated[
        str | None, option("--emit", metavar="FILE", help="Write a recipe for `embdc encode --config`.")
    ] = None
    choose: Annotated[
        str | None, option("--choose", metavar="ROW", help="Row of recipe and report (default balanced).")
    ] = None
    force: Annotated[bool, flag("-f", "--force", help="Overwrite recipe and report.")] = False
