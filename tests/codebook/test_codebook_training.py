"""train(): from inputs to a file and a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embdc_cli.codebook import file
from embdc_cli.codebook.engine import Here
from embdc_cli.codebook.table_training import trained_kinds
from embdc_cli.codebook.training import TrainOptions, _limited, train
from embdc_cli.errors import EmbdcError, OutputExists, SourceError, TargetMissed, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump
from tests.codebook.codebook_cases import make_codebook, make_tables
from tests.codebook.sources import CHANNELS, dump_of, energies, gaussian, rotation

VIT = {"name": "vit", "layer": -2, "weights_sha256": "ab" * 32}
ARRAYS = {f"{i}.npy": gaussian(20 + i, seed=i) for i in range(6)}


class Recorder:
    """A reporter that keeps the words."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        assert total is None or 0 <= done <= total, (stage, unit)


def run(
    output: Path, *names: str, encoders: dict[str, Any] | None = None, reporter: Reporter | None = None, **options: Any
) -> dict[str, Any]:
    """Train on arrays by name."""

    def open_input(name: str, reading: EncodeOptions, reporter: Reporter) -> Iterator[Dump]:
        yield dump_of(ARRAYS[name], encoder=(encoders or {}).get(name))

    return train(names or tuple(ARRAYS), str(output), TrainOptions(**options), reporter, engine=Here(open_input))


def test_the_result_describes_the_file(tmp_path: Path) -> None:
    output = tmp_path / "a.embdcb"
    result = run(output, encoders=dict.fromkeys(ARRAYS, VIT))
    data = output.read_bytes()
    codebook = file.read(output)
    assert list(result) == [
        "output", "digest", "kind", "file_bytes", "channels", "rank", "tables", "tokens_trained", "inputs", "encoder",
        "reconstruction", "heldout", "break_even_bytes", "warnings", "exit",
    ]  # fmt: skip
    assert result["output"] == str(output)
    assert result["digest"] == hashlib.sha256(data).hexdigest() == codebook.digest.hex()
    assert result["file_bytes"] == len(data)
    assert (result["kind"], result["exit"], result["warnings"]) == ("transform", 0, [])
    assert (result["channels"], result["rank"], result["inputs"]) == (CHANNELS, CHANNELS, 6)
    assert result["encoder"] == codebook.encoder == VIT
    assert 9 * 5 * 20 <= result["tokens_trained"] <= 9 * 5 * 25
    assert codebook.training == {"inputs": 6, "seed": 0, "tokens": result["tokens_trained"]}
    assert result["tables"] == trained_kinds(codebook.tables)
    assert [point["nmse"] for point in result["heldout"]] == [0.3, 0.1, 0.03, 0.01]
    assert {point["basis_share"] for point in result["heldout"]} <= {0.0, 1.0}
    json.dumps(result, allow_nan=False)


def test_the_basis_of_the_source_is_learnt_in_integers(tmp_path: Path) -> None:
    output = tmp_path / "a.embdcb"
    run(output)
    codebook = file.read(output)
    source = (rotation() * energies()[:, None]).T @ rotation()
    vectors = codebook.vectors()
    kept = np.trace(vectors[:4] @ source @ vectors[:4].T)
    assert kept > 0.93 * energies()[:4].sum()
    np.testing.assert_allclose(2.0 ** (codebook.spectrum / 4), energies(), rtol=0.45)
    np.testing.assert_allclose(codebook.centre(), 3, atol=1.5)
    assert np.abs(vectors @ vectors.T - np.eye(CHANNELS)).max() < 0.02


def test_short_inputs_gain_by_the_codebook(tmp_path: Path) -> None:
    at_tenth = run(tmp_path / "a.embdcb")["heldout"][1]
    assert at_tenth["gain"] > 0.02


