"""`embdc ls` for people: a line for every item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embdc_cli.cli import wording
from embdc_cli.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.table import Table

_STREAMS_SHOWN = 2


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Where each item is, how long it lasts, its streams, its size, and whether it is all there.

    The size is that of the archive where it has one item.
    """
    items: dict[str, int] = {}
    for row in rows:
        items[row["path"]] = items.get(row["path"], 0) + 1
    found = plain_table()
    found.add_column("archive", overflow="fold")
    found.add_column("item", overflow="fold")
    found.add_column("time", justify="right", no_wrap=True)
    found.add_column("streams", overflow="fold")
    found.add_column("size", justify="right", no_wrap=True)
    found.add_column("status", no_wrap=True)
    for row in rows:
        number = row["item"]
        name = row["name"] if row["name"] is not None else "-" if number is None else str(number)
        seconds = "-" if row["seconds"] is None else wording.seconds(row["seconds"])
        size = row["item_bytes"] if items[row["path"]] > 1 else row["file_bytes"]
        shown = "-" if size is None else wording.size(size)
        found.add_row(row["path"], name, seconds, _streams(row["streams"] or []), shown, row["status"])
    return found


def _streams(streams: Sequence[Mapping[str, Any]]) -> str:
    told = [f"{one['name']} {_shape(one['shape'])} {one['dtype']}" for one in streams]
    shown = told if len(told) <= _STREAMS_SHOWN + 1 else [*told[:_STREAMS_SHOWN], f"{len(told) - _STREAMS_SHOWN} more"]
    return ", ".join(shown) or "-"


def _shape(lengths: Sequence[int | None]) -> str:
    """As `wording.shape`; how many rows are readable is not known of an archive that ends early: `?`."""
    return " x ".join("?" if length is None else wording.shape([length]) for length in lengths) or "scalar"
