"""Dependent quantisation: kernels agree, paths are the cheapest, and it beats plain rounding."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform import rdoq, trellis
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.codec.transform.trellis import cpu, reference
from embdc_cli.entropy import dependent
from embdc_cli.entropy.dependent.points import points_of
from embdc_cli.entropy.levels import cost_levels
from embdc_cli.entropy.tables import classes_of_means
from tests.entropy.entropy_cases import dependent_cost
from tests.entropy.pinned_tables import PINNED

SIZES = st.tuples(st.integers(0, 7), st.one_of(st.integers(0, 4), st.sampled_from([15, 16, 17, 33])))


def drawn(blocks: np.ndarray, seed: int, zeros: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Values and classes that suit them more or less; a few NaN, infinities, ties and huge numbers among them."""
    rng = np.random.default_rng(seed)
    count = int(blocks.prod(axis=1).sum())
    classes = rng.integers(1, 64, count).astype(np.uint8)
    classes[rng.random(count) < zeros] = 0
    values = rng.laplace(0, 2.0 ** ((classes - 20.0) / 2) + 0.5)
    values = np.where(rng.random(count) < 0.1, np.rint(values), values)
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -1e20, -0.0, 1e-45])
    values = np.where(rng.random(count) < 0.05, rng.choice(odd, count), values)
    return values.astype(np.float32), classes


@settings(max_examples=80, deadline=None)
@given(
    st.lists(SIZES, max_size=4),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.3, 0.5, 7.0]),
)
def test_kernels_agree(sizes: list[tuple[int, int]], seed: int, lagrangian: float) -> None:
    blocks = np.array(sizes, np.int64).reshape(-1, 2)
    values, classes = drawn(blocks, seed)
    kept = dependent.checked_blocks(blocks, values.size)
    levels, fast = (k.choose(values, classes, kept, trellis.prices(lagrangian, PINNED)) for k in (reference, cpu))
    assert levels.dtype == fast.dtype == np.int32
    assert np.array_equal(levels, fast)
    assert np.array_equal(levels, trellis.choose(values, classes, blocks, lagrangian, PINNED))
    assert not levels[classes == 0].any()
    assert np.abs(levels).max(initial=0) <= MAX_LEVEL
    assert np.array_equal(
        dependent.decode(dependent.encode(levels, classes, blocks, PINNED), classes, blocks, PINNED)[0], levels
    )


@pytest.mark.parametrize("lagrangian", [0.0, 0.25, 1.0])
def test_kernels_agree_on_ties(lagrangian: float) -> None:
    """Whole half steps and prices that are sums of powers of two, so that paths often cost exactly the same."""
    rng = np.random.default_rng(9)
    values, classes = rng.integers(-9, 10, 6000).astype(np.float32), np.full(6000, 20, np.uint8)
    blocks = np.array([[30, 150], [1500, 1]])
    prices = trellis.prices(lagrangian, PINNED)
    prices = prices._replace(
        zero=np.full_like(prices.zero, 4 * lagrangian), nonzero=np.full_like(prices.nonzero, 5 * lagrangian)
    )
    assert np.array_equal(*(kernel.choose(values, classes, blocks, prices) for kernel in (reference, cpu)))


@pytest.mark.parametrize("shape", [(9, 1), (30, 5), (20, 40)])
def test_tracks_do_not_see_each_other(shape: tuple[int, int]) -> None:
    blocks = np.array([shape])
    values, classes = drawn(blocks, 8)
    together = trellis.choose(values, classes, blocks, 0.4, PINNED).reshape(shape)
    for track in range(shape[1]):
        own = [np.ascontiguousarray(a.reshape(shape)[:, track]) for a in (values, classes)]
        assert np.array_equal(trellis.choose(*own, np.array([[shape[0], 1]]), 0.4, PINNED), together[:, track])
    stacked = np.tile(values, 2), np.tile(classes, 2), np.concatenate([blocks, blocks])
    assert np.array_equal(trellis.choose(*stacked, 0.4, PINNED), np.tile(together.ravel(), 2))


