"""What every row of a forecast would give: rate against error, and the row that is chosen."""

from __future__ import annotations

from typing import Any

from embdc_cli.batch import Document
from embdc_cli.cli.html_report import axis
from embdc_cli.cli.html_report.markup import Markup, element, joined
from embdc_cli.cli.html_report.page import figure, paragraph
from embdc_cli.cli.html_report.plot import Plot
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import cosine, number, positive, seconds, text, whole

_CAPTION = (
    "Bits per value, all bytes of the archive counted, against the error; both axes are logarithmic. "
    "The line joins the rows than which no other is both smaller and better."
)


def rate_distortion(rows: list[Document], chosen: str | None) -> Markup:
    """The figure and the table of `rows` of `embdc plan`. chosen: the name of the row to mark."""
    drawn = [row for row in rows if positive(row["bits_per_value"]) and positive(row["nmse"])]
    if not drawn:
        picture = paragraph("No row has both a rate and an error, so there is no curve.", "note")
    else:
        undrawn = [row["name"] for row in rows if row not in drawn]
        left_out = f" Without an error, and so not in the figure: {', '.join(undrawn)}." if undrawn else ""
        picture = figure(_curve(drawn, chosen), _CAPTION + left_out)
    return joined(picture, _table(rows, chosen))


def _curve(rows: list[Document], chosen: str | None) -> Markup:
    rates = [row["bits_per_value"] for row in rows]
    errors = [row["nmse"] for row in rows]
    x, y = axis.logarithmic("bits per value", rates), axis.logarithmic("nmse", errors)
    plot = Plot("Rate against error of every row", x, y, height=380)
    plot.line(_front(zip(rates, errors, strict=True)), "first")
    # the chosen row first, so that its label has the place it wants
    for row in sorted(rows, key=lambda row: row["name"] != chosen):
        point, is_chosen = (row["bits_per_value"], row["nmse"]), row["name"] == chosen
        words = f"{row['name']}: {number(point[0])} bits per value, nmse {number(point[1])}"
        plot.dot(point, "first", words, label=row["name"] + (" (chosen)" if is_chosen else ""), chosen=is_chosen)
    return plot.svg()


def _front(points: Any) -> list[tuple[float, float]]:
    """The points than which no other has both less rate and less error, in order of rate."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _table(rows: list[Document], chosen: str | None) -> Markup:
    probed = any("probe" in row for row in rows)
    headings = ["row", "codec", "effort", "bytes", "bits/value", "× below float16", "nmse", "cosine"]
    headings += [*(("top-1 agreement", "KL (nats)") if probed else ()), "encode", "decode"]
    cells = []
    for row in rows:
        name = element("strong", f"{row['name']} (chosen)") if row["name"] == chosen else row["name"]
        line = [name, row["codec"], text(row["effort"]), whole(row["file_bytes"])]
        line += [number(row["bits_per_value"]), number(row["ratio_fp16"]), number(row["nmse"]), cosine(row["cosine"])]
        if probed:
            probe = row.get("probe") or {}
            line += [number(probe.get("top1_agreement")), number(probe.get("kl"))]
        cells.append([*line, seconds(row["encode_s"]), seconds(row["decode_s"])])
    return table("What every row would give", headings, cells, words=2)
