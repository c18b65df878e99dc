"""The search for tracks and modes: kernels alike, cuts where scenes change, none cheaper to be had by a full search."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform.mixture.search import TRACK_BITS, Searcher, cpu, nearest, reference
from embdc_cli.codec.transform.mixture.search.nearest import NEAREST, UNIT, Nearest
from embdc_cli.codec.transform.mixture.tracks import LEVELS, SPAN, Tracks
from embdc_cli.codec.transform.time_dct import matrix
from tests.codec.codec_cases import rows_of
from tests.codec.mixture.mixture_cases import ROWS, drawn_maps, drawn_mixture, longest_level, populations

Modes = list[tuple[np.ndarray, np.ndarray]]


def modes_of(channels: int, ranks: tuple[int, ...], seed: int = 0) -> Modes:
    drawn = drawn_mixture(channels, ranks, seed)
    return [(mode.mean / 8, mode.synthesis) for mode in drawn.modes]


def run_cost(run: np.ndarray, mode: tuple[np.ndarray, np.ndarray], reach: float) -> float:
    """What the docstring of the search says a track (L, D) costs, in float64."""
    mean, basis = (part.astype(np.float64) for part in mode)
    centred = run.astype(np.float64) - mean
    inside = centred @ basis.T
    outside = float((centred**2).sum() - (inside**2).sum())
    y = matrix(len(run)).astype(np.float64) @ inside
    terms = np.minimum((y / reach) ** 2, reference.LARGEST)
    return float(np.log2(1 + terms).sum() / 2 + outside / (2 * np.log(2) * reach**2) + TRACK_BITS)


def cut_cost(x: np.ndarray, levels: np.ndarray, modes: np.ndarray, known: Modes, reach: float) -> float:
    tracks = Tracks.of_maps(levels, modes)
    return sum(
        run_cost(x[start : start + (1 << level), token], known[mode], reach)
        for start, token, level, mode in zip(tracks.starts, tracks.token, tracks.level, tracks.mode, strict=True)
    )


# kernels


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 4), st.sampled_from([1, 2, 4, 64]), st.integers(0, 5), st.integers(0, 70), st.integers(0, 1 << 32)
)
def test_kernels_agree_up_to_rounding(runs: int, length: int, tokens: int, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.normal(size=(runs, length, tokens, rank)) * np.exp2(rng.uniform(-30, 30, rank))).astype(np.float32)
    y[rng.random(y.shape) < 0.1] = 0.0
    residual = (rng.exponential(size=(runs, length, tokens)) * 10).astype(np.float32)
    scale = float(np.exp2(rng.uniform(-10, 10)))
    found = [np.full((runs, tokens), np.nan) for _ in range(2)]
    for kernel, cost in zip((reference, cpu), found, strict=True):
        kernel.track_costs(y, residual, scale, cost)
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 40, 64])
@pytest.mark.parametrize("modes", [1, 3, 9, 64])
@pytest.mark.parametrize("places", [1, 4, 9])
def test_kernels_mark_the_same_modes(rows: int, modes: int, places: int) -> None:
    rng = np.random.default_rng(rows + modes)
    projected = rng.normal(size=(rows, 5, places, modes)).astype(np.float32)
    runs = sum(rows >> level for level in range(LEVELS))
    energies = rng.exponential(40, (runs, 5)).astype(np.float32)
    others = rng.integers(1, 9, modes).astype(np.float64)
    numbers = np.array(NEAREST[: rows.bit_length()])
    found = [np.zeros((-(-rows // UNIT), 5, modes), bool) for _ in range(2)]
    for kernel, near in zip((reference, cpu), found, strict=True):
        kernel.mark_nearest(projected, energies, others, 0.7, numbers, UNIT, near)
    np.testing.assert_array_equal(found[1], found[0])
    assert (found[0].sum(axis=2) >= min(modes, NEAREST[0])).all()


def test_the_kernel_is_the_cost_of_the_docstring() -> None:
    x = 3 * rows_of("noise", (16, 1, 7))
    mode = modes_of(7, (4,))[0]
    y = (x - mode[0]) @ mode[1].T
    residual = ((x - mode[0]) ** 2).sum(axis=2) - (y**2).sum(axis=2)
    part = np.matmul(matrix(16), y[:, 0])[None, :, None]
    for kernel in (reference, cpu):
        cost = np.zeros((1, 1))
        kernel.track_costs(np.ascontiguousarray(part), residual[None], 1 / 0.3**2, cost)
        assert cost[0, 0] + TRACK_BITS == pytest.approx(run_cost(x[:, 0], mode, 0.3), rel=1e-5)


# candidates


def many_modes(modes: int, channels: int, seed: int) -> tuple[np.ndarray, Modes]:
    """(scene (130, 60, D), the mean and axes of each of the kinds of its tokens), some of which change kind."""
    x, labels = populations((130, 60, channels), modes, seed=seed)
    x[70:, :10] = x[70:, 10:20]
    known = []
    for kind in np.unique(labels):
        own = x[:70, labels == kind].reshape(-1, channels)
        axes = np.linalg.svd(own - own.mean(axis=0), full_matrices=False)[2][: 3 + kind % 5]
        known.append((own.mean(axis=0), axes.copy()))
    return x, known


@pytest.mark.parametrize("seed", range(3))
def test_few_modes_are_tried_and_hardly_ever_another_would_be_cheaper(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, known = many_modes(24, 16, seed)
    reach = 0.3
    found = cut_cost(x, *Searcher(known, reach).maps(x), known, reach)
    monkeypatch.setattr(nearest, "NEAREST", (len(known),) * LEVELS)
    full = cut_cost(x, *Searcher(known, reach).maps(x), known, reach)
    assert full * (1 - 1e-6) <= found <= full * 1.001
    monkeypatch.undo()
    tried = Nearest(known, 1 / reach**2).of(x[:64]).sum(axis=2)
    assert NEAREST[0] <= tried.min()
    assert tried.mean() < 8


def test_long_runs_are_tried_only_under_modes_of_all_their_units() -> None:
    """Tokens that stand nearly still but for another of 24 far kinds every 4 rows: no run may join rows of two."""
    rng = np.random.default_rng(4)
    known = [(10 * mean, np.zeros((0, 8), np.float32)) for mean in rng.normal(size=(24, 8)).astype(np.float32)]
    planted = np.array([rng.permutation(24)[:8] for _ in range(20)]).T.repeat(4, axis=0)
    x = np.array([known[kind][0] for kind in planted.ravel()]).reshape(32, 20, 8)
    levels, modes = Searcher(known, 0.5).maps(x + 0.01 * rng.normal(size=x.shape).astype(np.float32))
    np.testing.assert_array_equal(modes, planted)
    np.testing.assert_array_equal(levels, 2)


def test_candidates_are_foretold_exactly_where_all_vectors_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of single rows: with no coefficient left over but one, the foretold order is the true one."""
    rng = np.random.default_rng(0)
    known = [(mean - mean[-1], np.eye(5, 6, dtype=np.float32)) for mean in rng.normal(size=(12, 6)).astype(np.float32)]
    x = rng.normal(size=(1, 30, 6)).astype(np.float32)
    x[..., -1] = 0.0
    monkeypatch.setattr(nearest, "NEAREST", (1,) * LEVELS)
    near = Nearest(known, 4.0).of(x)[0]
    for token in range(30):
        costs = [run_cost(x[:, token], mode, 0.5) for mode in known]
        assert np.flatnonzero(near[token]).tolist() == [int(np.argmin(costs))]


