"""`embdc search`: what it asks of the library and what it prints."""

from __future__ import annotations

import pytest

from embdc_cli.options import SearchOptions
from tests.cli import documents
from tests.cli.program import Embdc, Fake


def test_a_line_per_hit(embdc: Embdc, fake: Fake) -> None:
    hits = [documents.HIT, documents.HIT | {"archive": "b.embdc", "token": None, "time": None, "score": 1.0}]
    fake.answers["search"] = documents.search_document(hits=hits)
    done = embdc("search", "a.embdc", "b.embdc", "--query", "q.npy")
    first = "0.987654  a.embdc: item 0, patch, frame 12, token 57, 0.480 s\n"
    assert (done.exit, done.out) == (0, first + "1  b.embdc: item 0, patch, frame 12\n")
    assert fake.last == {"archives": ["a.embdc", "b.embdc"], "query": "q.npy", "options": SearchOptions()}


def test_several_queries_are_numbered(embdc: Embdc, fake: Fake) -> None:
    answer = documents.search_document(queries=[{"hits": [documents.HIT]}, {"hits": []}])
    fake.answers["search"] = {name: value for name, value in answer.items() if name != "hits"}
    lines = embdc("search", "a.embdc", "--query", "q.npy", "-v").out.splitlines()
    assert [line[:7] for line in lines] == ["176400 ", "query 0", "0.98765", "query 1"]


def test_options_reach_the_library(embdc: Embdc, fake: Fake) -> None:
    args = "-k 3 --metric l2 --pooled --key v --item 1 --stream s --frames 1:9 --time 1s..2s --rescore x.npy -j 2"
    more = ("--codebook", "c", "--on-damage", "skip")
    assert embdc("search", "a.embdc", "--query", "q.npy", *args.split(), *more).exit == 0
    expected = SearchOptions(3, "l2", True, "1", "s", "1:9", "1s..2s", "v", "x.npy", ("c",), 2, "skip")
    assert fake.last["options"] == expected


def test_json_and_an_incomplete_archive(embdc: Embdc, fake: Fake) -> None:
    fake.answers["search"] = documents.search_document(exit=3)
    done = embdc("search", "a.embdc", "--query", "q.npy", "--json")
    assert (done.exit, done.json) == (3, documents.search_document(exit=3))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("a.embdc",), "query: missing"),
        (("-", "--query", "q.npy"), "input: -: expected a path or URL, standard input cannot be sought in"),
        (("a.embdc", "--query", "q.npy", "-k", "0"), "-k: expected a whole number from 1, found '0'"),
        (("a.embdc", "--query", "q.npy", "--on-damage", "nan"), "--on-damage: expected one of fail, skip, found 'nan'"),
        (("a.embdc", "--query", "q.npy", "--metric", "l1"), "--metric: expected one of cosine, dot, l2, found 'l1'"),
    ],
)
def test_refused(embdc: Embdc, fake: Fake, args: tuple[str, ...], message: str) -> None:
    done = embdc("search", *args)
    assert (done.exit, done.err.splitlines()[0]) == (2, f"embdc: {message}")
    assert not fake.calls
