"""The report of `embdc plan`."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.html_report.batch import report_of
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import paragraph
from embdc_cli.cli.html_report.rate_distortion import rate_distortion
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import known, number, seconds, text, whole


def forecast(document: Document, *, chosen: str | None) -> str:
    """The HTML of one forecast, or of a batch. chosen: the name of the row that is marked, where it is among them."""
    return report_of(document, "Forecast", "input", lambda item: _forecast(item, chosen), _together)


def _together(totals: Document) -> Markup:
    """What all inputs that have a forecast would take."""
    cells = [
        [
            row["name"],
            whole(row["file_bytes"]),
            *(number(row[key]) for key in ("bits_per_value", "ratio_fp16")),
            *(seconds(row[key]) for key in ("encode_s", "decode_s")),
        ]
        for row in totals.get("rows", [])
    ]
    lead = f"{wording.size(totals['raw_bytes'])}, {whole(totals['values'])} values in all."
    headings = ["row", "bytes", "bits/value", "× below float16", "encode", "decode"]
    return joined(paragraph(lead, "lead"), table("What all inputs would take together", headings, cells))


def _forecast(item: Document, chosen: str | None) -> Markup:
    sample = item["sample"]
    lead = f"{wording.size(item['raw_bytes'])}, {whole(item['values'])} values."
    if sample["complete"]:
        lead += " Everything was encoded, so the sizes are those that the archives will have."
    else:
        lead += f" Predicted from {sample['chunks']} of {sample['of_chunks']} chunks."
    if known(item["embed_s"]):
        lead += f" Embedding takes {wording.seconds(item['embed_s'])} more."
    streams = [[one["name"], wording.shape(one["shape"]), text(one["dtype"])] for one in item["streams"]]
    return joined(
        paragraph(lead, "lead"),
        rate_distortion(item["rows"], chosen),
        table("Streams", ["stream", "shape", "type"], streams, words=3),
    )
