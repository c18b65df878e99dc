"""Modes learnt from a sample: planted ones are found, those without tracks are dropped, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codec.transform.mixture.learning import learn
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from tests.codec.codec_cases import rows_of
from tests.codec.mixture.mixture_cases import populations


def agreement(found: np.ndarray, planted: np.ndarray) -> float:
    """Share of tokens whose learnt mode is, by majority, that of one planted kind."""
    table = np.zeros((int(found.max()) + 1, int(planted.max()) + 1), int)
    np.add.at(table, (found.ravel(), planted.ravel()), 1)
    return float(table.max(axis=1).sum() / planted.size)


@pytest.mark.parametrize("kinds", [2, 3, 5])
@pytest.mark.parametrize("motion", [0.0, 0.02, 1.0])
def test_planted_kinds_are_told_apart(kinds: int, motion: float) -> None:
    x, labels = populations((64, 120, 8), kinds, motion=motion, seed=kinds)
    count, [(levels, modes)] = learn([x], kinds, 0.5)
    assert levels.shape == modes.shape == (64, 120)
    assert count == modes.max() + 1 == len(np.unique(modes)) == kinds
    assert agreement(modes, np.tile(labels, (64, 1))) > 0.98


def test_kinds_of_one_mean_are_told_apart_by_their_axes() -> None:
    x, labels = populations((64, 200, 8), 2, motion=0.0, apart=0.0, seed=1)
    rng = np.random.default_rng(0)
    # on two planes through one point, at right angles
    x = np.where(labels[None, :, None] == 0, np.eye(8)[0], np.eye(8)[1]) * 8 * rng.normal(size=(1, 200, 1)) + 0.01 * x
    _, [(_, modes)] = learn([x.astype(np.float32)], 4, 0.2)
    assert agreement(modes, np.tile(labels, (64, 1))) > 0.95


def test_a_scene_that_changes_half_way_has_two_modes_in_time() -> None:
    a, _ = populations((64, 60, 6), 1, seed=1)
    b, _ = populations((64, 60, 6), 1, seed=2)
    x = np.concatenate([a[:32], b[32:]])
    _, [(levels, modes)] = learn([x], 2, 0.5)
    assert (modes[:32] == modes[0, 0]).all()
    assert (modes[32:] == 1 - modes[0, 0]).all()
    assert levels.max() == LEVELS - 2


def test_modes_without_tracks_are_dropped() -> None:
    same = np.full((10, 4, 3), 1.5, np.float32)
    count, [(levels, modes)] = learn([same], 5, 0.5)
    assert count == 1
    assert not modes.any()
    assert levels[0, 0] == 3


def test_modes_that_are_left_are_numbered_from_0() -> None:
    dropped = 0
    for seed in range(4):
        x, _ = populations((16, 12, 4), 2, motion=0.3, seed=seed)
        count, [(_, modes)] = learn([x], 30, 3.0)
        assert np.unique(modes).tolist() == list(range(count))
        dropped += count < 30
    assert dropped


def test_arrays_of_all_lengths_are_learnt_from_together() -> None:
    x, labels = populations((64, 90, 6), 2)
    parts = [x[:, :40], x[:17, 40:70], x[:1, 70:]]
    count, maps = learn(parts, 2, 0.5)
    assert count == 2
    planted = np.concatenate([labels[:40], labels[40:70], labels[70:]])
    found = np.concatenate([modes[0] for _, modes in maps])
    assert agreement(found, planted) == 1.0
    for part, (levels, modes) in zip(parts, maps, strict=True):
        assert (1 << Tracks.of_maps(levels, modes).level).sum() == part[..., 0].size


@pytest.mark.parametrize("kind", ["moving", "noise", "sparse"])
def test_the_same_sample_gives_the_same_modes(kind: str) -> None:
    x = rows_of(kind, (70, 30, 5))
    count, maps = learn([x, x[:5]], 6, 0.7)
    again, others = learn([x.copy(), x[:5].copy()], 6, 0.7)
    assert count == again
    assert 1 <= count <= 6
    for mine, other in zip(maps, others, strict=True):
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[1], other[1])