def test_the_same_inputs_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(tmp_path / name, seed=5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    run(tmp_path / "c", seed=6)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_names_of_inputs_are_not_in_the_file(tmp_path: Path) -> None:
    run(tmp_path / "a", *sorted(ARRAYS))
    assert b".npy" not in (tmp_path / "a").read_bytes()


def test_a_sample_limits_the_tokens_seen(tmp_path: Path) -> None:
    assert run(tmp_path / "a", sample=400)["tokens_trained"] < 650


@pytest.mark.parametrize("limit", [330, 420, 480, 560])
def test_max_bytes_limits_the_rank(tmp_path: Path, limit: int) -> None:
    result = run(tmp_path / "a", max_bytes=limit)
    assert (tmp_path / "a").stat().st_size == result["file_bytes"] <= limit
    assert 1 <= result["rank"] < CHANNELS
    full = run(tmp_path / "b", max_bytes=10**6)
    codebook, whole = file.read(tmp_path / "a"), file.read(tmp_path / "b")
    assert full["rank"] == CHANNELS
    assert np.array_equal(codebook.basis, whole.basis[: codebook.rank])
    assert limit - result["file_bytes"] < 60


def test_max_bytes_leaves_out_tables_before_the_vectors_they_would_displace(tmp_path: Path) -> None:
    full = run(tmp_path / "a")
    assert full["tables"]
    limited = run(tmp_path / "b", max_bytes=full["file_bytes"] - 1)
    assert (limited["tables"], limited["rank"]) == ([], CHANNELS)
    exact = run(tmp_path / "c", max_bytes=full["file_bytes"])
    assert (exact["tables"], exact["rank"]) == (full["tables"], CHANNELS)


def test_max_bytes_keeps_tables_that_are_small_beside_the_vectors() -> None:
    codebook = make_codebook(channels=200, rank=200, tables=make_tables())
    limited = _limited(codebook, len(codebook.file_bytes) - 1000)
    assert limited.tables == codebook.tables
    assert limited.rank < 200


def test_max_bytes_below_one_vector_is_a_missed_target(tmp_path: Path) -> None:
    with pytest.raises(TargetMissed, match="50 bytes allowed"):
        run(tmp_path / "a", max_bytes=50)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "pq"}, "--kind: expected transform or vq, found 'pq'"),
        ({"sample": 0}, "--sample"),
        ({"max_bytes": 0}, "--max-bytes"),
        ({"holdout": 1.5}, "--holdout"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        run(tmp_path / "a", **options)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_no_inputs_and_the_same_input_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one input"):
        train([], str(tmp_path / "a"))
    with pytest.raises(UsageError, match=r"0\.npy is given twice"):
        run(tmp_path / "a", "0.npy", "1.npy", "0.npy")


def test_mixed_encoders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="different encoders"):
        run(tmp_path / "a", encoders=dict.fromkeys(sorted(ARRAYS)[:3], VIT))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept_unless_forced(tmp_path: Path) -> None:
    output = tmp_path / "a"
    output.write_bytes(b"mine")
    with pytest.raises(OutputExists):
        run(output)
    assert output.read_bytes() == b"mine"
    run(output, force=True)
    assert file.read(output).channels == CHANNELS


def test_the_output_is_refused_before_inputs_are_opened(tmp_path: Path) -> None:
    def never(name: str, reading: EncodeOptions, reporter: Reporter) -> Iterator[Dump]:
        raise AssertionError(name)
        yield

    with pytest.raises(UsageError, match="folder"):
        train(["x.npy"], str(tmp_path / "none" / "a"), engine=Here(never))


def test_a_single_input_and_a_small_sample_are_warned_of(tmp_path: Path) -> None:
    reporter = Recorder()
    result = run(tmp_path / "a", "0.npy", sample=100, reporter=reporter)
    assert result["inputs"] == 1
    assert any("flatters" in warning for warning in result["warnings"])
    small = run(tmp_path / "b", "0.npy", "1.npy", sample=100, reporter=reporter)
    assert small["tokens_trained"] >= 160 or "small sample" in small["warnings"][0]
    assert set(result["warnings"]) <= set(reporter.notes)


def test_embeddings_that_do_not_vary_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARRAYS, "same.npy", np.ones((30, 4, 8), np.float32))
    with pytest.raises(SourceError, match="do not vary"):
        run(tmp_path / "a", "same.npy")


def test_inputs_are_closed_whatever_happens(tmp_path: Path) -> None:
    closed: list[str] = []

    def open_input(name: str, reading: EncodeOptions, reporter: Reporter) -> Iterator[Dump]:
        dump = dump_of(ARRAYS[name])
        dump.close = lambda: closed.append(name)
        yield dump

    train(list(ARRAYS), str(tmp_path / "a"), engine=Here(open_input))
    assert closed == list(ARRAYS)
    closed.clear()
    with pytest.raises(EmbdcError):
        train(list(ARRAYS), str(tmp_path / "b"), TrainOptions(max_bytes=10), engine=Here(open_input))
    assert closed == list(ARRAYS)
