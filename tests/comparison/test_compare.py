"""What is compared with what: archives and dumps of every kind, names, shapes, limits; and how much is read at once."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import embdc_cli as embdc
from embdc_cli.cli.app import main
from embdc_cli.comparison.pairing import Pair
from embdc_cli.comparison.stream import measure
from embdc_cli.tokens import CHUNK_VALUES
from embdc_cli.values import StreamSpec
from tests.comparison.definitions import noisy, stream
from tests.synthetic import embeddings

X = embeddings(30, 6, 16)
Y = noisy(X)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with X as x.npy, Y as y.npy, and an archive a.embdc of X."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("y.npy", Y)
    embdc.encode("x.npy", "a.embdc", target_nmse=0.1)
    return tmp_path


FORMS: dict[str, Callable[[str, np.ndarray], object]] = {
    "npy": np.save,
    "npz": lambda path, array: np.savez(path, clip=array),
    "safetensors": lambda path, array: save_file({"clip": array}, path),
    "pt": lambda path, array: torch.save({"clip": torch.from_numpy(array)}, path),
    "raw": lambda path, array: array.tofile(path),
}


@pytest.mark.parametrize("form", [*FORMS, "h5"])
def test_dumps_of_every_format(folder: Path, form: str) -> None:
    for name, array in (("first", X), ("second", Y)):
        if form == "h5":
            with h5py.File(f"{name}.h5", "w") as file:
                file["clip"] = array
        else:
            FORMS[form](f"{name}.{form}", array)
    options = {"raw": "dtype=f16,shape=?x6x16"} if form == "raw" else {}
    expected = stream(X, Y)
    for second in (f"second.{form}", "y.npy"):
        found = stream(f"first.{form}", second, **options)
        assert found | {"name": ""} == expected | {"name": ""}


def test_an_archive_with_its_rate(folder: Path) -> None:
    document = embdc.compare("x.npy", "a.embdc")
    inspected = embdc.inspect("a.embdc")
    assert document["file_bytes"] == inspected["file_bytes"]
    assert document["bits_per_value"] == inspected["bits_per_value"]
    assert document["external_codebook_bytes"] == 0
    achieved = inspected["achieved"]
    assert {name: document["streams"][0][name] for name in achieved} == pytest.approx(achieved, rel=1e-3)
    assert embdc.verify("a.embdc", against="x.npy")["against"]["nmse"] == document["streams"][0]["nmse"]
    dumps = embdc.compare("x.npy", "y.npy")
    assert [dumps[name] for name in ("file_bytes", "bits_per_value", "external_codebook_bytes")] == [None] * 3


def test_an_archive_may_be_the_reference(folder: Path) -> None:
    embdc.encode("x.npy", "exact.embdc", lossless=True)
    assert stream("exact.embdc", "x.npy")["identical"]
    assert stream("exact.embdc", "a.embdc")["nmse"] == stream("x.npy", "a.embdc")["nmse"]


def test_a_codebook_that_is_not_in_the_archive_is_counted_beside_it(folder: Path) -> None:
    embdc.train_codebook(["x.npy", "y.npy"], "c.embdcb", holdout=0)
    encoded = embdc.encode("x.npy", "b.embdc", codebook="c.embdcb", embed_codebook="no", target_nmse=0.1)
    document = embdc.compare("x.npy", "b.embdc", codebooks=["c.embdcb"])
    assert document["external_codebook_bytes"] == encoded["external_codebook_bytes"] > 0


def test_two_streams_are_matched_by_name_and_companions_by_bits(folder: Path) -> None:
    other = embeddings(20, 3, 8)
    np.savez("two.npz", a=X, b=other, ids=np.arange(30))
    embdc.encode("two.npz", "two.embdc", target_nmse=0.1)
    document = embdc.compare("two.npz", "two.embdc")
    assert [one["name"] for one in document["streams"]] == ["a", "b"]
    assert document["companions"] == [{"name": "ids", "identical": True}]
    np.savez("changed.npz", b=other, ids=np.arange(30) + 1)
    document = embdc.compare("two.npz", "changed.npz")
    assert [one["identical"] for one in document["streams"]] == [True]
    assert document["companions"] == [{"name": "ids", "identical": False}]
    assert [one["name"] for one in embdc.compare("two.npz", "two.embdc", key="b")["streams"]] == ["b"]


def test_streams_that_are_not_compared_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("two.npz", a=X, b=X)
    np.savez("one.npz", b=X)
    assert main(["compare", "two.npz", "one.npz"]) == 0
    assert "embdc: note: one.npz does not have all of two.npz: a not compared" in capsys.readouterr().err


def test_ragged_streams_of_an_archive(folder: Path) -> None:
    rows = [embeddings(1, int(count), 16, seed)[0] for seed, count in enumerate(np.arange(40) % 7)]
    embdc.encode(rows, "ragged.embdc", target_nmse=0.1, chunk_frames=8)
    found = stream(rows, "ragged.embdc")
    assert (found["shape"], found["tokens"]) == ([40, -1, 16], sum(map(len, rows)))
    assert 0 < found["nmse"] <= 0.1
    document = embdc.compare(rows, "ragged.embdc")
    assert document["bits_per_value"] == embdc.inspect("ragged.embdc")["bits_per_value"]


BAD = [
    (["x.npy", "gone.npy"], 8, "gone.npy: no such file"),
    (["x.npy", "short.npy"], 2, "stream 'data': shapes differ, expected [30, 6, 16] as in x.npy, found [29, 6, 16]"),
    (["x.npy", "wide.npy"], 2, "stream 'data': shapes differ, expected [30, 6, 16] as in x.npy, found [30, 6, 17]"),
    (["two.npz", "x.npy"], 2, "two.npz has no stream 'data', which x.npy has"),
    (["x.npy", "text.txt"], 8, "text.txt: expected a dump or a video, found text"),
    (["x.npy", "ids.npy"], 8, "ids.npy: data has type int64"),
    (["x.npy", "cut.embdc"], 2, "shapes differ"),
    (["x.npy", "flipped.embdc"], 5, "flipped.embdc"),
    (["x.npy", "y.npy", "--labels", "ids.npy"], 2, "--labels: needs --probe FILE"),
    (["x.npy", "y.npy", "--min-agreement", "1"], 2, "--min-agreement: needs --probe FILE"),
    (["x.npy", "y.npy", "--probe", "w.npy", "--max-accuracy-loss", "0"], 2, "--max-accuracy-loss: needs --labels FILE"),
    (["x.npy", "y.npy", "--probe", "w.npy", "--probe-on", "tokens", "--labels", "ids.npy"], 2, "--labels: a label"),
    (["x.npy", "y.npy", "--probe", "gone.npy"], 8, "gone.npy: no such file"),
    (["x.npy", "y.npy", "--probe", "a.embdc"], 8, "a.embdc: expected a dump, found an embdc archive"),
    (["x.npy", "y.npy", "--probe", "w.npy", "--labels", "two.npz"], 2, "--labels: two.npz: expected an npy file"),
    (["x.npy", "y.npy", "--key", "gone"], 8, "gone"),
]


@pytest.mark.parametrize(("args", "code", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input(folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, message: str) -> None:
    np.save("short.npy", X[:-1])
    np.save("wide.npy", np.zeros((30, 6, 17), np.float16))
    np.savez("two.npz", a=X, b=X)
    np.save("ids.npy", np.zeros(30, np.int64))
    np.save("w.npy", np.ones((3, 16), np.float32))
    Path("text.txt").write_text("words\n" * 100)
    embdc.encode("x.npy", "long.embdc", chunk_frames=8, target_nmse=0.1)
    data = bytearray(Path("long.embdc").read_bytes())
    chunk = embdc.inspect("long.embdc", chunks=True)["chunks"][2]
    Path("cut.embdc").write_bytes(data[: chunk["offset"]])
    data[chunk["offset"] + chunk["bytes"] // 2] ^= 1
    Path("flipped.embdc").write_bytes(data)
    assert main(["compare", *args]) == code
    done = capsys.readouterr()
    lines = [line for line in done.err.splitlines() if not line.startswith("embdc: note:")]
    assert done.out == ""
    assert message in lines[0]
    assert [line.partition(" ")[0] for line in lines] in (["embdc:"], ["embdc:", "hint:"])


def test_token_counts_must_match() -> None:
    x = [X[0], X[1, :2], X[2]]
    with pytest.raises(embdc.UsageError, match=r"token counts differ, expected 6 in row 0 as in array, found 2 in"):
        embdc.compare(x, [x[1], x[0], x[2]])


def test_a_video_or_a_pipe_cannot_be_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Path(__file__).parents[2] / "samples" / "shapes.mp4"
    for reference in (clip, "x.npy"):
        with pytest.raises(embdc.UsageError, match=r"shapes.mp4: expected a dump or an archive, found video"):
            embdc.compare(reference, clip)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("x.npy").read_bytes())))
    with pytest.raises(embdc.UsageError, match=r"input: -: expected a dump that can be read twice"):
        embdc.compare("x.npy", "-")


LIMITS = ["min_cosine", "min_cosine_p1", "min_centred_cosine", "max_nmse", "max_channel_nmse", "min_cka", "min_recall",
          "min_pooled_recall", "min_agreement", "max_kl", "max_accuracy_loss"]  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_ends_with_4_when_it_is_missed(
    folder: Path, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    weight = np.random.default_rng(0).standard_normal((9, 16)).astype(np.float32)
    np.save("w.npy", weight)
    np.save("labels.npy", (X.astype(np.float64).mean(1) @ weight.T).argmax(1))
    np.save("y.npy", noisy(X, 2))
    task = ["--probe", "w.npy", "--labels", "labels.npy"]
    flag = f"--{limit.replace('_', '-')}"
    assert main(["compare", "x.npy", "y.npy", *task, "--json"]) == 0
    printed = capsys.readouterr()
    places = {"min_recall": ("recall", "tokens_10"), "min_pooled_recall": ("recall", "pooled_10"),
              "min_agreement": ("probe", "agreement"), "max_kl": ("probe", "kl"),
              "max_accuracy_loss": ("labels", "loss")}  # fmt: skip
    value: Any = json.loads(printed.out)["streams"][0]
    for name in places.get(limit, (limit.partition("_")[2],)):
        value = value[name]
    worse = 1 if limit.startswith("min") else -1
    assert main(["compare", "x.npy", "y.npy", *task, flag, repr(value), "--json"]) == 0  # just met
    capsys.readouterr()
    assert main(["compare", "x.npy", "y.npy", *task, flag, repr(value + worse * 1e-6), "--json"]) == 4
    done = capsys.readouterr()
    (miss,) = json.loads(done.out)["missed"]
    assert (miss["option"], miss["found"]) == (flag, value)
    assert json.loads(done.out)["streams"] == json.loads(printed.out)["streams"]
    (line,) = done.err.splitlines()
    assert line.startswith(f"embdc: stream 'data': {miss['measure']}, expected at ")
    assert main(["compare", "x.npy", "y.npy", *task, flag, repr(value + worse * 1e-6), "-q"]) == 4
    assert "by row" in capsys.readouterr().out


def test_what_cannot_be_measured_misses_its_limit() -> None:
    few = X[:2, :2]
    document = embdc.compare(few, few, min_recall=0.1, min_cosine=0.5)
    assert document["exit"] == 4
    assert [(one["measure"], one["found"]) for one in document["missed"]] == [("recall.tokens_10", None)]
    spoiled = Y.copy()
    spoiled[0, 0, 0] = np.nan
    assert embdc.compare(X, spoiled, max_nmse=1e9)["exit"] == 4
    with pytest.raises(embdc.UsageError, match=r"--max-nmse: expected a number, found nan"):
        embdc.compare(X, X, max_nmse=float("nan"))


class CountingTensor:
    """Noise that is made when it is read, and counts how many values are read at once."""

    token_counts = None

    def __init__(self, spec: StreamSpec, noise: float) -> None:
        self.spec, self._noise = spec, noise
        self.largest = 0
        self.rows_read = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        self.rows_read += stop - start
        self.largest = max(self.largest, (stop - start) * self.spec.row_values)
        values = np.random.default_rng(start).standard_normal((stop - start, *self.spec.row_shape), np.float32)
        return values * np.float32(1 + self._noise)


def test_rows_are_read_twice_and_a_chunk_at_a_time() -> None:
    spec = StreamSpec("clip", "float32", "t,n,c", (64, 64), 6_000)
    x, y = CountingTensor(spec, 0), CountingTensor(spec, 0.01)
    seen: list[tuple[int, int]] = []
    found = measure(Pair("clip", x, y, spec), None, None, lambda *done: seen.append(done))
    assert found["norm_drift"] == pytest.approx(0.01, abs=1e-6)
    assert max(x.largest, y.largest) <= CHUNK_VALUES < 6_000 * 64 * 64 / 2
    assert (x.rows_read, y.rows_read) == (12_000, 6_000)
    assert seen[-1] == (6_000, 6_000)
    assert len(found["over_time"]["row"]) == 240