# cuts


@pytest.mark.parametrize("rows", [*ROWS, 2, 7, 0])
@pytest.mark.parametrize("tokens", [1, 6])
def test_maps_are_a_cut_of_any_chunk(rows: int, tokens: int) -> None:
    x = rows_of("moving", (rows, tokens, 5))
    levels, modes = Searcher(modes_of(5, (3, 5, 0)), 0.5).maps(x)
    assert levels.shape == modes.shape == (rows, tokens)
    tracks = Tracks.of_maps(levels, modes)
    index = np.concatenate([np.zeros(0, int), *(block.token_index.ravel() for block in tracks.blocks)])
    assert sorted(index.tolist()) == list(range(rows * tokens))
    assert not index.size or 0 <= modes.min() <= modes.max() < 3
    for block in tracks.blocks:
        np.testing.assert_array_equal(levels.ravel()[block.token_index], block.level)
        np.testing.assert_array_equal(modes.ravel()[block.token_index], block.mode)


def every_cut(row: int, stop: int, rows: int, modes: int) -> Iterator[list[tuple[int, int, int]]]:
    """All ways to cut rows `row` to `stop` of one token into (start, level, mode)."""
    if row == stop:
        yield []
        return
    for level in range(longest_level(row, rows) + 1):
        for mode in range(modes):
            for rest in every_cut(row + (1 << level), stop, rows, modes):
                yield [(row, level, mode), *rest]


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
@pytest.mark.parametrize("reach", [0.3, 2.0, 8.0])
def test_no_cut_at_all_is_cheaper(rows: int, reach: float) -> None:
    known = modes_of(4, (2, 4), seed=3)
    for seed in range(6):
        x = (2, reach)[seed % 2] * rows_of("moving", (rows, 1, 4), seed=seed)
        found = cut_cost(x, *Searcher(known, reach).maps(x), known, reach)
        costs = {
            (start, level, mode): run_cost(x[start : start + (1 << level), 0], known[mode], reach)
            for start in range(rows)
            for level in range(longest_level(start, rows) + 1)
            for mode in range(2)
        }
        least = min(sum(costs[track] for track in cut) for cut in every_cut(0, rows, rows, 2))
        assert found == pytest.approx(least, rel=1e-4)


