"""The mixture stage: a projection per track, exact at full rank, and side information that has to fit the chunk."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform import basis
from embdc_cli.codec.transform.mixture import stage
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.parameters import Scope
from embdc_cli.codec.transform.time_dct import matrix
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import LIMITS, rows_of
from tests.codec.mixture.mixture_cases import bit_flips, drawn_maps, drawn_mixture, maps, populations, side_of

FULL = drawn_mixture(5, (5, 5, 5))
PARTIAL = drawn_mixture(5, (3, 0, 5, 1), seed=7)
WIDE = drawn_mixture(40, (40, 9, 0, 33), seed=8)


def tokens_of(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return 4 * rows_of("noise", shape, seed=seed)


def mean_of(mixture: Mixture, modes: np.ndarray) -> np.ndarray:
    """(F, N, D) of the mode of each token."""
    return np.stack([mode.mean for mode in mixture.modes])[modes]


@settings(max_examples=40, deadline=None)
@given(maps(modes=3))
def test_full_rank_is_exact(found: tuple[np.ndarray, np.ndarray]) -> None:
    levels, modes = found
    x = tokens_of((*levels.shape, 5))
    side = side_of(FULL, levels, modes)
    y = FULL.forward(x, side)
    assert y.dtype == np.float32
    assert y.shape == FULL.shape(x.shape, side) == (x.size,)
    back = FULL.inverse(y, side)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, x, atol=1e-4)
    energy = float(((x - mean_of(FULL, modes)).astype(np.float64) ** 2).sum())
    assert float((y.astype(np.float64) ** 2).sum()) == pytest.approx(energy, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(maps(modes=4))
def test_lower_rank_is_an_orthogonal_projection(found: tuple[np.ndarray, np.ndarray]) -> None:
    levels, modes = found
    x = tokens_of((*levels.shape, 5))
    side = side_of(PARTIAL, levels, modes)
    y = PARTIAL.forward(x, side)
    ranks = np.array([mode.rank for mode in PARTIAL.modes])
    assert y.shape == PARTIAL.shape(x.shape, side) == (int(ranks[modes].sum()),)
    projected = PARTIAL.inverse(y, side)
    np.testing.assert_allclose(PARTIAL.forward(projected, side), y, atol=1e-4)
    centred = (x - mean_of(PARTIAL, modes)).astype(np.float64)
    lost = float(((x - projected).astype(np.float64) ** 2).sum())
    assert float((y.astype(np.float64) ** 2).sum()) + lost == pytest.approx(float((centred**2).sum()), rel=1e-5)


def test_coefficients_follow_the_formula_block_by_block() -> None:
    levels, modes = drawn_maps(70, 6, 4, seed=3)
    x = tokens_of((70, 6, 5))
    side = side_of(PARTIAL, levels, modes)
    y, end = PARTIAL.forward(x, side), 0
    for block in PARTIAL.chunk(side).tracks.blocks:
        mode = PARTIAL.modes[block.mode]
        start, end = end, end + block.token_index.size * mode.rank
        part = y[start:end].reshape(block.rows, mode.rank, len(block.tracks))
        for number, index in enumerate(block.token_index):
            track = x[index // 6, index % 6]
            expected = matrix(block.rows) @ ((track - mode.mean) @ mode.synthesis.T)
            np.testing.assert_allclose(part[:, :, number], expected, atol=1e-4)
    assert end == y.size


def test_a_token_is_coded_alike_whatever_is_beside_it() -> None:
    levels, modes = drawn_maps(130, 7, 3, seed=4)
    x = tokens_of((130, 7, 5))
    whole = FULL.inverse(FULL.forward(x, side_of(FULL, levels, modes)), side_of(FULL, levels, modes))
    for part in (np.s_[:, 2:3], np.s_[:, 4:], np.s_[:64], np.s_[64:128], np.s_[128:]):
        side = side_of(FULL, levels[part], modes[part])
        np.testing.assert_allclose(FULL.inverse(FULL.forward(x[part], side), side), whole[part], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(maps(modes=4), st.sampled_from([0.0, 0.02, 0.2, 1.0]), st.integers(0, 99))
def test_few_coefficients_are_synthesised_as_all_would_be(
    found: tuple[np.ndarray, np.ndarray], share: float, seed: int
) -> None:
    """Large blocks leave out frequencies and vectors without a coefficient: every track is still the formula's."""
    levels, modes = found
    side = side_of(WIDE, levels, modes)
    rng = np.random.default_rng(seed)
    (size,) = WIDE.shape((*levels.shape, 40), side)
    y = np.where(rng.random(size) < share, rng.normal(size=size), 0.0).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "LARGE", 0)
        patch.setattr(basis, "_WORTH_PRUNING", 0)
        x, end = WIDE.inverse(y, side).reshape(-1, 40), 0
    for block in WIDE.chunk(side).tracks.blocks:
        mode = WIDE.modes[block.mode]
        start, end = end, end + block.token_index.size * mode.rank
        part = y[start:end].reshape(block.rows, mode.rank, len(block.tracks))
        for number, index in enumerate(block.token_index):
            expected = matrix(block.rows).T @ part[:, :, number] @ mode.synthesis + mode.mean
            np.testing.assert_allclose(x[index], expected, atol=1e-5)


def test_inverse_gives_the_same_bits_every_time() -> None:
    levels, modes = drawn_maps(70, 6, 4, seed=5)
    side = side_of(PARTIAL, levels, modes)
    y = PARTIAL.forward(tokens_of((70, 6, 5)), side)
    before = y.tobytes()
    assert PARTIAL.inverse(y, side).tobytes() == PARTIAL.inverse(y, side).tobytes()
    assert y.tobytes() == before


