"""The report of `embdc train-codebook`."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.html_report.batch import report_of
from embdc_cli.cli.html_report.codebook_usage import codebook_usage
from embdc_cli.cli.html_report.held_out import held_out
from embdc_cli.cli.html_report.levels import levels
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import paragraph, section
from embdc_cli.cli.html_report.reconstruction import reconstruction
from embdc_cli.cli.html_report.table import table
from embdc_cli.cli.html_report.values import facts

_ABOUT = ("kind", "digest", "file_bytes", "channels", "rank", "tables", "tokens_trained", "inputs", "encoder")


def codebook(document: Document) -> str:
    """The HTML of one codebook."""
    return report_of(document, "Codebook", "output", _codebook)


def _codebook(document: Document) -> Markup:
    parts = [paragraph(f"{wording.size(document['file_bytes'])}. {_worth(document)}", "lead")]
    parts += [paragraph(warning, "warning") for warning in document["warnings"]]
    if document["heldout"]:
        parts.append(section("What it saves", held_out(document["heldout"])))
        parts.append(section("How often it is used", codebook_usage(document["heldout"])))
    if document.get("levels"):
        parts.append(section("Levels", levels(document["levels"])))
    if document["reconstruction"] is not None:
        parts.append(section("Network", reconstruction(document["reconstruction"])))
    about = [fact for name in _ABOUT for fact in facts(document[name], name)]
    about += [fact for name in ("refinement", "init") for fact in facts(document.get(name) or {}, name)]
    return joined(*parts, section("What was learned", table("The codebook", ["field", "value"], about, words=2)))


def _worth(document: Document) -> str:
    if not document["heldout"]:
        return "Nothing was held out, so what it saves is not known."
    if document["break_even_bytes"] is None:
        return "It does not pay on the held-out inputs."
    return f"It pays from {wording.size(document['break_even_bytes'])} of float16 embeddings on."
