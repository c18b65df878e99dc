"""Rows at which scenes begin: found where they were planted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.encoding.scenes import DIMENSIONS, SHORTEST, scene_starts, signatures

TOKENS, CHANNELS = 4, 24


def cuts_at(lengths: list[int], seed: int = 1, *, wobble: float = 0.05) -> np.ndarray:
    """(T, N, D): each scene stands around a point of its own; wobble: rms of its rows around that point."""
    rng = np.random.default_rng(seed)
    scenes = [rng.standard_normal((1, TOKENS, CHANNELS)).repeat(length, axis=0) for length in lengths]
    x = np.concatenate(scenes)
    return x + wobble * rng.standard_normal(x.shape)


def sparse(lengths: list[int]) -> np.ndarray:
    """Scenes of a rectified map: nine values in ten are zero."""
    return np.maximum(cuts_at(lengths) - 1.3, 0)


def fade(rows: int, seed: int = 2) -> np.ndarray:
    """One scene turns into another by equal steps."""
    first, second = np.random.default_rng(seed).standard_normal((2, 1, TOKENS, CHANNELS))
    share = np.linspace(0, 1, rows)[:, None, None]
    return np.asarray(first * (1 - share) + second * share)


def noise(rows: int, seed: int) -> np.ndarray:
    """Rows that have nothing to do with one another."""
    return np.random.default_rng(seed).standard_normal((rows, TOKENS, CHANNELS))


def walk(rows: int, seed: int) -> np.ndarray:
    """Slow change without end."""
    return noise(rows, seed).cumsum(axis=0)


def little_and_much() -> np.ndarray:
    """Three scenes that do not move at all, of which the second differs from the first by a tenth."""
    first, change, other = np.random.default_rng(7).standard_normal((3, 1, TOKENS, CHANNELS))
    return np.concatenate([one.repeat(40, axis=0) for one in (first, first + 0.1 * change, other)])


CASES: dict[str, tuple[Callable[[], np.ndarray], list[int]]] = {
    "one cut": (lambda: cuts_at([40, 40]), [40]),
    "cuts of unlike lengths": (lambda: cuts_at([20, 70, 9, 30]), [20, 90, 99]),
    "unchanging scenes": (lambda: cuts_at([30, 30], wobble=0.0), [30]),
    "a cut away and back": (lambda: np.concatenate([cuts_at([40]), cuts_at([40], 5), cuts_at([40])]), [40, 80]),
    "sparse maps": (lambda: sparse([30, 50]), [30]),
    "the shortest scenes": (lambda: cuts_at([SHORTEST, SHORTEST]), [SHORTEST]),
    "too short at the start": (lambda: cuts_at([SHORTEST - 1, 60]), []),
    "too short at the end": (lambda: cuts_at([60, SHORTEST - 1]), []),
    "too short in between": (lambda: cuts_at([40, SHORTEST - 1, 40]), [40]),
    "float16": (lambda: cuts_at([40, 40]).astype(np.float16), [40]),
    "a little change is none": (little_and_much, [80]),
    "slow fade": (lambda: fade(80), []),
    "fade of many steps": (lambda: fade(400), []),
    "static": (lambda: noise(1, 3).repeat(60, axis=0), []),
    "zeros": (lambda: np.zeros((60, TOKENS, CHANNELS)), []),
    "one row": (lambda: noise(1, 4), []),
    "two rows": (lambda: noise(2, 4), []),
    "no channels": (lambda: np.zeros((40, TOKENS, 0)), []),
}


@pytest.mark.parametrize("name", CASES)
def test_scenes_begin_where_they_were_planted(name: str) -> None:
    make, expected = CASES[name]
    assert scene_starts(signatures(make())) == expected


@pytest.mark.parametrize("make", [noise, walk])
@pytest.mark.parametrize("seed", range(8))
def test_rows_without_scenes_have_none(make: Callable[[int, int], np.ndarray], seed: int) -> None:
    assert scene_starts(signatures(make(300, seed))) == []


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 99), st.integers(1, 3), st.floats(-20, 20))
def test_neither_scale_nor_mean_matters(seed: int, octaves: int, mean: float) -> None:
    x = cuts_at([30, 25, 20], seed)
    found = scene_starts(signatures(x))
    assert found == [30, 55]
    assert scene_starts(signatures(x * 4.0**octaves + mean)) == found


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 99))
def test_scenes_are_never_short(lengths: list[int], seed: int) -> None:
    """Whatever is planted: starts are planted ones, in order, and leave no scene shorter than SHORTEST."""
    bounds = np.cumsum(lengths)
    starts = scene_starts(signatures(cuts_at(lengths, seed, wobble=0.01)))
    assert set(starts) <= set(bounds[:-1].tolist())
    assert all(length >= SHORTEST for length in np.diff([0, *starts, bounds[-1]])) or not starts


def test_signatures_are_those_of_the_mean_token_whatever_the_cut() -> None:
    x = cuts_at([20, 20]).astype(np.float32)
    whole = signatures(x)
    assert whole.shape == (40, DIMENSIONS)
    np.testing.assert_allclose(whole, np.concatenate([signatures(x[:13]), signatures(x[13:])]), rtol=1e-12)
    np.testing.assert_allclose(whole, signatures(x[:, ::-1]), rtol=1e-6, atol=1e-6)
    lengths = (signatures(x[:1]) ** 2).mean()
    assert 0.2 < lengths / (x[0].mean(axis=0).astype(np.float64) ** 2).sum() < 5  # the projection keeps lengths
