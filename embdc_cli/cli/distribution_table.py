"""How values are distributed, for people: a line for every tensor, all that is known of a single one; 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.tables import STREAMS_SHOWN, plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def distribution(document: Document, *, verbose: bool) -> Iterator[RenderableType]:
    """The tables of one input: of one tensor, or of every one when `verbose`, all that is known."""
    from rich.padding import Padding

    tensors = document["distribution"]
    if "format" in document:
        yield f"{document['path']}: {document['format']}, {wording.plural(len(tensors), 'tensor')} of floats"
    if len(tensors) > 1:
        yield Padding(_overview(tensors if verbose else tensors[:STREAMS_SHOWN]), (1, 0, 0, 2))
        if not verbose:
            more = len(tensors) - STREAMS_SHOWN
            words = f"{more} more tensors; " if more > 0 else ""
            yield Padding(f"{words}-v or --json tells more of each", (1, 0, 0, 2))
    if len(tensors) == 1 or verbose:
        for one in tensors:
            yield Padding(f"{one['name']}, {wording.shape(one['shape'])} {one['dtype']}", (1, 0, 0, 2))
            yield Padding(_facts(one), (0, 0, 0, 4))
    for one in document["skipped"]:
        yield Padding(f"{one['name']}: {one['dtype']}, skipped", (0, 0, 0, 2))


def _overview(tensors: Sequence[Document]) -> Table:
    found = plain_table()
    found.add_column("tensor", overflow="fold")
    for heading in ("bits", "kurtosis", "massive", "plane", "time", "klt", "natural"):
        found.add_column(heading, justify="right")
    found.add_column("verdict")
    for one in tensors:
        found.add_row(
            one["name"],
            _number(one["entropy"]["tensor"], 2),
            _number(one["kurtosis"], 1),
            _share(one["massive"]),
            *(_number(one["gain_db"][name], 1) for name in ("dct", "time", "klt_paid")),
            _number(one["natural"]["distance"], 2),
            one["verdict"]["kind"],
        )
    return found


def _facts(one: Document) -> Table:
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")
    facts.add_row("verdict", f"{one['verdict']['kind']}: {one['verdict']['words']}")
    range_of = f"{wording.number(one['least'])} to {wording.number(one['greatest'])}"
    facts.add_row(
        "values",
        f"{range_of}, mean {wording.number(one['mean'], 3)}, deviation {wording.number(one['deviation'], 3)}",
    )
    tensor, channels = (wording.number(one["entropy"][name], 3) for name in ("tensor", "channels"))
    facts.add_row("8-bit entropy", f"{tensor} bits, with a scale for every channel {channels} bits")
    kurtosis, inner = wording.number(one["kurtosis"], 3), wording.number(one["channel_kurtosis"], 3)
    facts.add_row("excess kurtosis", f"{kurtosis}, within channels {inner}")
    facts.add_row(
        "outliers",
        f"{_share(one['outliers'])} beyond 6 deviations; {_share(one['massive'])} of the energy in 1 % of channels",
    )
    along = one["correlation"]
    names = ("time", "vertical", "horizontal", "channel")
    facts.add_row("neighbours", ", ".join(f"{name} {_number(along[name], 2)}" for name in names))
    facts.add_row("between channels", f"{_number(along['channels'], 2)} on average")
    dct, time, klt, paid = (_number(one["gain_db"][name], 1) for name in ("dct", "time", "klt", "klt_paid"))
    facts.add_row(
        "gain in dB",
        f"{one['tiling'] or 'plane'} 8x8 DCT {dct}, time DCT {time}, KLT {klt}, its basis paid for {paid}",
    )
    parts = one["natural"]
    r, slope, tails = (_number(parts[name], 2) for name in ("correlation", "slope", "gradient_kurtosis"))
    facts.add_row(
        "from pictures",
        f"{_number(parts['distance'], 2)} of 1; correlation {r}, slope {slope}, gradient kurtosis {tails}",
    )
    plain, rotated, paid = (wording.number(one["forecast"][name], 3) for name in ("channels", "klt", "klt_paid"))
    facts.add_row(
        "forecast",
        f"nmse {wording.number(one['forecast']['nmse'])}: {plain} bits/value, {rotated} after a KLT, {paid} with its "
        "basis",
    )
    if one["nonfinite"]:
        facts.add_row("not finite", wording.plural(one["nonfinite"], "value"))
    return facts


def _share(value: float | None) -> str:
    return "-" if value is None else f"{wording.number(100 * value, 2)} %"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:z.{decimals}f}"
