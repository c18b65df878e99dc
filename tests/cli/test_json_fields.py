"""The documents that these tests use have the fields that the manual lists."""

from __future__ import annotations

from typing import Any

import cli_documents as documents
import manual
import pytest
from cli_program import Embdc, Fake

from embdc_cli.errors import SourceError

AGAINST = {"max_abs_error": 0.5, "nmse": 0.1, "cosine": 0.9}
PROBLEM = {"offset": 1, "what": "checksum", "stream": "patch", "rows": [0, 1]}
LOST = [{"stream": "patch", "rows": [0, 64], "seconds": [0.0, 2.1]}]

DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "encode": [documents.encode_document()],
    "decode": [documents.decode_document(lost=LOST)],
    "inspect": [{"path": "a", "exit": 0} | documents.inspect_document()],
    "verify": [
        documents.verify_document(problems=[PROBLEM]),
        documents.verify_document(against=AGAINST, problems=[PROBLEM]),
    ],
    "cat": [documents.cat_document(["a", "b"])],
    "train-codebook": [documents.train_document()],
}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_fields(command: str) -> None:
    produced = set().union(*(manual.paths(document) for document in DOCUMENTS[command]))
    assert produced == set(manual.fields(manual.page(command)))


def test_fields_of_a_batch_and_of_a_failure(embdc: Embdc, fake: Fake) -> None:
    fake.answers["encode"] = SourceError("a.npy: empty")
    batch = embdc("encode", "a.npy", "b.npy", "--json").json
    failure = embdc("decode", "--json").json
    produced = {
        "items[]" if path.startswith("items[]") else path for path in manual.paths(batch) | manual.paths(failure)
    }
    assert produced == set(manual.fields(manual.page()))
