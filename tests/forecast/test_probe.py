"""A linear head on decoded tokens: from its definition; files of heads are those of compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.comparison.probe import Head
from embdc_cli.forecast.probe import ProbeSums
from tests.synthetic import embeddings


def head(classes: int = 5, channels: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.standard_normal((classes, channels)), rng.standard_normal(classes)


def test_agreement_and_divergence_are_those_of_torch() -> None:
    weight, bias = head()
    rng = np.random.default_rng(1)
    x = rng.standard_normal((9000, 24)).astype(np.float32)
    y = x + rng.standard_normal(x.shape).astype(np.float32) / 4
    sums = ProbeSums(Head(weight, bias))
    sums.add(x[:10], y[:10])
    sums.add(x[10:], y[10:])
    p, q = (torch.from_numpy(tokens.astype(np.float64) @ weight.T + bias).log_softmax(1) for tokens in (x, y))
    found = sums.summary()
    assert found["top1_agreement"] == (p.argmax(1) == q.argmax(1)).double().mean().item()
    assert found["kl"] == pytest.approx((p.exp() * (p - q)).sum(1).mean().item())


def test_nothing_lost_and_nothing_seen() -> None:
    sums = ProbeSums(Head(*head()))
    assert sums.summary() == {"top1_agreement": None, "kl": None}
    x = embeddings().reshape(-1, 24).astype(np.float32)
    x[3, 3] = np.inf
    sums.add(x, x)
    assert sums.tokens == len(x) - 1
    assert sums.summary() == {"top1_agreement": 1.0, "kl": 0.0}


def test_a_head_for_other_channels_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.ones((3, 7), np.float32))
    with pytest.raises(embdc.UsageError, match="expected weights for 24 channels, found 7"):
        embdc.plan(embeddings(), rows=["fast"], probe=tmp_path / "w.npy")


def test_rows_of_better_cosine_lose_less(tmp_path: Path) -> None:
    weight, _ = head()
    np.save(tmp_path / "w.npy", weight.astype(np.float32))
    rows = embdc.plan(embeddings(), rows=["cosine=0.8", "cosine=0.99", "lossless"], probe=tmp_path / "w.npy")["rows"]
    assert [row["probe"]["top1_agreement"] for row in rows] == sorted(row["probe"]["top1_agreement"] for row in rows)
    worse, better, exact = (row["probe"]["kl"] for row in rows)
    assert worse > 2 * better > exact == 0
    assert rows[2]["probe"]["top1_agreement"] == 1
