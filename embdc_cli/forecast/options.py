"""What a user can ask of `embdc plan`, as plain values; embdc-plan(1) describes each one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Final

from embdc_cli.errors import UsageError
from embdc_cli.forecast.rows import DEFAULT_ROWS
from embdc_cli.options import DUMP_OPTIONS, VIDEO_OPTIONS, EncodeOptions, flag_of

SAMPLE_BYTES: Final = 16 << 20
LARGEST_SAMPLE_BYTES: Final = 256 << 20

RECIPE_OPTIONS: Final = (
    *(
        "effort",
        "weighting",
        "codebook",
        "embed_codebook",
        "reconstruction",
        "chunk_frames",
        "nonfinite",
        "keep_lossless",
    ),
    *VIDEO_OPTIONS,
    *DUMP_OPTIONS,
    "input_format",
)
"""Of `EncodeOptions`: what is the same in every row and decides bytes."""
_ALSO_TAKEN: Final = ("device", "jobs", "spool_max")
_TARGETS: Final = ("target_", "preset", "lossless", "max_size")


@dataclass(frozen=True)
class PlanOptions:
    """Options of `embdc plan`, one input.

    sample: bytes of raw rows to encode. coding: options of encode that are the same in every row.
    Raises: UsageError for values out of range, and for options of encode that say nothing here.
    """

    rows: tuple[str, ...] = DEFAULT_ROWS
    sample: int = SAMPLE_BYTES
    seed: int = 0
    probe: str | None = None
    coding: EncodeOptions = field(default_factory=EncodeOptions)

    def __post_init__(self) -> None:
        if not 1 <= self.sample <= LARGEST_SAMPLE_BYTES:
            raise UsageError(f"--sample: expected 1 byte to 256MiB, found {self.sample} bytes")
        for one in fields(EncodeOptions):
            if one.name not in (*RECIPE_OPTIONS, *_ALSO_TAKEN) and self.coding.given([one.name]):
                hint = "targets are rows, such as `--rows bpv=0.5`" if one.name.startswith(_TARGETS) else None
                raise UsageError(f"{flag_of(one.name)}: not an option of plan", hint=hint)

    def with_row(self, name: str) -> PlanOptions:
        """These options, and this row among the others."""
        return self if name in self.rows else replace(self, rows=(*self.rows, name))
