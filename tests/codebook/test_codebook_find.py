"""Looking for a codebook by hash: the order of places, and what is said when it is nowhere or does not fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embdc_cli.codebook import file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.find import PATH_VARIABLE, check_fit, find
from embdc_cli.errors import MissingModel, SourceError
from tests.codebook.codebook_cases import ENCODER, make_codebook


@pytest.fixture
def codebook() -> Codebook:
    return make_codebook()


@pytest.fixture(autouse=True)
def _no_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)


def put(path: Path, codebook: Codebook) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(codebook.file_bytes)
    return path


def test_an_explicit_file_is_found_among_others(tmp_path: Path, codebook: Codebook) -> None:
    files = [str(put(tmp_path / "other", make_codebook(seed=1))), str(put(tmp_path / "this", codebook))]
    assert find(codebook.digest, files=files) == codebook


@pytest.mark.parametrize("name", ["a.embdcb", "{hash}.embdcb"])
def test_a_folder_of_the_search_path_is_looked_through(
    tmp_path: Path, codebook: Codebook, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(tmp_path / "second" / "0.embdcb", make_codebook(seed=1))
    put(tmp_path / "second" / name.format(hash=codebook.digest.hex()), codebook)
    (tmp_path / "second" / "z.embdcb").mkdir()
    monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join([str(tmp_path / "absent"), "", str(tmp_path / "second")]))
    assert find(codebook.digest) == codebook
    assert find(codebook.digest, size=len(codebook.file_bytes)) == codebook
    with pytest.raises(MissingModel):
        find(codebook.digest, size=len(codebook.file_bytes) + 1)


def test_a_file_named_by_the_hash_is_read_first(
    tmp_path: Path, codebook: Codebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        put(tmp_path / f"{'0' * 63}{seed}.embdcb", make_codebook(seed=seed + 1))
    put(tmp_path / f"{codebook.digest.hex()}.embdcb", codebook)
    read: list[str] = []
    read_bytes = file.read_bytes
    monkeypatch.setattr(file, "read_bytes", lambda path: read.append(path.stem) or read_bytes(path))
    assert find(codebook.digest, folder=tmp_path) == codebook
    assert read == [codebook.digest.hex()]


def test_the_archives_folder_comes_last(tmp_path: Path, codebook: Codebook) -> None:
    put(tmp_path / "a.embdcb", codebook)
    assert find(codebook.digest, folder=tmp_path) == codebook
    assert find(codebook.digest, files=[str(put(tmp_path / "b", make_codebook(seed=1)))], folder=tmp_path) == codebook


def test_files_without_the_suffix_are_not_read_in_folders(tmp_path: Path, codebook: Codebook) -> None:
    put(tmp_path / "codebook", codebook)
    with pytest.raises(MissingModel):
        find(codebook.digest, folder=tmp_path)


def test_a_missing_codebook_is_named_by_its_hash(tmp_path: Path, codebook: Codebook) -> None:
    with pytest.raises(MissingModel, match=codebook.digest.hex()) as caught:
        find(codebook.digest, files=[str(put(tmp_path / "x", make_codebook(seed=1)))], folder=tmp_path)
    assert caught.value.exit_code == 6
    assert caught.value.hint is not None
    assert PATH_VARIABLE in caught.value.hint


def test_an_explicit_file_that_is_not_there_is_a_source_error(tmp_path: Path, codebook: Codebook) -> None:
    with pytest.raises(SourceError, match="none"):
        find(codebook.digest, files=[str(tmp_path / "none")])


OTHER = {"name": "clip", "layer": -2, "weights_sha256": "cd" * 32}
RENAMED = ENCODER | {"name": "a folder"}
UNHASHED = ENCODER | {"weights_sha256": None}


@pytest.mark.parametrize(
    ("of_codebook", "of_dump", "fits"),
    [
        (ENCODER, ENCODER, True),
        (ENCODER, None, True),
        (None, ENCODER, True),
        (ENCODER, ENCODER | {"library": "1.2"}, True),
        (ENCODER, RENAMED, True),
        (ENCODER, UNHASHED, True),
        (ENCODER, UNHASHED | {"name": "clip"}, False),
        (ENCODER, OTHER, False),
        (ENCODER, ENCODER | {"layer": -1}, False),
        (ENCODER, ENCODER | {"weights_sha256": "cd" * 32}, False),
    ],
)
def test_encoders_are_compared_by_layer_and_weights(of_codebook, of_dump, fits: bool) -> None:
    codebook = make_codebook(encoder=of_codebook)
    if fits:
        check_fit(codebook, 12, of_dump)
        return
    with pytest.raises(MissingModel) as caught:
        check_fit(codebook, 12, of_dump)
    for encoder in (of_codebook, of_dump):
        assert encoder["name"] in caught.value.message


def test_channels_have_to_agree(codebook: Codebook) -> None:
    check_fit(codebook, 12, None)
    with pytest.raises(MissingModel, match="12 channels, the embeddings have 13"):
        check_fit(codebook, 13, None)
