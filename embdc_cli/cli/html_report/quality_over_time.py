"""Quality along the rows of a stream, with the worst of them."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report import axis
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import figure, paragraph
from embdc_cli.cli.html_report.plot import Plot
from embdc_cli.cli.html_report.table import folded, table
from embdc_cli.cli.html_report.values import cosine, known, number, seconds, whole

_WORDS = {"cosine": cosine, "nmse": number}
_SPREAD = 50  # an error that varies by more than this is drawn on a logarithmic axis


def quality_over_time(stream: Document) -> Markup:
    """The figures and tables of `over_time` and `worst` of one stream of `embdc compare`."""
    over_time = stream["over_time"]
    if not over_time["row"]:
        return paragraph("The stream has no rows.", "note")
    return joined(
        *(_figure(stream, by) for by in ("cosine", "nmse")),
        _worst(stream["worst"]),
        folded("Quality over time", ["from row", "time", "cosine", "nmse"], _rows(over_time)),
    )


def _figure(stream: Document, by: str) -> Markup:
    over_time = stream["over_time"]
    timed = over_time["seconds"] is not None
    times = over_time["seconds"] if timed else over_time["row"]
    # a row without a time has no place on an axis of times
    placed = [one for one in stream["worst"] if one["by"] == by and known(one[by])]
    worst = [(one["seconds"] if timed else one["row"], one) for one in placed]
    worst = [(time, one) for time, one in worst if known(time)]
    found = [value for value in over_time[by] if known(value)] + [one[by] for _, one in worst]
    if not found:
        return paragraph(f"The {by} is infinite or unknown everywhere, so there is no curve.", "note")
    label = "seconds after the first row" if timed else "row"
    moments = [time for time in times if known(time)] + [time for time, _ in worst]
    x = axis.linear(label, moments, tight=True, whole=not timed)
    wide = by == "nmse" and min(found) > 0 and max(found) > _SPREAD * min(found)
    plot = Plot(f"{by} of {stream['name']} over time", x, (axis.logarithmic if wide else axis.linear)(by, found), 250)
    pairs = zip(times, over_time[by], strict=True)
    plot.line([(time, value) if known(time) and known(value) else None for time, value in pairs], "first")
    for time, one in worst:
        words = f"row {one['row']}: {by} {_WORDS[by](one[by])}"
        plot.dot((time, one[by]), "bad", words, label=_when(one))
    caption = f"The {by} of up to 240 stretches of equal length, and as dots the rows in which it is worst."
    gaps = sum(not known(value) for value in over_time[by])
    return figure(plot.svg(), caption + (f" Infinite, and so gaps of the line: {gaps}." if gaps else ""))


def _when(one: Document) -> str:
    return f"row {one['row']}" if one["seconds"] is None else seconds(one["seconds"])


def _worst(worst: list[Document]) -> Markup:
    rows = [
        [one["by"], whole(one["row"]), seconds(one["seconds"]), cosine(one["cosine"]), number(one["nmse"])]
        for one in worst
    ]
    return table("Worst rows", ["by", "row", "time", "cosine", "nmse"], rows)


def _rows(over_time: Document) -> list[list[str]]:
    times = over_time["seconds"] or [None] * len(over_time["row"])
    columns = zip(over_time["row"], times, over_time["cosine"], over_time["nmse"], strict=True)
    return [[whole(row), seconds(time), cosine(one), number(nmse)] for row, time, one, nmse in columns]
