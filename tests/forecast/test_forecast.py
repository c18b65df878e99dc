"""Forecasts against what encode gives: exactly from everything, closely from a sample, on every kind of input."""

from __future__ import annotations

import io
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.cli.app import main
from tests.synthetic import embeddings

VIDEO = Path(__file__).parents[2] / "samples/shapes.mp4"
ROWS = ("fast", "cosine=0.9", "bpv=2", "lossless")
OPTIONS: dict[str, dict[str, Any]] = {
    "fast": {"preset": "fast"},
    "cosine=0.9": {"target_cosine": 0.9},
    "bpv=2": {"target_bpv": 2.0},
    "lossless": {"lossless": True},
}


def ragged() -> list[np.ndarray]:
    x = embeddings(30)
    return [x[row, : 3 + row % 8].astype(np.float32) for row in range(30)]


def maps() -> np.ndarray:
    """(T, H, W, C) float32, most values zero, as after a ReLU."""
    x = embeddings(24, 16, 8).astype(np.float32) - 1.5
    return np.maximum(x, 0).reshape(24, 4, 4, 8)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "tokens": (embeddings(), {}),
    "many chunks": (embeddings(), {"chunk_frames": 8}),
    "one row": (embeddings(1), {}),
    "pooled": (embeddings()[:, 0], {}),
    "ragged": (ragged(), {}),
    "float64": (embeddings().astype(np.float64), {}),
    "several streams": ({"a": embeddings(), "b": embeddings(seed=2)[:, :3], "n": np.arange(40)}, {}),
    "special tokens": (embeddings(20, 17), {"special_tokens": "auto"}),
    "sparse maps": (maps(), {"axes": "t,h,w,c"}),
    "constant": (np.ones((20, 4, 8), np.float16), {}),
    "weighted": (embeddings(), {"weighting": "channel", "effort": 0}),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_sampled_gives_what_encode_gives(case: str, tmp_path: Path) -> None:
    source, options = CASES[case]
    rows = ROWS if case in ("tokens", "many chunks") else ["fast"] if case == "float64" else ["fast", "lossless"]
    document = embdc.plan(source, rows=rows, **options)
    assert document["sample"]["complete"]
    for row in document["rows"]:
        written = embdc.encode(source, tmp_path / "a.embdc", force=True, **OPTIONS[row["name"]], **options)
        assert row["file_bytes"] == written["file_bytes"]
        assert row["bits_per_value"] == pytest.approx(written["bits_per_value"])
        assert (row["nmse"], row["cosine"]) == pytest.approx(
            (written["achieved"]["nmse"], written["achieved"]["cosine"])
        )
        assert (row["encode_s"] > 0, row["decode_s"] > 0) == (True, True)


def test_no_rows_at_all() -> None:
    document = embdc.plan(np.zeros((0, 4, 8), np.float16), rows=["fast", "lossless"])
    assert [row["bits_per_value"] for row in document["rows"]] == [None, None]


@pytest.mark.parametrize(
    ("row", "several"), [("fast", False), ("cosine=0.9", False), ("bpv=2", False), ("fast", True), ("lossless", True)]
)
def test_a_sample_says_what_all_of_it_takes(row: str, several: bool, tmp_path: Path) -> None:
    x = embeddings(640, 16, 24)
    source: Any = {"a": x, "b": x[:, :4] * 2} if several else x
    document = embdc.plan(source, rows=[row], sample=x.nbytes // 3, chunk_frames=32)
    sample = document["sample"]
    assert not sample["complete"]
    assert sample["chunks"] <= sample["of_chunks"] / 3 + 1
    (found,) = document["rows"]
    written = embdc.encode(source, tmp_path / "a.embdc", chunk_frames=32, **OPTIONS[row])
    assert found["file_bytes"] == pytest.approx(written["file_bytes"], rel=0.1)
    assert found["cosine"] == pytest.approx(written["achieved"]["cosine"], abs=0.01)
    assert found["nmse"] == pytest.approx(written["achieved"]["nmse"], rel=0.2, abs=1e-9)


def test_streams_that_no_chunk_is_drawn_of_count(tmp_path: Path) -> None:
    source = {f"layer{number}": embeddings(64, 8, 16, seed=number) for number in range(12)}
    document = embdc.plan(source, rows=["fast", "lossless"], sample=4 * 64 * 8 * 16 * 2)
    assert document["sample"]["chunks"] == 4
    assert len(document["streams"]) == 12
    for row in document["rows"]:
        written = embdc.encode(source, tmp_path / "a.embdc", force=True, **OPTIONS[row["name"]])
        assert row["file_bytes"] == pytest.approx(written["file_bytes"], rel=0.15)


def test_another_seed_takes_other_chunks() -> None:
    x = embeddings(320)
    sizes = [
        embdc.plan(x, rows=["fast"], sample=x.nbytes // 4, chunk_frames=8, seed=seed)["rows"][0]["file_bytes"]
        for seed in (0, 0, 1)
    ]
    assert sizes[0] == sizes[1] != sizes[2]


def test_of_a_video_only_the_sample_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embdc_cli.embedder import feed

    embedded: list[int] = []
    batches = feed._batches

    def counted(frames: Any, size: int) -> Any:
        for batch in batches(frames, size):
            embedded.append(len(batch))
            yield batch

    monkeypatch.setattr(feed, "_batches", counted)
    document = embdc.plan(VIDEO, rows=["fast", "lossless"], chunk_frames=4, sample=20 * 150_000)
    assert sum(embedded) < 72
    assert document["sample"]["of_chunks"] == 18
    assert 0 < document["sample"]["chunks"] < 18
    assert document["embed_s"] > 0
    assert document["streams"][0]["shape"][0] == 72
    for row in document["rows"]:
        written = embdc.encode(VIDEO, tmp_path / "a.embdc", force=True, chunk_frames=4, **OPTIONS[row["name"]])
        assert row["file_bytes"] == pytest.approx(written["file_bytes"], rel=0.3)


def test_a_video_as_a_whole(tmp_path: Path) -> None:
    (row,) = embdc.plan(VIDEO, rows=["fast"], time="0s..1s")["rows"]
    assert row["file_bytes"] == embdc.encode(VIDEO, tmp_path / "a.embdc", preset="fast", time="0s..1s")["file_bytes"]


def test_standard_input_is_spooled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = io.BytesIO()
    np.save(out, embeddings())

    def piped() -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out.getvalue())))

    piped()
    (row,) = embdc.plan("-", rows=["fast"])["rows"]
    piped()
    assert row["file_bytes"] == embdc.encode("-", tmp_path / "a.embdc", preset="fast")["file_bytes"]
    piped()
    with pytest.raises(embdc.ResourceError, match="spool: more than 100 bytes"):
        embdc.plan("-", spool_max=100)


