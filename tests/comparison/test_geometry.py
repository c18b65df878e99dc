"""CKA and recall: their definitions, what leaves them alone, and known constructions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.comparison import cka, neighbours
from embdc_cli.comparison.neighbours import NeighbourSample, recall
from embdc_cli.comparison.sampling import inside, stratified
from tests.comparison import definitions
from tests.comparison.definitions import noisy, stream
from tests.synthetic import embeddings


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 20), tokens=st.integers(2, 60), noise=st.floats(0.01, 3))
def test_cka_by_its_other_form_and_in_any_order_of_tokens(seed: int, tokens: int, noise: float) -> None:
    x = embeddings(tokens, 1, 5, seed)[:, 0].astype(np.float32)
    y = noisy(x, noise, seed)
    found = stream(x, y)["cka"]
    assert found == pytest.approx(definitions.cka(x.astype(float), y.astype(float)), abs=1e-9)
    order = np.random.default_rng(seed).permutation(tokens)
    assert stream(x[order], y[order])["cka"] == pytest.approx(found, abs=1e-9)


def test_cka_knows_no_rotation_scale_or_shift() -> None:
    rng = np.random.default_rng(2)
    x = embeddings(400, 1, 16)[:, 0].astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    turned = (100 * (x @ rotation) + 50).astype(np.float32)
    assert stream(x, turned)["cka"] == pytest.approx(1, abs=1e-6)
    unrelated = rng.standard_normal(x.shape).astype(np.float32)
    assert stream(x, unrelated)["cka"] < 0.1


def test_cka_of_a_sample_is_near_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    x = embeddings(500, 8, 12)
    y = noisy(x)
    whole = stream(x, y)["cka"]
    monkeypatch.setattr(cka, "_MAX_TOKENS", 1000)
    sampled = stream(x, y)["cka"]
    assert sampled != whole
    assert sampled == pytest.approx(whole, abs=0.01)


def test_cka_is_not_measured_with_too_many_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cka, "MAX_CHANNELS", 11)
    x = embeddings(20, 2, 12)
    assert stream(x, x)["cka"] is None


@pytest.mark.parametrize(("k", "vectors"), [(1, 70), (10, 70), (1, 300)])
def test_recall_by_its_definition(k: int, vectors: int) -> None:
    x = embeddings(vectors, 1, 12)[:, 0].astype(np.float64)
    y = x + 0.2 * np.random.default_rng(0).standard_normal(x.shape)
    expected = definitions.recall(x, y, k)
    assert 0.2 < expected < 0.9
    assert recall(x, y, k) == pytest.approx(expected)


def test_recall_of_a_known_construction() -> None:
    # pairs of near vectors, far from all others; half of the pairs change partners
    rng = np.random.default_rng(1)
    centres = np.linalg.qr(rng.standard_normal((64, 64)))[0][:40]
    x = np.repeat(centres, 2, axis=0) + 0.01 * rng.standard_normal((80, 64))
    partners = np.arange(80)
    partners[1:40:2] = np.roll(partners[1:40:2], 2)
    assert recall(x, x[partners], 1) == pytest.approx(0.5)
    assert recall(x, x, 1) == 1


def test_any_of_equal_neighbours_will_do() -> None:
    still = np.repeat(embeddings(4, 1, 8)[:, 0].astype(np.float32), 12, axis=0)
    jitter = still + 1e-3 * np.random.default_rng(0).standard_normal(still.shape).astype(np.float32)
    assert recall(still, jitter, 10) == 1


def test_recall_of_pooled_rows_and_of_tokens() -> None:
    x = embeddings(30, 5, 12)
    y = noisy(x, 0.4)
    found = stream(x, y)["recall"]
    pooled = [z.astype(np.float64).mean(1) for z in (x, y)]
    vectors = [definitions.tokens(z) for z in (x, y)]
    for k in (1, 10):
        assert found[f"pooled_{k}"] == pytest.approx(definitions.recall(*pooled, k))
        assert found[f"tokens_{k}"] == pytest.approx(definitions.recall(*vectors, k), abs=0.01)


def test_recall_needs_more_vectors_than_neighbours() -> None:
    x = embeddings(2, 5, 8)
    assert stream(x, x)["recall"] == {"tokens_1": 1, "tokens_10": None, "pooled_1": 1, "pooled_10": None}


def test_a_long_stream_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_VECTORS", 50)
    sample = NeighbourSample(10_000, 3)
    x = np.random.default_rng(0).standard_normal((10_000, 3))
    for start in range(0, 10_000, 77):
        sample.add(start, x[start : start + 77], x[start : start + 77])
    assert len(sample) == 50
    assert sample.recall(1) == 1


@given(total=st.integers(0, 5000), count=st.integers(0, 300), chunk=st.integers(1, 700))
def test_a_stratified_sample(total: int, count: int, chunk: int) -> None:
    chosen = stratified(total, count)
    assert len(chosen) == min(total, count)
    assert np.all(np.diff(chosen) > 0)
    if len(chosen):
        strata = np.arange(len(chosen) + 1) * total // len(chosen)
        assert np.all((strata[:-1] <= chosen) & (chosen < strata[1:]))
    pieces = [inside(chosen, start, chunk) + start for start in range(0, total, chunk)]
    assert np.array_equal(np.concatenate([np.zeros(0, np.int64), *pieces]), chosen)
