"""`embdc compare` for people: how good every stream is, where it is worst; fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from embdc_cli.batch import Document
from embdc_cli.cli import wording
from embdc_cli.cli.bars import sparkline
from embdc_cli.cli.tables import STREAMS_SHOWN, plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WORST_SHOWN = 3


def quality(document: Document, *, verbose: bool) -> Iterator[RenderableType]:
    """The tables of one comparison: of one stream, or of every one when `verbose`, all that is known."""
    from rich.padding import Padding

    yield _headline(document)
    streams = document["streams"]
    if len(streams) > 1:
        yield Padding(_overview(streams if verbose else streams[:STREAMS_SHOWN]), (1, 0, 0, 2))
        if not verbose:
            more = len(streams) - STREAMS_SHOWN
            words = f"{more} more streams; " if more > 0 else ""
            yield Padding(f"{words}-v or --json tells more of each", (1, 0, 0, 2))
    if len(streams) == 1 or verbose:
        for stream in streams:
            yield Padding(_title(stream), (1, 0, 0, 2))
            yield Padding(_facts(stream, shown=None if verbose else _WORST_SHOWN), (0, 0, 0, 4))
    for companion in document["companions"]:
        same = "identical" if companion["identical"] else "DIFFERENT"
        yield Padding(f"{companion['name']}: {same}", (0, 0, 0, 2))


def _headline(document: Document) -> str:
    line = f"{document['other']} against {document['reference']}"
    if document["bits_per_value"]:
        size, rate = wording.size(document["file_bytes"]), wording.number(document["bits_per_value"], 3)
        line += f": {size}, {rate} bits/value"
    if document["external_codebook_bytes"]:
        line += f", codebook of {wording.size(document['external_codebook_bytes'])} not counted"
    return line


def _title(stream: Document) -> str:
    same = ", identical" if stream["identical"] else ""
    return f"{stream['name']}, {wording.shape(stream['shape'])} {stream['dtype']}{same}"


def _overview(streams: Sequence[Document]) -> Table:
    found = plain_table()
    found.add_column("stream", overflow="fold")
    for heading in ("nmse", "snr", "cosine", "1st %", "cka", "recall@10"):
        found.add_column(heading, justify="right")
    for stream in streams:
        found.add_row(
            stream["name"],
            wording.number(stream["nmse"], 3),
            _decibels(stream),
            wording.cosine(stream["cosine"]),
            wording.cosine(stream["cosine_p1"]),
            wording.cosine(stream["cka"]),
            wording.number(stream["recall"]["tokens_10"], 3),
        )
    return found


def _facts(stream: Document, *, shown: int | None) -> Table:
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")
    channel, largest = wording.number(stream["channel_nmse"], 3), wording.number(stream["max_abs_error"], 3)
    nmse = wording.number(stream["nmse"], 3)
    facts.add_row("error", f"nmse {nmse}, snr {_decibels(stream)}, channel nmse {channel}, largest {largest}")
    cosine, lowest = wording.cosine(stream["cosine"]), wording.cosine(stream["cosine_p1"])
    centred = wording.cosine(stream["centred_cosine"])
    facts.add_row("direction", f"cosine {cosine} (1st percentile {lowest}), centred {centred}")
    facts.add_row("norm drift", f"{100 * stream['norm_drift']:+.2f} %")
    facts.add_row("cka", wording.cosine(stream["cka"]))
    recall = {name: wording.number(value, 3) for name, value in stream["recall"].items()}
    facts.add_row(
        "recall@1, @10",
        "tokens {tokens_1}, {tokens_10}; mean of rows {pooled_1}, {pooled_10}".format_map(recall),
    )
    if stream["nonfinite"]:
        facts.add_row("not finite", f"{wording.plural(stream['nonfinite'], 'value')} that the reference has")
    _add_task(facts, stream)
    _add_moments(facts, stream, shown)
    return facts


def _add_task(facts: Table, stream: Document) -> None:
    probe, labels = stream["probe"], stream["labels"]
    if probe is not None:
        agreement, kl = wording.number(probe["agreement"]), wording.number(probe["kl"], 3)
        vectors = wording.plural(probe["vectors"], "vector")
        facts.add_row("probe", f"agreement {agreement}, kl {kl} nats; {vectors}, {probe['on']}")
    if labels is not None:
        facts.add_row("accuracy", f"{wording.number(labels['before'])} before, {wording.number(labels['after'])} after")


def _add_moments(facts: Table, stream: Document, shown: int | None) -> None:
    """The worst rows, and quality along all of them."""
    for by in ("cosine", "nmse"):
        worst = [one for one in stream["worst"] if one["by"] == by][:shown]
        if worst:
            facts.add_row(f"worst {by}", ", ".join(_moment(one, by) for one in worst))
    over_time = stream["over_time"]
    if len(over_time["row"]) < 2:
        return
    for by, worst_is in (("cosine", "min"), ("nmse", "max")):
        known = [value for value in over_time[by] if value is not None]
        if known:
            low, high = min(known), max(known)
            values = [high if value is None else value for value in over_time[by]]
            facts.add_row(f"{by} by row", sparkline(values, low, high, worst=worst_is))
            words = wording.cosine if by == "cosine" else wording.number
            facts.add_row("", f"{words(low)} to {words(high)}")


def _moment(one: Document, by: str) -> str:
    value = wording.cosine(one["cosine"]) if by == "cosine" else wording.number(one["nmse"], 3)
    when = "" if one["seconds"] is None else f" at {wording.seconds(one['seconds'])}"
    return f"{value} in row {one['row']}{when}"


def _decibels(stream: Document) -> str:
    return "-" if stream["snr_db"] is None else f"{stream['snr_db']:.2f} dB"
