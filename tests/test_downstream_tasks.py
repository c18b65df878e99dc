"""The downstream benchmark's tasks: exact tokens lose nothing, noise loses ever more, and dropping none is identity."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.tasks.action import action
from tests.bench.tasks.classification import classification, present
from tests.bench.tasks.figures import Figures
from tests.bench.tasks.linear import kinds, linear
from tests.bench.tasks.pooling import pooled
from tests.bench.tasks.retrieval import retrieval
from tests.bench.token_dropping import dropped, most_attended, stored

RATES = (10.0, 12.0)  # frames per second
NOISE = (0.0, 6.0, 40.0)  # deviations, of tokens that have 1


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """(T, N, D) float16 each: tokens that walk at random, about a place of the clip's own."""
    rng = np.random.default_rng(1)
    walks = [rng.standard_normal((frames, 1, 24)).cumsum(axis=0) for frames in (220, 180)]
    return [
        (walk + rng.standard_normal((len(walk), 16, 24)) + 5 * rng.standard_normal(24)).astype("f2") for walk in walks
    ]


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """(tokens (T, 1 + N, D), labels (T,)): each kind of picture has a mean of its own."""
    rng = np.random.default_rng(2)
    labels = np.arange(0, 1000, 5)
    means = 0.6 * rng.standard_normal((3, 1, 24))
    return (means[kinds(labels)] + rng.standard_normal((len(labels), 17, 24))).astype(np.float16), labels


def noisy(x: np.ndarray, deviation: float) -> np.ndarray:
    return x + deviation * np.random.default_rng(3).standard_normal(x.shape)


def lost_over_noise(task: Callable[[float], Figures], names: Sequence[str]) -> dict[str, list[float]]:
    found = [task(deviation) for deviation in NOISE]
    return {name: [figures[name].points_lost for figures in found] for name in names}


def test_retrieval_loses_nothing_then_ever_more(clips: list[np.ndarray]) -> None:
    lost = lost_over_noise(
        lambda deviation: retrieval(clips, [noisy(x, deviation) for x in clips], rates=RATES),
        ("recall_at_1", "recall_at_10", "segment"),
    )
    for points in lost.values():
        assert points[0] == 0
        assert points[0] < points[1] < points[2]


def test_retrieval_refuses_rates_at_which_no_segment_has_two_frames(clips: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="no segment of 1 s"):
        retrieval(clips, clips, rates=[rate / 1000 for rate in RATES])


def test_action_loses_nothing_then_ever_more(clips: list[np.ndarray]) -> None:
    figures = action(clips, clips)
    assert figures["order"].original > 0.9
    assert figures["speed"].original > 0.6
    for name, deviations in (("order", (0.0, 6.0, 40.0)), ("speed", (0.0, 2.0, 20.0))):
        found = [action(clips, [noisy(x, deviation) for x in clips])[name].points_lost for deviation in deviations]
        assert found[0] == 0
        assert found[0] < found[1] < found[2]


def test_time_reversed_is_told_where_it_can_be() -> None:
    rng = np.random.default_rng(4)
    pulses = np.zeros((240, 1, 24))
    for start in range(0, 240, 8):  # jumps up and fades
        pulses[start : start + 8, 0] = 3 * rng.standard_normal(24) * 0.3 ** np.arange(8)[:, None]
    clip = pulses + 0.01 * rng.standard_normal((240, 16, 24))
    assert action([clip], [clip])["direction"].original > 0.9


def test_linear_loses_nothing_then_ever_more(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = pictures
    lost = lost_over_noise(lambda deviation: linear(x, noisy(x, deviation), labels=labels), ("kind", "kind_retrained"))
    for points in lost.values():
        assert points[0] == 0
        assert points[0] < points[1] < points[2]


def test_classification_loses_nothing_then_ever_more(shared_data: Path) -> None:
    judge = evaluation(shared_data)
    x, labels = np.load(judge.ORIGINAL)[:40], np.load(judge.LABELS)[:40]
    task = partial(classification, x, labels=labels, logits=judge.logits)
    found = [task(noisy(x, deviation * x.astype(np.float32).std())) for deviation in (0, 0.3, 1)]
    assert found[0]["top1"].points_lost == found[0]["kl_nats"].decoded == 0
    assert found[0]["kl_nats"].decoded < found[1]["kl_nats"].decoded < found[2]["kl_nats"].decoded
    assert 0 < found[1]["agreement"].points_lost < found[2]["agreement"].points_lost
    everything = np.ones((len(x), x.shape[1] - 1), bool)
    assert task(x, everything) == found[0]


def test_dropping_no_tokens_is_identity(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = pictures
    attention = np.random.default_rng(5).random((len(x), x.shape[1] - 1))
    kept = most_attended(attention, 1.0)
    assert kept.all()
    _, decoded = dropped(x, kept, stored)
    np.testing.assert_array_equal(decoded, x)
    np.testing.assert_array_equal(present(x, kept), x)
    assert linear(x, decoded, kept, labels=labels)["kind"].points_lost == 0


def test_dropping_keeps_the_most_attended_and_counts_the_mask(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = pictures
    attention = np.random.default_rng(5).random((len(x), x.shape[1] - 1))
    kept = most_attended(attention, 0.25)
    assert (kept.sum(axis=1) == 4).all()
    assert (np.where(kept, attention, 2).min(axis=1) > np.where(kept, -1, attention).max(axis=1)).all()
    bits, decoded = dropped(x, kept, stored)
    np.testing.assert_array_equal(decoded[:, 1:][kept], x[:, 1:][kept])
    assert not decoded[:, 1:][~kept].any()
    alone, _ = stored(present(x, kept))
    assert bits > alone * present(x, kept).size / x.size
    np.testing.assert_allclose(pooled(decoded[:, 1:], kept), present(x, kept)[:, 1:].mean(axis=1, dtype=np.float64))


def evaluation(shared_data: Path) -> Any:
    spec = importlib.util.spec_from_file_location("vit_tail", shared_data / "eval/vit_tail.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
