"""`embdc inspect` for people: what is in an archive, where its bytes went, how good it is; fits 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.bars import bar
from embdc_cli.cli.lines import loss, traffic

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STREAMS_SHOWN = 40
_DIGEST_SHOWN = 12


def overview(document: Document, *, verbose: bool) -> Iterator[RenderableType]:
    """The tables of one archive; all streams when `verbose`, else the first 40."""
    from rich.padding import Padding

    yield _headline(document)
    yield Padding(_facts(document), (1, 0, 1, 2))
    streams = document["streams"]
    shown = streams if verbose else streams[:STREAMS_SHOWN]
    yield Padding(_streams(shown), (0, 0, 1, 2))
    if len(shown) < len(streams):
        yield Padding(f"{len(streams) - len(shown)} more streams; -v or --json lists all", (0, 0, 1, 2))
    yield Padding(_parts(document["parts"], document["file_bytes"]), (0, 0, 0, 2))


def statistics(records: Sequence[Document]) -> Iterator[RenderableType]:
    """Bytes and quality of every stream (`--stats`)."""
    columns = {
        "segments": lambda one: str(one["segments"]),
        "bytes": lambda one: wording.size(one["payload_bytes"]),
        "bits/value": lambda one: wording.number(one["payload_bits_per_value"], 3),
        "worst cosine": lambda one: wording.cosine(one["cosine_min"]),
    }
    yield from _records("stats", "name", records, columns)


def chunks(records: Sequence[Document]) -> Iterator[RenderableType]:
    """Rows, place and quality of every chunk (`--chunks`)."""
    columns = {
        "segment": lambda one: str(one["segment"]),
        "rows": lambda one: f"{one['rows'][0]}..{one['rows'][1]}",
        "offset": lambda one: str(one["offset"]),
        "bytes": lambda one: wording.size(one["bytes"]),
        "mse": lambda one: wording.number(one["mse"], 3),
        "cosine": lambda one: wording.cosine(one["cosine"]),
        "worst cosine": lambda one: wording.cosine(one["cosine_min"]),
    }
    yield from _records("chunks", "stream", records, columns)


def _records(
    title: str, name: str, records: Sequence[Document], columns: Mapping[str, Callable[[Document], str]]
) -> Iterator[RenderableType]:
    """A table of equal records, named by their stream, and their item where there are several."""
    from rich.padding import Padding

    several = len({record["item"] for record in records}) > 1
    table = plain_table()
    for heading in ["item", "stream"] if several else ["stream"]:
        table.add_column(heading, overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right")
    for record in records:
        cells = [str(record["item"]), record[name]] if several else [record[name]]
        table.add_row(*cells, *(cell(record) for cell in columns.values()))
    yield Padding(title, (1, 0, 0, 2))
    yield Padding(table, (0, 0, 0, 2))


def _headline(document: Document) -> str:
    line = f"{document['path']}: {wording.size(document['file_bytes'])}"
    if document.get("bits_per_value"):
        line += f", {wording.number(document['bits_per_value'], 3)} bits/value"
    if document.get("ratio_fp16"):
        line += f", {wording.number(document['ratio_fp16'], 3)}x below float16"
    if not document["complete"]:
        line += ", INCOMPLETE: it ends early, this is what is readable"
    return line


def _facts(document: Document) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("format", f"version {document['format_version']}")
    table.add_row("values", f"{document['values']:,}".replace(",", " "))
    for name in ("source", "encoder", "codec", "target"):
        text = _flat(document[name] or {})
        if text:
            table.add_row(name, text)
    table.add_row("achieved", _achieved(document["achieved"]))
    for codebook in document["codebooks"]:
        where = "embedded" if codebook["embedded"] else "NOT in the archive and not counted"
        table.add_row("codebook", f"{codebook['digest'][:_DIGEST_SHOWN]}, {wording.size(codebook['bytes'])}, {where}")
    for damage in document["damage"]:
        lost = "".join(f"; lost: {loss(lost)}" for lost in damage["lost"])
        table.add_row("damage", f"offset {damage['offset']}: {damage['what']}{lost}")
    table.add_row("read", traffic(document["io"]))
    return table


def _achieved(achieved: Mapping[str, Any]) -> str:
    cosine, lowest = wording.cosine(achieved["cosine"]), wording.cosine(achieved["cosine_p1"])
    errors = f"nmse {wording.number(achieved['nmse'])}, channel nmse {wording.number(achieved['channel_nmse'])}"
    return f"cosine {cosine} (1st percentile {lowest}), {errors}"


def _streams(streams: Sequence[Document]) -> Table:
    table = plain_table()
    items = {stream.get("item") for stream in streams}
    several = len(items) > 1
    if several:
        table.add_column("item", overflow="fold")
    for name in ("stream", "shape", "dtype", "axes", "codec"):
        table.add_column(name, overflow="fold")
    table.add_column("chunks", justify="right")
    for stream in streams:
        cells = [stream["name"], wording.shape(stream["shape"]), stream["dtype"], stream.get("axes") or "-"]
        cells += [stream["codec"], str(stream["chunks"])]
        table.add_row(*([str(stream.get("item"))] if several else []), *cells)
    return table


def _parts(parts: Mapping[str, int], total: int) -> Table:
    table = plain_table()
    table.add_column("bytes of")
    table.add_column("size", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for name, count in sorted(parts.items(), key=lambda part: -part[1]):
        if count == 0:
            continue
        share = count / total if total else 0.0
        table.add_row(name, wording.size(count), f"{100 * share:.1f} %", bar(share))
    table.add_row("file", wording.size(total), "", "")
    return table


def plain_table() -> Table:
    """An empty table as all of them look."""
    from rich.table import Table

    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _flat(facts: Mapping[str, Any]) -> str:
    """`NAME VALUE, key value, flag`: sizes with units, flags only when set; digests and objects are for --json."""
    words: list[str] = []
    for key, value in facts.items():
        if value in (None, "", []) or value is False or isinstance(value, Mapping) or key.endswith("_digest"):
            continue
        label = key.removesuffix("_bytes").replace("_", " ")
        if key in ("name", "kind"):
            words.insert(0, str(value))
        elif value is True:
            words.append(label)
        elif key == "value" and words:
            words[0] += f" {_value(value)}"
        elif key.endswith("_bytes") and isinstance(value, int):
            words.append(f"{label} {wording.size(value)}")
        else:
            words.append(f"{label} {_value(value)}")
    return ", ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return wording.number(value)
    if isinstance(value, list | tuple):
        return " ".join(_value(part) for part in value)
    text = "-" if value is None else str(value)
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return text[:_DIGEST_SHOWN]
    return text
