"""What a codebook saves on inputs it was not trained on: rate against error, with it and without."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report import axis
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import figure, paragraph
from embdc_cli.cli.html_report.plot import Plot
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import number, percent, positive

_WITH, _WITHOUT = "bits_per_value", "bits_per_value_without"


def held_out(points: list[Document]) -> Markup:
    """The figure and the table of `heldout` of `embdc train-codebook`."""
    rows = [
        [
            *(number(point[name]) for name in ("nmse", _WITH, _WITHOUT)),
            *(percent(point[name]) for name in ("gain", "basis_share")),
        ]
        for point in points
    ]
    headings = ["nmse", "bits/value with it", "bits/value without", "saved", "basis taken by"]
    return joined(_figure(points), table("On held-out inputs", headings, rows))


def _figure(points: list[Document]) -> Markup:
    rates = [point[by] for point in points for by in (_WITH, _WITHOUT) if positive(point[by])]
    if not rates:
        return paragraph("No held-out input reaches any of the errors, so there is no curve.", "note")
    errors = axis.logarithmic("nmse", [point["nmse"] for point in points])
    plot = Plot("Rate against error on held-out inputs", axis.logarithmic("bits per value", rates), errors, height=360)
    for by, series, name in ((_WITHOUT, "second", "without"), (_WITH, "first", "with the codebook")):
        plot.line([(point[by], point["nmse"]) if positive(point[by]) else None for point in points], series, name)
        for point in points:
            if positive(point[by]):
                words = f"{name}: {number(point[by])} bits per value at nmse {number(point['nmse'])}"
                plot.dot((point[by], point["nmse"]), series, words)
    caption = "Bits per value against the error, at the default effort; both axes are logarithmic. "
    return figure(plot.svg(), caption + "The bytes of the codebook itself are not counted.")
