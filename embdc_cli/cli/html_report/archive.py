"""The report of `embdc inspect`."""

from __future__ import annotations

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.html_report.batch import report_of
from embdc_cli.cli.html_report.byte_parts import byte_parts
from embdc_cli.cli.html_report.chunk_bytes import chunk_bytes
from embdc_cli.cli.html_report.markup import Markup, joined
from embdc_cli.cli.html_report.page import paragraph, section
from embdc_cli.cli.html_report.plane_bits import plane_bits
from embdc_cli.cli.html_report.table import folded, table
from embdc_cli.cli.html_report.values import cosine, facts, number, text, whole
from embdc_cli.cli.lines import loss
from embdc_cli.cli.tables import STREAMS_SHOWN


def archive(document: Document) -> str:
    """The HTML of one archive, or of several."""
    return report_of(document, "Archive", "path", _archive)


def _archive(item: Document) -> Markup:
    parts = [paragraph(_lead(item), "lead")]
    if not item["complete"]:
        parts.append(paragraph("Incomplete: the file ends early, this is what is readable.", "warning"))
    for damage in item["damage"]:
        lost = "".join(f"; lost: {loss(one)}" for one in damage["lost"])
        parts.append(paragraph(f"Damage at offset {damage['offset']}: {damage['what']}{lost}", "warning"))
    parts += [byte_parts(item), _achieved(item["achieved"]), _streams(item["streams"])]
    if "stats" in item:
        parts.append(_statistics(item["stats"]))
    parts += [*_planes(item.get("planes", [])), _made_by(item), *_chunks(item.get("chunks", []))]
    return joined(*parts)


def _lead(item: Document) -> str:
    line = wording.size(item["file_bytes"])
    if item["bits_per_value"]:
        line += f", {wording.number(item['bits_per_value'], 3)} bits per value"
    if item["ratio_fp16"]:
        line += f", {wording.number(item['ratio_fp16'], 3)} times below float16"
    return line + "."


def _achieved(achieved: Document) -> Markup:
    shown = {"cosine": cosine, "cosine_p1": cosine}
    rows = [[name, shown.get(name, number)(value)] for name, value in achieved.items()]
    return table("Quality achieved", ["measure", "value"], rows)


def _streams(streams: list[Document]) -> Markup:
    rows = [
        [
            one["name"],
            text(one["item"]),
            wording.shape(one["shape"]),
            *(text(one[name]) for name in ("dtype", "axes", "codec", "chunks")),
        ]
        for one in streams
    ]
    headings = ["stream", "item", "shape", "type", "axes", "codec", "chunks"]
    return (folded if len(rows) > STREAMS_SHOWN else table)("Streams", headings, rows, words=6)


def _statistics(records: list[Document]) -> Markup:
    rows = [
        [
            one["name"],
            text(one["item"]),
            whole(one["segments"]),
            whole(one["payload_bytes"]),
            number(one["payload_bits_per_value"]),
            cosine(one["cosine_min"]),
        ]
        for one in records
    ]
    headings = ["stream", "item", "segments", "bytes of chunks", "bits/value", "worst cosine"]
    return table("Bytes and quality of every stream", headings, rows, words=2)


def _made_by(item: Document) -> Markup:
    """How the archive was made: everything that it says of itself."""
    found = [("format_version", text(item["format_version"])), ("values", whole(item["values"]))]
    for name in ("source", "encoder", "codec", "target"):
        found += facts(item[name] or {}, name)
    for number_of, codebook in enumerate(item["codebooks"]):
        found += facts(codebook, f"codebooks.{number_of}")
    return table("How it was made", ["field", "value"], found, words=2)


def _chunks(chunks: list[Document]) -> list[Markup]:
    by_stream: dict[tuple[int, str], list[Document]] = {}
    for chunk in chunks:
        by_stream.setdefault((chunk["item"], chunk["stream"]), []).append(chunk)
    return _sections("Chunks", {of: chunk_bytes(own) for of, own in by_stream.items()})


def _planes(planes: list[Document]) -> list[Markup]:
    return _sections("Coefficients", {(one["item"], one["name"]): plane_bits(one) for one in planes})


def _sections(what: str, by_stream: dict[tuple[int, str], Markup]) -> list[Markup]:
    """A section for each of the first streams, by item and name."""
    several = len({item for item, _ in by_stream}) > 1
    sections = [
        section(f"{what} of {f'item {item}, ' if several else ''}{stream}", own, level=3)
        for (item, stream), own in list(by_stream.items())[:STREAMS_SHOWN]
    ]
    if len(by_stream) > STREAMS_SHOWN:
        sections.append(paragraph(f"{len(by_stream) - STREAMS_SHOWN} more streams; --json lists all.", "note"))
    return sections
