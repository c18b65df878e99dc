"""train() of kind vq and encode with what it makes: levels pay on clips alike, and are left alone where they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.codebook import file
from embdc_cli.errors import CorruptArchive, MissingModel, UsageError
from tests.codebook.vector.vector_cases import CHANNELS, tokens

ROWS = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vq")
    for seed in range(3):
        np.save(folder / f"{seed}.npy", tokens(ROWS, seed))
    np.save(folder / "head.npy", np.random.default_rng(0).normal(size=(4, CHANNELS)).astype(np.float32))
    return folder


def train(folder: Path, out: str, **options: Any) -> dict[str, Any]:
    names = [str(folder / f"{seed}.npy") for seed in range(3)]
    return embdc.train_codebook(names, str(folder / out), kind="vq", force=True, **options)


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    return train(folder, "c.embdcb", refine=2)


def encode(folder: Path, out: str, array: np.ndarray, **options: Any) -> dict[str, Any]:
    return embdc.encode(array, str(folder / out), codec="vq", target_nmse=0.05, force=True, **options)


def test_the_document_and_the_file_agree(folder: Path, trained: dict[str, Any]) -> None:
    codebook = file.read(folder / "c.embdcb")
    assert (trained["kind"], codebook.kind, trained["tables"]) == ("vq", "vq", [])
    assert len(codebook.levels) == len(trained["levels"]) >= 1
    for level, row in zip(codebook.levels, trained["levels"], strict=True):
        assert (row["codewords"], row["width"]) == level.codes.shape
    assert trained["refinement"]["steps"] == 2
    assert trained["refinement"]["gain_trained"] > 0
    assert trained["init"] is None
    assert [point["nmse"] for point in trained["heldout"]] == [0.3, 0.2, 0.1, 0.05]
    assert trained["heldout"][3]["gain"] > 0.1
    assert trained["heldout"][3]["basis_share"] == 1
    assert trained["break_even_bytes"] > 0


def test_the_same_inputs_give_the_same_bytes(folder: Path, trained: dict[str, Any]) -> None:
    assert train(folder, "again.embdcb", refine=2)["digest"] == trained["digest"]
    assert train(folder, "other.embdcb", refine=0)["digest"] != trained["digest"]


@pytest.mark.parametrize("embed", ["yes", "no"])
def test_archives_decode_by_codebooks_inside_and_outside(folder: Path, trained: dict[str, Any], embed: str) -> None:
    del trained
    x, codebook = tokens(12, 7), str(folder / "c.embdcb")
    alone = encode(folder, "alone.embdc", x)
    result = encode(folder, "x.embdc", x, codebook=codebook, embed_codebook=embed)
    assert result["streams"][0]["codebook_segments"] == 1
    if embed == "no":
        assert result["bits_per_value"] < 0.9 * alone["bits_per_value"]
        (folder / "elsewhere").mkdir(exist_ok=True)
        moved = (folder / "x.embdc").rename(folder / "elsewhere" / "x.embdc")
        with pytest.raises(MissingModel, match="is needed and not here"):
            embdc.open(str(moved))["data"][:]
        y = embdc.open(str(moved), codebooks=[codebook])["data"][:].float().numpy()
    else:
        y = embdc.open(str(folder / "x.embdc"))["data"][:].float().numpy()
    nmse = ((x - y) ** 2).sum() / ((x - x.mean(axis=(0, 1))) ** 2).sum()
    assert nmse == pytest.approx(result["achieved"]["nmse"], rel=1e-3)
    assert nmse <= 0.05


def test_a_codebook_of_another_kind_of_clip_is_left_out_and_that_is_said(
    folder: Path, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    del trained
    from embdc_cli.cli.app import main

    x = tokens(ROWS, 3) @ np.linalg.qr(np.random.default_rng(8).normal(size=(CHANNELS, CHANNELS)))[0]
    np.save(folder / "turned.npy", x.astype(np.float32))
    command = ["encode", str(folder / "turned.npy"), "-o", str(folder / "t.embdc"), "-f", "--codec", "vq"]
    assert main([*command, "--target-nmse", "0.05", "--codebook", str(folder / "c.embdcb")]) == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "codebook is" in line)
    assert "stream 'data': the codebook is not used: with it the same error would take up to " in line
    assert "% more bits" in line
    result = encode(folder, "t.embdc", x.astype(np.float32), codebook=str(folder / "c.embdcb"))
    assert result["streams"][0]["codebook_segments"] == 0


def test_a_codebook_of_kind_transform_serves_as_a_basis(folder: Path, trained: dict[str, Any]) -> None:
    del trained
    file.write(replace(file.read(folder / "c.embdcb"), levels=()), str(folder / "basis.embdcb"), force=True)
    x = tokens(6, 7)
    result = encode(folder, "b.embdc", x, codebook=str(folder / "basis.embdcb"), embed_codebook="no")
    assert result["streams"][0]["codebook_segments"] == 1
    y = embdc.open(str(folder / "b.embdc"), codebooks=[str(folder / "basis.embdcb")])["data"][:].float().numpy()
    assert ((x - y) ** 2).sum() <= 0.05 * ((x - x.mean(axis=(0, 1))) ** 2).sum()


def test_codebooks_that_do_not_fit_are_refused_by_name(folder: Path, trained: dict[str, Any]) -> None:
    del trained
    codebook = str(folder / "c.embdcb")
    with pytest.raises(MissingModel, match="16 channels, the embeddings have 12") as caught:
        encode(folder, "n.embdc", tokens(4, 1)[..., :12], codebook=codebook)
    assert caught.value.exit_code == 6
    np.save(folder / "narrow.npy", tokens(ROWS, 1)[..., :12])
    inputs, out = [str(folder / "narrow.npy")], str(folder / "n.embdcb")
    with pytest.raises(MissingModel, match="--init: made for 16 channels, the embeddings have 12"):
        embdc.train_codebook(inputs, out, kind="vq", init=codebook)


def test_a_start_from_a_codebook_is_compared_with_none(folder: Path, trained: dict[str, Any]) -> None:
    result = train(folder, "i.embdcb", refine=1, init=str(folder / "c.embdcb"), holdout=0)
    init = result["init"]
    assert set(init) == {f"{name}{end}" for name in ("bits", "nmse", "cost") for end in ("", "_without")}
    assert all(value > 0 for value in init.values())
    assert result["digest"] != trained["digest"]


def test_a_start_that_does_worse_is_warned_of(folder: Path, trained: dict[str, Any]) -> None:
    del trained
    x = np.load(folder / "0.npy") @ np.linalg.qr(np.random.default_rng(8).normal(size=(CHANNELS, CHANNELS)))[0]
    np.save(folder / "elsewhere.npy", x.astype(np.float32))
    out = str(folder / "e.embdcb")
    result = embdc.train_codebook(
        [str(folder / "elsewhere.npy")], out, kind="vq", refine=0, init=str(folder / "c.embdcb"), holdout=0
    )
    more = result["init"]["cost"] / result["init"]["cost_without"] - 1
    assert more > 0.2
    (warning,) = (words for words in result["warnings"] if "--init" in words)
    assert f"are {100 * more:.0f} % more than from a start afresh" in warning


@pytest.mark.parametrize("limit", [2000, 4000])
def test_max_bytes_limits_levels(folder: Path, limit: int) -> None:
    result = train(folder, "m.embdcb", refine=1, max_bytes=limit, holdout=0)
    assert (folder / "m.embdcb").stat().st_size == result["file_bytes"] <= limit
    assert result["levels"]
    assert len(result["levels"]) == len(file.read(folder / "m.embdcb").levels)


def test_weightings_and_probes_are_taken(folder: Path) -> None:
    plain = train(folder, "p.embdcb", refine=1, holdout=0)["digest"]
    digests = {train(folder, "w.embdcb", refine=1, holdout=0, weighting="channel")["digest"]}
    digests.add(train(folder, "w.embdcb", refine=1, holdout=0, probe=str(folder / "head.npy"))["digest"])
    assert len({plain, *digests}) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "transform", "refine": 2}, "--refine: only for --kind vq"),
        ({"kind": "transform", "init": "x"}, "--init: only for --kind vq"),
        ({"kind": "transform", "weighting": "channel"}, "--weighting: only for --kind vq"),
        ({"kind": "vq", "refine": -1}, "--refine: expected 0"),
        ({"kind": "vq", "weighting": "channel", "probe": "x"}, "--probe: does not go with --weighting"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        embdc.train_codebook([str(folder / "0.npy")], str(folder / "never.embdcb"), **options)


def test_too_few_tokens_are_refused(folder: Path) -> None:
    np.save(folder / "few.npy", tokens(2, 0))
    with pytest.raises(embdc.EmbdcError, match="expected some thousands"):
        embdc.train_codebook([str(folder / "few.npy")], str(folder / "never.embdcb"), kind="vq")


def test_hostile_models_are_corrupt() -> None:
    from embdc_cli.codec.fields import FieldReader
    from embdc_cli.codec.vq.borrowed import Borrowed
    from tests.codebook.vector.vector_cases import make_vector_codebook

    codebook = make_vector_codebook()
    for data, words in (
        (b"\xff", "expected at most"),
        (b"\x04\xf0", "at least 4 levels"),
        (b"\x02\x80", "expected 2 levels of the codebook, found 1"),
        (b"\x02", "expected 1 more bytes"),
        (b"\x03\xe0", "for 1 coefficients"),
    ):
        with pytest.raises(CorruptArchive, match=words):
            Borrowed.read(FieldReader(data, "models"), codebook, 1 if "for 1" in words else 9)
    with pytest.raises(CorruptArchive, match="at least 1 levels"):
        Borrowed.read(FieldReader(b"\x01\x80", "models"), None, 9)
