"""Archives in a repository of the Hugging Face hub, by its own client: read, listed, written, and what is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.errors import EmbdcError, SourceError, UsageError
from embdc_cli.remote.errors import MissingObject, unwritable
from tests.remote.hub_server import URL
from tests.remote.web_server import Web

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:huggingface_hub")


def test_slices_come_out_of_a_repository(hub: Web, archive: Path, features: np.ndarray) -> None:
    hub.bodies["v/a.embdc"] = archive.read_bytes()
    with embdc.open(f"{URL}/v/a.embdc") as opened:
        np.testing.assert_array_equal(np.asarray(opened[opened.streams[0]][100:120]), features[100:120])
    assert len(hub.asked) == 2  # what opening reads, and the chunks


def test_a_repository_is_listed(hub: Web, archive: Path) -> None:
    hub.bodies |= {"v/a.embdc": archive.read_bytes(), "v/w/b.embdc": archive.read_bytes(), "notes.txt": b"-"}
    rows = embdc.ls(URL, recursive=True)["items"]
    assert [(row["path"], row["complete"]) for row in rows] == [
        (f"{URL}/v/{name}", True) for name in ("a.embdc", "w/b.embdc")
    ]


def test_an_output_becomes_a_commit(hub: Web, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 4, 8)).astype(np.float32)
    hub.bodies["README.md"] = b"-"
    embdc.encode(x, f"{URL}/v/a.embdc", lossless=True)
    (tmp_path / "a.embdc").write_bytes(hub.bodies["v/a.embdc"])
    embdc.decode(tmp_path / "a.embdc", tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), x)


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (f"{URL}/none.embdc", MissingObject, "no such object"),
        ("hf://datasets/o/none/a.embdc", MissingObject, "no such object"),
        ("hf://datasets/x", SourceError, "cannot be read, .* must be 'namespace/name'"),
        ("hf://", SourceError, "cannot be read, "),
    ],
)
def test_what_is_not_there_is_told(hub: Web, url: str, kind: type[EmbdcError], words: str) -> None:
    hub.bodies["README.md"] = b"-"
    with pytest.raises(kind, match=words):
        embdc.inspect(url)


def test_an_output_to_no_repository_fails_before_anything_is_encoded(hub: Web) -> None:
    with pytest.raises(UsageError, match=r"output: hf://.*/none/a.embdc: cannot be written") as found:
        embdc.encode(np.zeros((2, 2, 2), np.float32), "hf://datasets/o/none/a.embdc")
    assert found.value.hint == "create the bucket or repository first"
    assert not any("commit" in asked for asked in hub.asked)


def test_a_store_that_finds_no_place_for_an_output_is_told() -> None:
    told = unwritable("gs://none/a.embdc", FileNotFoundError("none"))
    assert str(told) == "output: gs://none/a.embdc: cannot be written, no such bucket"


def test_a_hub_that_breaks_off_is_told(hub: Web, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.bodies["a.embdc"] = archive.read_bytes()
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.faults += ["drop"] * 100
    with pytest.raises(SourceError, match="cannot be read"):
        embdc.inspect(f"{URL}/a.embdc")
