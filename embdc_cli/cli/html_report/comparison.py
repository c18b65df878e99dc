"""The report of `embdc compare`."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.html_report.batch import report_of
from embdc_cli.cli.html_report.channel_error import channel_error
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import paragraph, section
from embdc_cli.cli.html_report.quality_over_time import quality_over_time
from embdc_cli.cli.html_report.table import folded, table
from embdc_cli.cli.html_report.values import cosine, facts, number, text, whole
from embdc_cli.cli.lines import beyond
from embdc_cli.cli.tables import STREAMS_SHOWN

_MEASURES = (
    *("nmse", "snr_db", "channel_nmse", "max_abs_error", "nonfinite"),
    *("cosine", "cosine_p1", "centred_cosine", "norm_drift", "cka"),
)
_COSINES = ("cosine", "cosine_p1", "centred_cosine", "cka")


def comparison(document: Document) -> str:
    """The HTML of one comparison."""
    return report_of(document, "Quality", "other", _comparison)


def _comparison(document: Document) -> Markup:
    streams = document["streams"]
    parts = [paragraph(_lead(document), "lead")]
    parts += [paragraph(f"Beyond a limit: {beyond(miss)}", "warning") for miss in document["missed"]]
    if len(streams) > 1:
        parts.append(_overview(streams))
    parts += [_stream(stream) for stream in streams[:STREAMS_SHOWN]]
    if len(streams) > STREAMS_SHOWN:
        parts.append(paragraph(f"{len(streams) - STREAMS_SHOWN} more streams; --json tells all of them.", "note"))
    if document["companions"]:
        rows = [[one["name"], text(one["identical"])] for one in document["companions"]]
        parts.append(table("Streams that hold no embeddings", ["stream", "identical"], rows, words=2))
    return joined(*parts)


def _lead(document: Document) -> str:
    line = f"Measured against {document['reference']}"
    if document["bits_per_value"]:
        size, rate = wording.size(document["file_bytes"]), wording.number(document["bits_per_value"], 3)
        line += f"; {size}, {rate} bits per value"
    if document["external_codebook_bytes"]:
        line += f"; codebook of {wording.size(document['external_codebook_bytes'])} not counted"
    return line + "."


def _overview(streams: list[Document]) -> Markup:
    measures = ("nmse", "snr_db", "cosine", "cosine_p1", "cka")
    rows = [
        [stream["name"], *(_measure(name, stream[name]) for name in measures), number(stream["recall"]["tokens_10"])]
        for stream in streams
    ]
    headings = ["stream", *measures, "recall@10"]
    return (folded if len(rows) > STREAMS_SHOWN else table)("All streams", headings, rows)


def _stream(stream: Document) -> Markup:
    about = f"{wording.shape(stream['shape'])} {stream['dtype']}, {whole(stream['tokens'])} tokens"
    return section(
        stream["name"],
        paragraph(about + (", identical" if stream["identical"] else ""), "note"),
        _measures(stream),
        section("Over time", quality_over_time(stream), level=3),
        section("By channel", channel_error(stream), level=3),
    )


def _measures(stream: Document) -> Markup:
    rows = [(name, _measure(name, stream[name])) for name in _MEASURES]
    for name in ("recall", "probe", "labels"):
        if stream[name] is not None:
            rows += facts(stream[name], name)
    return table("Measures", ["measure", "value"], rows)


def _measure(name: str, value: object) -> str:
    return cosine(value) if name in _COSINES else number(value)
