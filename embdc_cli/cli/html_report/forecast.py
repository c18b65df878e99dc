"""The report of `embdc plan`."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.html_report.batch import report_of
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import paragraph
from embdc_cli.cli.html_report.rate_distortion import rate_distortion
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import known, text, whole


def forecast(document: Document, *, chosen: str | None) -> str:
    """The HTML of one forecast, or of a batch. chosen: the name of the row that is marked, where it is among them."""
    return report_of(document, "Forecast", "input", lambda item: _forecast(item, chosen))


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