REFUSED: list[tuple[dict[str, Any], type[embdc.EmbdcError], str]] = [
    ({"target_bpv": 1.0}, embdc.UsageError, "--target-bpv: not an option of plan"),
    ({"resume": True}, embdc.UsageError, "--resume: not an option of plan"),
    ({"rows": ["best"]}, embdc.UsageError, "--rows: expected one of"),
    ({"rows": ["bpv=0.0001"]}, embdc.TargetMissed, "target: "),
    ({"sample": 1 << 29}, embdc.UsageError, "--sample: expected 1 byte to 256MiB"),
    ({"probe": "no.npy"}, embdc.SourceError, "no.npy: no such file"),
    ({"codebook": "no.embdcb"}, embdc.SourceError, "no.embdcb"),
    ({"device": "cuda:77"}, embdc.ResourceError, "cuda:77"),
    ({"effort": 7}, embdc.UsageError, "--effort"),
    ({"fps": 2}, embdc.UsageError, "--fps: expected a video"),
]


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED, ids=str)
def test_refused(options: dict[str, Any], kind: type[embdc.EmbdcError], message: str) -> None:
    with pytest.raises(kind, match=message):
        embdc.plan(embeddings(), **options)


def test_values_that_are_not_finite() -> None:
    x = embeddings()
    x[3, 2, 1] = np.nan
    with pytest.raises(embdc.SourceError, match="NaN"):
        embdc.plan(x, rows=["fast"])
    assert len(embdc.plan(x, rows=["fast", "lossless"], nonfinite="keep")["rows"]) == 2


RECIPES: dict[str, tuple[str, ...]] = {
    "preset": ("--choose", "fast"),
    "target": ("--choose", "cosine=0.91", "--effort", "0", "--chunk-frames", "8"),
    "lossless": ("--choose", "lossless"),
    "dump": ("--choose", "fast", "--key", 'a "b"', "--special-tokens", "auto", "--weighting", "token"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_gives_the_bytes_of_its_options(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", **{'a "b"': embeddings(20, 17), "c": embeddings(20)})
    _, choose, *options = RECIPES[case]
    assert main(["plan", "x.npz", "-q", "--rows", "fast", "--emit", "r.toml", "--choose", choose, *options]) == 0
    assert main(["encode", "x.npz", "-q", "-o", "recipe.embdc", "--config", "r.toml"]) == 0
    target = {"fast": ["--preset", "fast"], "lossless": ["--lossless"]}.get(choose, ["--target-cosine", "0.91"])
    assert main(["encode", "x.npz", "-q", "-o", "options.embdc", *target, *options]) == 0
    archive = Path("recipe.embdc").read_bytes()
    assert archive == Path("options.embdc").read_bytes()
    recipe = Path("r.toml").read_text()
    assert f"x.npz: {len(archive)} bytes" in recipe
    assert tomllib.loads(recipe)


def test_a_recipe_from_python(tmp_path: Path) -> None:
    out = tmp_path / "r.toml"
    document = embdc.plan(embeddings(), rows=["fast"], emit=out, choose="small", chunk_frames=16)
    assert [row["name"] for row in document["rows"]] == ["fast", "small"]
    assert tomllib.loads(out.read_text()) == {"preset": "small", "chunk-frames": 16}
    with pytest.raises(embdc.OutputExists):
        embdc.plan(embeddings(), rows=["fast"], emit=out)
    with pytest.raises(embdc.UsageError, match="expected one of"):
        embdc.plan(embeddings(), rows=["fast"], emit=out, choose="best")