def test_coefficients_kept_by_measure_are_used_for_that_chunk_alone() -> None:
    """Two still chunks say the same of their tracks, but have other coefficients."""
    x = np.ascontiguousarray(np.broadcast_to(tokens_of((1, 4, 5)), (64, 4, 5)))
    other = x + np.float32(1e-3)
    side = FULL.measure(x)
    assert FULL.measure(other) == side
    fresh = dataclasses.replace(FULL)
    for chunk in (x, other, x):
        FULL.measure(chunk)
        for _ in range(2):  # kept, then calculated
            assert FULL.forward(chunk, side).tobytes() == fresh.forward(chunk, side).tobytes()
    FULL.measure(x)
    assert FULL.forward(other, side).tobytes() == fresh.forward(other, side).tobytes()
    FULL.measure(x)
    elsewhere = side_of(FULL, *drawn_maps(64, 4, 3, seed=6))
    assert FULL.forward(x, elsewhere).tobytes() == fresh.forward(x, elsewhere).tobytes()


def test_threads_know_their_own_chunks() -> None:
    """Each at a chunk of its own, in turns: none works with what another measured or reads again what it has read."""
    chunks = [tokens_of((64, 6, 5), seed) for seed in range(3)]
    expected = []
    for x in chunks:
        alone = dataclasses.replace(PARTIAL)
        side = alone.measure(x)
        expected.append((side, alone.forward(x, side).tobytes()))
    shared = dataclasses.replace(PARTIAL)
    turn = threading.Barrier(len(chunks))

    def work(x: np.ndarray) -> tuple[bytes, bytes]:
        side = shared.measure(x)
        turn.wait(10)
        known = shared.chunk(side)
        turn.wait(10)
        assert shared.chunk(side) is known
        return side, shared.forward(x, side).tobytes()

    with ThreadPoolExecutor(len(chunks)) as pool:
        assert list(pool.map(work, chunks)) == expected


@pytest.mark.parametrize("shape", [(0, 3, 5), (3, 0, 5), (1, 1, 5)])
def test_measure_takes_any_chunk(shape: tuple[int, int, int]) -> None:
    x = tokens_of(shape)
    side = FULL.measure(x)
    assert FULL.shape(shape, side) == (x.size,)
    np.testing.assert_allclose(FULL.inverse(FULL.forward(x, side), side), x, atol=1e-4)


LEVELS_OF_CASE = drawn_maps(65, 3, 4, seed=1)
SIDE = side_of(PARTIAL, *LEVELS_OF_CASE)


@pytest.mark.parametrize("shape", [(64, 3, 5), (66, 3, 5), (65, 2, 5), (65, 4, 5), (3, 65, 5), (0, 0, 5)])
def test_side_information_of_another_chunk_is_corrupt(shape: tuple[int, int, int]) -> None:
    with pytest.raises(CorruptArchive):
        PARTIAL.shape(shape, SIDE)


def test_every_prefix_and_bit_flip_of_the_side_is_corrupt_or_fits() -> None:
    for end in range(len(SIDE)):
        with pytest.raises(CorruptArchive):
            PARTIAL.shape((65, 3, 5), SIDE[:end])
    refused = 0
    for changed in bit_flips(SIDE):
        try:
            (size,) = PARTIAL.shape((65, 3, 5), changed)
        except CorruptArchive:
            refused += 1
            continue
        x = PARTIAL.inverse(np.ones(size, np.float32), changed)
        assert x.shape == (65, 3, 5)
        assert np.isfinite(x).all()
    assert refused > 4 * len(SIDE)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1e-30, 0.1, 1.7, 1e30]), st.integers(1, 6), st.data())
def test_the_stage_comes_back_through_bytes(step: float, channels: int, data: st.DataObject) -> None:
    ranks = tuple(data.draw(st.lists(st.integers(0, channels), min_size=1, max_size=4)))
    drawn = drawn_mixture(channels, ranks)
    mixture = dataclasses.replace(drawn, step=step)
    out = FieldWriter()
    mixture.write(out)
    scope = Scope(channels, 1, LIMITS, fixed_tables(), None, None)
    fields = FieldReader(out.bytes(), "models")
    again = Mixture.read(fields, scope)
    fields.end()
    assert scope.mixture is again
    assert again.step == step
    assert again.tables == mixture.tables
    twice = FieldWriter()
    again.write(twice)
    assert twice.bytes() == out.bytes()
    x = tokens_of((20, 3, channels))
    assert again.measure(x) == mixture.measure(x)


def test_labels_of_measure_are_the_modes_that_fit() -> None:
    """Tokens on the planes of three modes, far apart: each finds its own."""
    x, labels = populations((64, 30, 5), 3)
    means = np.stack([x[:, labels == kind].mean(axis=(0, 1)) for kind in range(3)])
    modes = tuple(
        dataclasses.replace(mode, mean_codes=np.rint(means[kind] * 16).astype(np.int32), mean_exponent=-4)
        for kind, mode in enumerate(FULL.modes)
    )
    mixture = Mixture(modes, FULL.offsets, FULL.tables, 1.0)
    tracks = mixture.chunk(mixture.measure(x)).tracks
    np.testing.assert_array_equal(tracks.mode, labels[tracks.token])


@pytest.mark.parametrize("modes", [1, 2])
def test_single_rows_have_one_mode(modes: int) -> None:
    mixture, out = dataclasses.replace(drawn_mixture(5, (3,) * modes), tables=None), FieldWriter()
    mixture.write(out)
    scope = Scope(5, 1, LIMITS, fixed_tables(), None, None)
    if modes == 1:
        assert Mixture.read(FieldReader(out.bytes(), "models"), scope).tables is None
        return
    with pytest.raises(CorruptArchive, match="one mode"):
        Mixture.read(FieldReader(out.bytes(), "models"), scope)
