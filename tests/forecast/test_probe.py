"""A linear head on decoded tokens: from its definition, and what is no head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import embdc_cli as embdc
from embdc_cli.forecast.probe import Probe, ProbeSums
from tests.synthetic import embeddings


def head(classes: int = 5, channels: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.standard_normal((classes, channels)), rng.standard_normal(classes)


def test_agreement_and_divergence_are_those_of_torch() -> None:
    weight, bias = head()
    rng = np.random.default_rng(1)
    x = rng.standard_normal((9000, 24)).astype(np.float32)
    y = x + rng.standard_normal(x.shape).astype(np.float32) / 4
    sums = ProbeSums(Probe(weight, bias))
    sums.add(x[:10], y[:10])
    sums.add(x[10:], y[10:])
    p, q = (torch.from_numpy(tokens.astype(np.float64) @ weight.T + bias).log_softmax(1) for tokens in (x, y))
    found = sums.summary()
    assert found["top1_agreement"] == (p.argmax(1) == q.argmax(1)).double().mean().item()
    assert found["kl"] == pytest.approx((p.exp() * (p - q)).sum(1).mean().item())


def test_nothing_lost_and_nothing_seen() -> None:
    sums = ProbeSums(Probe(*head()))
    assert sums.summary() == {"top1_agreement": None, "kl": None}
    x = embeddings().reshape(-1, 24).astype(np.float32)
    x[3, 3] = np.inf
    sums.add(x, x)
    assert sums.tokens == len(x) - 1
    assert sums.summary() == {"top1_agreement": 1.0, "kl": 0.0}


def test_heads_in_files(tmp_path: Path) -> None:
    weight, bias = (array.astype(np.float32) for array in head())
    np.save(tmp_path / "w.npy", weight)
    safetensors.numpy.save_file({"head.weight": weight, "head.bias": bias}, tmp_path / "b.safetensors")
    without, with_bias = Probe.load(str(tmp_path / "w.npy")), Probe.load(str(tmp_path / "b.safetensors"))
    np.testing.assert_array_equal(without.weight, with_bias.weight)
    np.testing.assert_array_equal(without.bias, np.zeros(5))
    np.testing.assert_array_equal(with_bias.bias, bias)


NO_HEADS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "suffix": ("w.txt", lambda path: path.write_text("1"), "expected a .npy or .safetensors file"),
    "missing": ("w.npy", lambda path: None, "no such file"),
    "no npy": ("w.npy", lambda path: path.write_text("1"), "cannot be read"),
    "vector": ("w.npy", lambda path: np.save(path, np.ones(3)), "expected a float weight"),
    "integers": ("w.npy", lambda path: np.save(path, np.ones((3, 24), int)), "expected a float weight"),
    "NaN": ("w.npy", lambda path: np.save(path, np.full((3, 24), np.nan)), "expected finite values"),
    "no safetensors": ("w.safetensors", lambda path: path.write_text("1"), "cannot be read"),
    "two weights": (
        "w.safetensors",
        lambda path: safetensors.numpy.save_file({"a.weight": np.ones((2, 24)), "b.weight": np.ones((2, 24))}, path),
        "expected one weight and at most one bias, found a.weight, b.weight",
    ),
    "bias of another head": (
        "w.safetensors",
        lambda path: safetensors.numpy.save_file({"weight": np.ones((2, 24)), "bias": np.ones(3)}, path),
        r"expected a bias \(2,\), found \(3,\)",
    ),
    "other channels": ("w.npy", lambda path: np.save(path, np.ones((3, 7))), "expected weights for 24 channels"),
}


@pytest.mark.parametrize("case", NO_HEADS)
def test_what_is_no_head(case: str, tmp_path: Path) -> None:
    name, write, message = NO_HEADS[case]
    write(tmp_path / name)
    with pytest.raises(embdc.EmbdcError, match=message):
        embdc.plan(embeddings(), rows=["fast"], probe=tmp_path / name)


def test_rows_of_better_cosine_lose_less(tmp_path: Path) -> None:
    weight, _ = head()
    np.save(tmp_path / "w.npy", weight)
    rows = embdc.plan(embeddings(), rows=["cosine=0.8", "cosine=0.99", "lossless"], probe=tmp_path / "w.npy")["rows"]
    assert [row["probe"]["top1_agreement"] for row in rows] == sorted(row["probe"]["top1_agreement"] for row in rows)
    worse, better, exact = (row["probe"]["kl"] for row in rows)
    assert worse > 2 * better > exact == 0
    assert rows[2]["probe"]["top1_agreement"] == 1
