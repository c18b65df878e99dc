"""A linear head on both sides: agreement, divergence, accuracy; and which files hold a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import embdc_cli as embdc
from embdc_cli.comparison import block, probe
from tests.comparison.definitions import noisy, stream
from tests.synthetic import embeddings

RNG = np.random.default_rng(4)
X = embeddings(80, 5, 16)
Y = noisy(X, 0.5)
WEIGHT = RNG.standard_normal((7, 16)).astype(np.float32)
BIAS = RNG.standard_normal(7).astype(np.float32)


@pytest.fixture
def head(tmp_path: Path) -> Path:
    save_file({"head.weight": WEIGHT, "head.bias": BIAS}, tmp_path / "head.safetensors")
    return tmp_path / "head.safetensors"


def expected(x: np.ndarray, y: np.ndarray, labels: np.ndarray | None = None) -> dict[str, Any]:
    """From vectors (n, D), by torch."""
    before, after = (torch.from_numpy(z.astype(np.float64) @ WEIGHT.T.astype(np.float64) + BIAS) for z in (x, y))
    log_p, log_q = torch.log_softmax(before, 1), torch.log_softmax(after, 1)
    kl = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    found = {"agreement": float((before.argmax(1) == after.argmax(1)).double().mean()), "kl": float(kl)}
    if labels is not None:
        found |= {"before": float(np.mean(before.argmax(1).numpy() == labels))}
        found |= {"after": float(np.mean(after.argmax(1).numpy() == labels))}
    return found


@pytest.mark.parametrize("on", ["pooled", "first", "tokens"])
def test_agreement_and_divergence(head: Path, on: str) -> None:
    vectors = {
        "pooled": lambda z: z.astype(np.float64).mean(1),
        "first": lambda z: z[:, 0],
        "tokens": lambda z: z.reshape(-1, 16),
    }
    x, y = (vectors[on](z) for z in (X, Y))
    found = stream(X, Y, probe=head, probe_on=on)
    assert found["probe"] == pytest.approx({"on": on, "vectors": len(x), **expected(x, y)})
    assert 0.3 < found["probe"]["agreement"] < 1
    assert found["labels"] is None


def test_accuracy_before_and_after(head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "cut_rows", lambda tensor, _: [(0, 33), (33, 80)])
    labels = RNG.integers(0, 7, 80)
    labels[::2] = (X.astype(np.float64).mean(1) @ WEIGHT.T.astype(np.float64) + BIAS).argmax(1)[::2]
    np.save(tmp_path / "labels.npy", labels.astype(np.uint8))
    found = stream(X, Y, probe=head, labels=tmp_path / "labels.npy")["labels"]
    right = expected(X.astype(np.float64).mean(1), Y.astype(np.float64).mean(1), labels)
    assert (found["before"], found["after"], found["rows"]) == (right["before"], right["after"], 80)
    assert found["loss"] == pytest.approx(right["before"] - right["after"])
    assert right["before"] > right["after"]


def test_rows_without_tokens_are_not_classified(head: Path, tmp_path: Path) -> None:
    x = [X[0], X[1, :0], X[2]]
    np.save(tmp_path / "labels.npy", np.arange(3))
    for on in ("pooled", "first"):
        found = stream(x, x, probe=head, probe_on=on, labels=tmp_path / "labels.npy")
        assert (found["probe"]["vectors"], found["probe"]["agreement"], found["labels"]["rows"]) == (2, 1, 2)
    empty = np.zeros((0, 5, 16), np.float32)
    assert stream(empty, empty, probe=head)["probe"] == {"on": "pooled", "vectors": 0, "agreement": None, "kl": None}


def test_tokens_are_sampled(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_TOKENS", 100)
    assert stream(X, Y, probe=head, probe_on="tokens")["probe"]["vectors"] == 100


def test_only_streams_of_its_channels_are_probed(head: Path) -> None:
    other = embeddings(80, 5, 12)
    document = embdc.compare({"a": X, "b": other}, {"a": Y, "b": other}, probe=head, min_agreement=0)
    assert [one["probe"] is None for one in document["streams"]] == [False, True]
    assert document["exit"] == 0


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.savez(path / "h.npz", weight=WEIGHT, bias=BIAS),
        lambda path: torch.save(
            {"fc": {"weight": torch.from_numpy(WEIGHT), "bias": torch.from_numpy(BIAS)}}, path / "h.pt"
        ),
        lambda path: save_file({"weight": WEIGHT, "bias": BIAS, "scale": BIAS * 0}, path / "h.safetensors"),
    ],
)
def test_forms_of_a_head(tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    (path,) = tmp_path.iterdir()
    pooled = [z.astype(np.float64).mean(1) for z in (X, Y)]
    assert stream(X, Y, probe=path)["probe"]["kl"] == pytest.approx(expected(*pooled)["kl"])


def test_a_weight_alone_has_no_bias(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", WEIGHT)
    np.savez(tmp_path / "h.npz", weight=WEIGHT, bias=BIAS * 0)
    assert stream(X, Y, probe=tmp_path / "w.npy")["probe"] == stream(X, Y, probe=tmp_path / "h.npz")["probe"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": np.zeros((3, 9), np.float32)}, "expected a head for the channels of a stream (16 of"),
        ({"a": WEIGHT, "b": WEIGHT}, "expected one weight matrix (K, D), found a [7, 16], b [7, 16]"),
        ({"w": np.zeros((2, 3, 4), np.float32)}, "expected one weight matrix (K, D), found w [2, 3, 4]"),
        ({"weight": WEIGHT, "a": BIAS, "b": BIAS}, "expected one bias, called bias, found a, b"),
        ({"w": np.full((3, 16), np.nan, np.float32)}, "expected finite weights"),
    ],
)
def test_files_that_are_no_head(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "h.npz", **arrays)
    with pytest.raises(embdc.UsageError) as caught:
        stream(X, Y, probe=tmp_path / "h.npz")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(79, np.int64), "expected a label for each of 80 rows, found 79"),
        (np.zeros(80, np.float32), "expected one integer a row, found [80] float32"),
        (np.zeros((80, 1), np.int64), "expected one integer a row, found [80, 1] int64"),
        (np.full(80, 7), "row 0: expected 0 to 6, found 7"),
        (np.full(80, -1), "row 0: expected 0 to 6, found -1"),
    ],
)
def test_files_that_are_no_labels(head: Path, tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(embdc.UsageError) as caught:
        stream(X, Y, probe=head, labels=tmp_path / "labels.npy")
    assert message in str(caught.value)
