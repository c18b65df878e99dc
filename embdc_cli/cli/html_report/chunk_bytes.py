"""What every chunk of a stream costs, and how good it is, along the rows."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli.html_report import axis
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import figure
from embdc_cli.cli.html_report.plot import Plot
from embdc_cli.cli.html_report.table import folded
from embdc_cli.cli.html_report.values import cosine, known, number, whole


def chunk_bytes(chunks: list[Document]) -> Markup:
    """The figures and the table of the chunks of one stream (`embdc inspect --chunks`)."""
    x = axis.linear("row", [row for chunk in chunks for row in chunk["rows"]], tight=True, whole=True)
    size = Plot("Bytes of every chunk", x, axis.linear("bytes", [0, *(chunk["bytes"] for chunk in chunks)]), height=220)
    size.line(_steps(chunks, "bytes"), "first")
    parts = [figure(size.svg(), "Bytes of the chunks, along the rows.")]
    found = [chunk[by] for chunk in chunks for by in ("cosine", "cosine_min") if known(chunk[by])]
    if found:
        quality = Plot("Cosine of every chunk", x, axis.linear("cosine", found), height=220)
        quality.line(_steps(chunks, "cosine"), "first", "mean")
        quality.line(_steps(chunks, "cosine_min"), "second", "worst token")
        parts.append(figure(quality.svg(), "Mean cosine of each chunk, and that of its worst token."))
    rows = [
        [
            f"{whole(chunk['rows'][0])} to {whole(chunk['rows'][1])}",
            *(whole(chunk[name]) for name in ("segment", "offset", "bytes")),
            number(chunk["mse"]),
            cosine(chunk["cosine"]),
            cosine(chunk["cosine_min"]),
        ]
        for chunk in chunks
    ]
    headings = ["rows", "segment", "offset", "bytes", "mse", "cosine", "worst cosine"]
    return joined(*parts, folded("All chunks", headings, rows))


def _steps(chunks: list[Document], name: str) -> list[tuple[float, float] | None]:
    """Every chunk as a level from its first row to the row behind its last."""
    points: list[tuple[float, float] | None] = []
    for chunk in chunks:
        value = chunk[name]
        points += [(row, value) for row in chunk["rows"]] if known(value) else [None]
    return points
