"""The error of channels against their variance: whether loud channels cost what quiet ones pay."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report import axis
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import figure, paragraph
from embdc_cli.cli.html_report.plot import Plot
from embdc_cli.cli.html_report.table import folded
from embdc_cli.cli.html_report.values import number, positive, whole


def channel_error(stream: Document) -> Markup:
    """The figure and the table of `channels` of one stream of `embdc compare`."""
    channels = stream["channels"]
    points = list(zip(channels["variance"], channels["mse"], strict=True))
    rows = [
        [whole(first), number(variance), number(mse)]
        for first, (variance, mse) in zip(channels["rank"], points, strict=True)
    ]
    headings = ["from the n-th loudest", "variance", "mse"]
    return joined(_figure(stream["name"], points), folded("Error by variance", headings, rows))


def _figure(name: str, points: list[tuple[float | None, float | None]]) -> Markup:
    drawn = [(variance, mse) for variance, mse in points if positive(variance) and positive(mse)]
    if not drawn:
        return paragraph("No channel has both a variance and an error, so there is nothing to draw.", "note")
    x = axis.logarithmic("variance", [variance for variance, _ in drawn])
    y = axis.logarithmic("mse", [mse for _, mse in drawn])
    plot = Plot(f"Error of the channels of {name} against their variance", x, y)
    low, high = max(x.low, y.low), min(x.high, y.high)
    if low < high:
        plot.line([(low, low), (high, high)], "reference", "error = variance")
    for variance, mse in drawn:
        plot.dot((variance, mse), "first", f"variance {number(variance)}, mse {number(mse)}")
    left_out = len(points) - len(drawn)
    caption = "Mean squared error of the channels against their variance; both axes are logarithmic."
    if left_out:
        caption += f" Not drawn, without a variance or an error: {left_out}."
    return figure(plot.svg(), caption)