@pytest.mark.parametrize("rows", [64, 70, 130])
@pytest.mark.parametrize("kind", ["moving", "noise", "still"])
def test_the_cut_costs_no_more_than_others(rows: int, kind: str) -> None:
    x = rows_of("noise" if kind == "still" else kind, (rows, 4, 6))
    x = np.repeat(x[:1], rows, axis=0) + 0.01 * x if kind == "still" else x
    known = modes_of(6, (4, 6), seed=1)
    found = cut_cost(x, *Searcher(known, 0.5).maps(x), known, 0.5)
    fits = np.array([longest_level(row, rows) for row in range(rows)])
    for level in range(LEVELS):
        for mode in range(2):
            uniform, row = np.zeros((rows, 4), int), 0
            while row < rows:
                own = min(level, fits[row])
                uniform[row : row + (1 << own)] = own
                row += 1 << own
            assert found <= cut_cost(x, uniform, np.full_like(uniform, mode), known, 0.5) * (1 + 1e-5)
    for seed in range(3):
        assert found <= cut_cost(x, *drawn_maps(rows, 4, 2, seed), known, 0.5) * (1 + 1e-5)


def test_tokens_are_cut_where_their_scene_changes() -> None:
    """Each token stands still but for one jump, at a row of its own: long tracks up to it and from it on."""
    known = modes_of(6, (6,))
    before, after = 3 * rows_of("noise", (2, 9, 6))
    jumps = np.array([0, 8, 16, 24, 32, 40, 48, 56, 32])  # nearer to an end, joining both is as cheap
    x = np.where(np.arange(SPAN)[:, None, None] < jumps[:, None], before, after)
    levels = Searcher(known, 0.1).maps(x.astype(np.float32))[0]
    for token, jump in enumerate(jumps.tolist()):
        starts = {row for row in range(1, SPAN) if row % (1 << levels[row, token]) == 0}
        assert not jump or jump in starts
        # the fewest dyadic runs that have the jump between them: one for each bit of the rows on either side
        ideal = jump.bit_count() + (SPAN - jump).bit_count()
        assert len(starts) + 1 <= ideal
    np.testing.assert_array_equal(levels[:, 0], LEVELS - 1)


def test_two_populations_find_their_modes() -> None:
    x, labels = populations((40, 50, 6))
    known = []
    for kind in range(2):
        own = x[:, labels == kind].reshape(-1, 6)
        known.append((own.mean(axis=0), np.linalg.svd(own - own.mean(axis=0), full_matrices=False)[2].copy()))
    _, modes = Searcher(known, 0.1).maps(x)
    np.testing.assert_array_equal(modes, np.tile(labels, (40, 1)))
    moved = x.copy()
    moved[16:32, 7] = x[16:32, np.flatnonzero(labels != labels[7])[0]]
    _, modes = Searcher(known, 0.1).maps(moved)
    assert (modes[16:32, 7] != labels[7]).all()
    assert (modes[32:, 7] == labels[7]).all()


def test_spans_and_tokens_are_searched_on_their_own() -> None:
    x = rows_of("moving", (150, 5, 6))
    searcher = Searcher(modes_of(6, (3, 5, 6), seed=2), 0.5)
    levels, modes = searcher.maps(x)
    for part in (np.s_[:64], np.s_[64:128], np.s_[128:], np.s_[:, 1:3]):
        for mine, other in zip(searcher.maps(x[part]), (levels, modes), strict=True):
            np.testing.assert_array_equal(mine, other[part])


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e15, 3e37])
def test_extreme_tokens_still_have_a_cut(scale: float) -> None:
    x = (rows_of("noise", (65, 3, 4)) * scale).astype(np.float32)
    with np.errstate(all="ignore"):
        levels, modes = Searcher(modes_of(4, (2, 4)), 0.5).maps(x)
    tracks = Tracks.of_maps(levels, modes)
    assert (1 << tracks.level).sum() == x[..., 0].size