def points(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """(n,) float32: the points of levels, in half steps."""
    return points_of(levels, dependent.quantisers(levels, classes, blocks, PINNED)).astype(np.float32)


def path_cost(levels: np.ndarray, values: np.ndarray, classes: np.ndarray, lagrangian: float) -> float:
    """What `choose` minimises, for one track, from the points and the coder's own cost."""
    column = np.array([[levels.size, 1]])
    error = values.astype(np.float64) - points(levels, classes, column)
    return float((error**2).sum() + lagrangian * dependent_cost(levels, classes, column))


@pytest.mark.parametrize("lagrangian", [0.0, 0.3, 2.0])
def test_no_other_path_is_cheaper(lagrangian: float) -> None:
    """Against all combinations of 0 and the two neighbours in either quantiser, on tracks of five."""
    rng = np.random.default_rng(1)
    for seed in range(6):
        classes = np.sort(rng.integers(8, 28, 5)).astype(np.uint8)
        values = rng.laplace(0, 3, 5).astype(np.float32)
        if seed % 2:
            classes[rng.integers(5)] = 0
        choices = []
        for value, cls in zip(values.tolist(), classes.tolist(), strict=True):
            k0, k1 = int(abs(value) / 2), int((abs(value) + 1) / 2)
            near = {0, k0, k0 + 1, k1, k1 + 1} if cls else {0}
            choices.append([int(np.copysign(k, value)) for k in sorted(near)])
        best = min(
            path_cost(np.array(path, np.int32), values, classes, lagrangian) for path in itertools.product(*choices)
        )
        found = trellis.choose(values, classes, np.array([[5, 1]]), lagrangian, PINNED)
        assert path_cost(found, values, classes, lagrangian) <= best + 1e-6 + 0.02 * lagrangian


def test_values_on_points_of_a_path_stay_there() -> None:
    """With bits for free the points of any path are its own cheapest ones."""
    rng = np.random.default_rng(3)
    classes = np.full(600, 20, np.uint8)
    levels = rng.integers(-5, 6, 600).astype(np.int32)
    blocks = np.array([[20, 30]])
    exact = points(levels, classes, blocks)
    assert np.array_equal(points(trellis.choose(exact, classes, blocks, 0.0, PINNED), classes, blocks), exact)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_wild_values_are_limited(value: float) -> None:
    values, classes = np.full(40, value, np.float32), np.full(40, 63, np.uint8)
    levels = trellis.choose(values, classes, np.array([[8, 5]]), 0.5, PINNED)
    assert np.array_equal(np.sign(levels), np.full(40, 0 if np.isnan(value) else np.sign(value)))
    if not np.isnan(value):
        assert np.abs(levels).min() >= MAX_LEVEL - 2
        assert np.abs(levels).max() <= MAX_LEVEL


def plain_rate(planes: np.ndarray, step: float) -> tuple[float, float]:
    """(error, bits per value) of rate-distortion optimised rounding of planes (planes, tracks) at this step."""
    u = (planes / np.float32(step)).ravel()
    levels = np.floor(np.abs(u) + 0.25)
    for _ in range(3):
        classes = plane_classes(levels.reshape(planes.shape))
        levels = rdoq.quantise(u, classes, rdoq.thresholds(0.1, (0, 0, 0)))
    return float(((u - levels) ** 2).mean()) * step**2, cost_levels(levels, classes) / 256 / u.size


def dependent_rate(planes: np.ndarray, half_step: float) -> tuple[float, float]:
    """(error, bits per value) of the trellis at this half step."""
    v, blocks = (planes / np.float32(half_step)).ravel(), np.array([planes.shape])
    levels = np.floor(np.abs(v) / 2 + 0.25)
    for _ in range(3):
        classes = plane_classes(levels.reshape(planes.shape))
        levels = trellis.choose(v, classes, blocks, 0.3, PINNED)
    error = v - points(levels, classes, blocks)
    return float((error**2).mean()) * half_step**2, dependent_cost(levels, classes, blocks) / v.size


def plane_classes(levels: np.ndarray) -> np.ndarray:
    classes = classes_of_means(np.abs(levels).sum(axis=1), np.full(len(levels), levels.shape[1]))
    return np.repeat(np.maximum(classes, 1), levels.shape[1])


def saving(planes: np.ndarray, step: float) -> float:
    """The share of the bits that the trellis saves at the error that plain rounding makes with this step."""
    error, bits = plain_rate(planes, step)
    errors, rates = zip(*(dependent_rate(planes, step * ratio) for ratio in (0.5, 0.57, 0.64, 0.71)), strict=True)
    assert errors[0] < error < errors[-1]
    return 1 - float(np.exp(np.interp(np.log(error), np.log(errors), np.log(rates)))) / bits


@pytest.mark.parametrize(("scale", "least"), [(0.7, 0.01), (2.0, 0.02), (8.0, 0.03)])
def test_dependent_levels_beat_plain_ones(scale: float, least: float) -> None:
    """Laplacian planes whose scale falls as that of real ones, at about 0.5, 1 and 3 bits per value."""
    rng = np.random.default_rng(7)
    planes = rng.laplace(0, 1, (96, 300)) * (6 * scale / np.sqrt(np.arange(1, 97)))[:, None]
    assert saving(planes.astype(np.float32), 2.0) > least


def test_real_coefficients_cost_less(shared_data: Path) -> None:
    """KLT coefficients of a clip at about 1.3 bits per value: at least 3 % less than optimised rounding takes."""
    rows = np.load(shared_data / "data" / "embeddings" / "nasa__vit-tiny__final.npy").astype(np.float64)
    flat = rows.reshape(-1, rows.shape[-1])[:5000]
    flat = flat - flat.mean(axis=0)
    planes = (flat @ np.linalg.eigh(flat.T @ flat)[1][:, ::-1]).T.astype(np.float32)
    assert saving(planes, 0.5 * float(np.sqrt(np.mean(planes**2)))) > 0.03


@pytest.mark.parametrize(
    ("values", "classes", "blocks", "lagrangian"),
    [
        (np.zeros(4), np.ones(4, np.uint8), [[2, 2]], 0.5),
        (np.zeros(4, np.float32), np.ones(4, int), [[2, 2]], 0.5),
        (np.zeros(4, np.float32), np.ones(5, np.uint8), [[2, 2]], 0.5),
        (np.zeros((2, 2), np.float32), np.ones((2, 2), np.uint8), [[2, 2]], 0.5),
        (np.zeros(4, np.float32), np.full(4, 64, np.uint8), [[2, 2]], 0.5),
        (np.zeros(4, np.float32), np.ones(4, np.uint8), [[2, 3]], 0.5),
        (np.zeros(4, np.float32), np.ones(4, np.uint8), [[2, 2]], -0.5),
        (np.zeros(4, np.float32), np.ones(4, np.uint8), [[2, 2]], np.nan),
        (np.zeros(4, np.float32), np.ones(4, np.uint8), [[2, 2]], np.inf),
    ],
)
def test_other_arguments_are_refused(
    values: np.ndarray, classes: np.ndarray, blocks: list[list[int]], lagrangian: float
) -> None:
    with pytest.raises(ValueError, match=r"trellis|dependent levels"):
        trellis.choose(values, classes, np.array(blocks), lagrangian, PINNED)
