"""`embdc plan` for people: a line for every row of the forecast; fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.bars import bar
from embdc_cli.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR_WIDTH = 9


def forecast(document: Document) -> Iterator[RenderableType]:
    """The table of one input. Bars are sizes, the largest of those with loss being a whole bar."""
    from rich.padding import Padding

    yield _headline(document)
    rows = document["rows"]
    probed = any("probe" in row for row in rows)
    table = plain_table()
    table.add_column("row", overflow="fold")
    for heading in ("size", "bpv", "cosine", "nmse", *(("top-1", "KL") if probed else ()), "encode", "decode"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    largest = _largest(rows)
    for row in rows:
        cells = [row["name"], wording.size(row["file_bytes"]), wording.number(row["bits_per_value"], 3)]
        cells += [wording.cosine(row["cosine"]), wording.number(row["nmse"], 3)]
        if probed:
            cells += [wording.number(row["probe"]["top1_agreement"], 3), wording.number(row["probe"]["kl"], 2)]
        cells += [_seconds(row["encode_s"]), _seconds(row["decode_s"])]
        table.add_row(*cells, _bar(row, largest))
    yield Padding(table, (1, 0, 1, 2))


def total(totals: Document, inputs: int) -> Iterator[RenderableType]:
    """The table of all inputs together. inputs: how many of them have a forecast."""
    from rich.padding import Padding

    yield f"all {inputs} inputs: {wording.size(totals['raw_bytes'])}"
    table = plain_table()
    table.add_column("row", overflow="fold")
    for heading in ("size", "bpv", "below float16", "encode", "decode"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    largest = _largest(totals["rows"])
    for row in totals["rows"]:
        cells = [row["name"], wording.size(row["file_bytes"]), wording.number(row["bits_per_value"], 3)]
        cells += [f"{wording.number(row['ratio_fp16'], 3)} ×", _seconds(row["encode_s"]), _seconds(row["decode_s"])]
        table.add_row(*cells, _bar(row, largest))
    yield Padding(table, (1, 0, 1, 2))


def _largest(rows: list[Document]) -> int:
    return max((row["file_bytes"] for row in rows if row["codec"] != "lossless"), default=0)


def _bar(row: Document, largest: int) -> str:
    return bar(row["file_bytes"] / largest, _BAR_WIDTH) if largest and row["codec"] != "lossless" else ""


def _seconds(value: float) -> str:
    return wording.seconds(value) if value >= 0.00995 else f"{1000 * value:.1f} ms"


def _headline(document: Document) -> str:
    sample = document["sample"]
    line = f"{document['input']}: {wording.size(document['raw_bytes'])}"
    if not sample["complete"]:
        line += f", predicted from {sample['chunks']} of {sample['of_chunks']} chunks"
    if document["embed_s"] is not None:
        line += f"; embedding takes {wording.seconds(document['embed_s'])} more"
    return line
