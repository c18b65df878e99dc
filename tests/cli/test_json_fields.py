"""The documents that these tests use have the fields that the manual lists."""

from __future__ import annotations

from typing import Any

import pytest

from embdc_cli.errors import SourceError
from embdc_cli.forecast.total import total
from tests import man_pages
from tests.cli import documents
from tests.cli.program import Embdc, Fake

PROBE = {"top1_agreement": 0.97, "kl": 0.01}
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "plan": [
        documents.plan_document(rows=[row | {"probe": PROBE} for row in documents.plan_document()["rows"]]),
        {"totals": {"rows": total([documents.plan_document()])}},
    ],
    "encode": [documents.encode_document(candidates=[documents.CANDIDATE])],
    "decode": [
        documents.decode_document(lost=[{"stream": "patch", "rows": [0, 64], "seconds": [0.0, 2.1]}]),
        documents.decode_document(**documents.HANDED_OVER),
    ],
    "inspect": [
        documents.inspect_document(
            damage=[documents.DAMAGE],
            codebooks=[{"digest": "ab" * 32, "bytes": 800_000, "embedded": True}],
            chunks=[documents.CHUNK],
            stats=[documents.STATISTICS],
            planes=[documents.PLANES],
        ),
        documents.dump_document(),
    ],
    "verify": [
        documents.verify_document(problems=[documents.DAMAGE]),
        documents.verify_document(against=documents.AGAINST, problems=[documents.DAMAGE]),
    ],
    "compare": [
        documents.compare_document(
            companions=[{"name": "times", "identical": True}],
            missed=[documents.MISS],
            streams=[documents.MEASURED | documents.TASK],
        ),
        documents.compare_document(companions=[{"name": "times", "identical": True}], missed=[documents.MISS]),
    ],
    "repair": [documents.repair_document()],
    "cat": [documents.cat_document(["a", "b"])],
    "split": [documents.split_document("a.embdc")],
    "search": [
        documents.search_document(lost=[documents.NOT_SEARCHED]),
        {
            name: value
            for name, value in documents.search_document(queries=[{"hits": [documents.HIT]}]).items()
            if name != "hits"
        },
    ],
    "train-codebook": [
        documents.train_document(),
        documents.train_document(**documents.LEARNT),
        documents.train_document(kind="vq", levels=[], refinement=None, init=None),
    ],
}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_fields(command: str) -> None:
    documented = man_pages.fields(man_pages.page(command))
    assert man_pages.undocumented_and_missing(DOCUMENTS[command], documented) == (set(), set())


def test_fields_of_a_batch_and_of_a_failure(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = SourceError("a.npy: empty")
    batch = embdc("encode", "a.npy", "b.npy", "--json").json
    failure = embdc("decode", "--json").json
    produced = {
        "items[]" if path.startswith("items[]") else path for path in man_pages.paths(batch) | man_pages.paths(failure)
    }
    assert produced == set(man_pages.fields(man_pages.page()))
