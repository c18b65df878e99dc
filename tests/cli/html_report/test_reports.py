"""Reports are well-formed and complete in themselves, say what the documents say, and take any text as text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from embdc_cli.cli import wording
from embdc_cli.cli.html_report.page import page
from tests.cli import documents
from tests.cli.html_report.reading import Reading
from tests.cli.html_report.reports import EDGES, FULL, HOSTILE, hostile

REPORTS = {name: make(document) for name, (make, document) in FULL.items()} | EDGES
FIGURES = {"compare": 6, "plan": 1, "inspect": 6, "train-codebook": 2}


def numbers(document: Any) -> list[float]:
    if isinstance(document, dict):
        return [one for value in document.values() for one in numbers(value)]
    if isinstance(document, list):
        return [one for value in document for one in numbers(value)]
    return [document] if isinstance(document, int | float) and not isinstance(document, bool) else []


def as_shown(value: float) -> set[str]:
    """Every form in which a cell may show a number."""
    counted = f"{value:,}".replace(",", "\u00a0")
    shown = {counted, wording.number(value, 6), wording.cosine(value), f"{100 * value:.1f} %"}
    return shown | {wording.seconds(value)} if value >= 0 else shown


@pytest.mark.parametrize("name", REPORTS)
def test_well_formed_accessible_and_complete_in_itself(name: str) -> None:
    html = REPORTS[name]
    found = Reading(html)
    tags = dict(found.tags)
    assert html.startswith("<!doctype html>\n")
    assert tags["html"]["lang"] == "en"
    assert found.titles[0][0] == "head"
    assert found.titles[0][1]
    assert found.count("h1") == 1
    for figure, attributes in found.tags:
        assert figure not in ("script", "link", "img", "iframe", "a", "base", "form", "object", "embed", "use")
        assert not [key for key in attributes if key in ("src", "href", "style", "action") or key.startswith("on")]
    assert all(attributes["role"] == "img" for tag, attributes in found.tags if tag == "svg")
    assert sum(of == "svg" and words != "" for of, words in found.titles) == found.count("svg")
    assert all(table.caption and table.headings for table in found.tables)
    assert all(len(row) == len(table.headings) for table in found.tables for row in table.rows)
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert "//" not in html
    assert re.findall("http[^ ]*", html) == ['http-equiv="Content-Security-Policy"']


@pytest.mark.parametrize("name", REPORTS)
def test_coordinates_are_numbers(name: str) -> None:
    for tag, attributes in Reading(REPORTS[name]).tags:
        for key in {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"} & set(attributes):
            if tag != "meta":
                assert re.fullmatch(r"-?\d+(\.\d)?", attributes[key] or "")


@pytest.mark.parametrize("command", FULL)
def test_every_number_of_the_tables_is_in_the_document(command: str) -> None:
    make, document = FULL[command]
    found = Reading(make(document))
    known = {form for value in numbers(document) for form in as_shown(value)}
    shares = {f"{100 * part / document['file_bytes']:.1f} %" for part in document.get("parts", {}).values()}
    cells = [
        cell
        for table in found.tables
        for row in table.rows
        for cell in row
        if re.fullmatch(r"-?\d[\d\u00a0.e+-]*( %| s)?|\d+[hm]\d\d.*", cell)
    ]
    assert len(cells) >= 19
    assert [cell for cell in cells if cell not in known | shares] == []


@pytest.mark.parametrize("command", FULL)
def test_figures(command: str) -> None:
    make, document = FULL[command]
    assert Reading(make(document)).count("svg") == FIGURES[command]


@pytest.mark.parametrize("command", FULL)
def test_the_same_document_gives_the_same_bytes(command: str) -> None:
    make, document = FULL[command]
    assert make(document).encode() == make(document).encode()


@pytest.mark.parametrize("command", FULL)
def test_hostile_text_stays_text(command: str) -> None:
    make, document = FULL[command]
    plain, found = Reading(make(document)), Reading(make(hostile(document)))
    assert found.count("script") == 0
    assert found.count("style") == sum(of == "head" for of, _ in found.titles) == 1
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\udcff", "\ufffd")
    assert shown in found.text
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in plain.tags} | {"title", "p"}


def test_hostile_title() -> None:
    assert Reading(page(HOSTILE)).count("script") == 0


def test_forecast_marks_the_chosen_row() -> None:
    make, document = FULL["plan"]
    html = make(document)
    rows = Reading(html).table("What every row would give").rows
    assert [row[0] for row in rows] == ["balanced (chosen)", "lossless"]
    assert html.count('class="ring first"') == 1
    assert "not in the figure: lossless" in html


def test_a_corpus_is_added_up_first() -> None:
    found = Reading(EDGES["plan, a corpus"]).table("What all inputs would take together")
    assert [row[:2] for row in found.rows] == [
        ["balanced", "4\u00a0000\u00a0000"],
        ["lossless", "180\u00a0000\u00a0000"],
    ]
    assert "270.95" in EDGES["plan, a corpus"] or "271 MB" in EDGES["plan, a corpus"]


def test_planes_are_shares_of_all_chunks() -> None:
    html = FULL["inspect"][0](FULL["inspect"][1])
    shares = [float(share) for share in re.findall(r'class="cell middle"[^>]*>([0-9.]+) %<', html)]
    assert shares == [26.3, 13.2, 19.7, *[5.3, 0.8] * 6]
    assert f"The rest, {100 - 59.2 - 6 * (800 + 120) / 152:.1f} %," in html
    assert "no coefficients of basis vectors" in EDGES["inspect, no planes"]


def test_comparison_marks_the_worst_rows_with_their_times() -> None:
    html = FULL["compare"][0](documents.compare_document())
    assert html.count('class="dot bad"') == 2
    assert re.findall(r'class="label"[^>]*>([^<]*)<', html).count("0.48 s") == 2
    assert Reading(html).table("Worst rows").rows[0] == ["cosine", "12", "0.48 s", "0.9100", "0.2"]


def test_gaps_where_quality_is_infinite() -> None:
    over_time = documents.MEASURED["over_time"] | {"nmse": [0.05, None, 0.06]}
    html = FULL["compare"][0](documents.compare_document(streams=[documents.MEASURED | {"over_time": over_time}]))
    assert "gaps of the line: 1." in html
    assert html.count('class="dot first" cx') >= 2


def test_parts_of_an_archive_are_sorted_and_sum_up() -> None:
    rows = Reading(FULL["inspect"][0](documents.inspect_document())).table("Where the bytes went").rows
    counts = [int(row[1].replace("\u00a0", "")) for row in rows]
    assert counts[:-1] == sorted(counts[:-1], reverse=True)
    assert sum(counts[:-1]) == counts[-1] == 2_000_000
    assert [row[0] for row in rows][:2] == ["data", "models"]
