"""Options that several commands share, in groups: a command takes the groups it needs as parameters.

Fields that carry the names of `EncodeOptions`, `DecodeOptions` or `TrainOptions` become those options as they are,
None meaning the default there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.cli import quantities
from embdc_cli.cli.parameters import flag, option
from embdc_cli.device import device_word

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
class Compute:
    """What the work runs on."""

    TITLE: ClassVar = "Compute"

    device: Device = None
    jobs: Jobs = None
