"""Options of `embdc inspect` alone: how much is shown, and what is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.cli.options import Codebooks, Report
from embdc_cli.cli.parameters import flag, option


@dataclass(frozen=True)
class Detail:
    """How much of an archive or of a dump is shown."""

    TITLE: ClassVar = "Detail"

    chunks: Annotated[bool, flag("--chunks", help="Also list every chunk: rows, bytes, achieved quality.")] = False
    stats: Annotated[
        bool, flag("--stats", help="Bytes and quality of every stream; of a dump, how its values are distributed.")
    ] = False
    decoded: Annotated[
        bool, flag("--decoded", help="With --stats: also how the values of an archive are distributed.")
    ] = False
    planes: Annotated[
        bool, flag("--planes", help="With --json or --report: bits of coefficients by position; reads everything.")
    ] = False
    codebook: Codebooks = None


@dataclass(frozen=True)
class Pages(Report):
    """A page and pictures to look at."""

    plots: Annotated[
        str | None,
        option("--plots", metavar="DIR", help="With --stats: also a PNG of every tensor whose values are read."),
    ] = None
    force: Annotated[bool, flag("-f", "--force", help="Overwrite the report and the pictures.")] = False
