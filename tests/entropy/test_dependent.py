"""Dependent levels: kernels agree, levels come back, sizes meet the costs, hostile bytes are corrupt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.entropy import dependent
from embdc_cli.entropy.dependent import cpu, reference
from embdc_cli.entropy.dependent.points import levels_of, points_of
from embdc_cli.entropy.dependent.states import NEXT
from embdc_cli.entropy.dependent.tables import direct_magnitudes
from embdc_cli.entropy.rans.layout import split_payload
from embdc_cli.entropy.tables import class_rows
from embdc_cli.errors import CorruptArchive
from tests.entropy.entropy_cases import dependent_cost, drawn_levels
from tests.entropy.pinned_tables import PINNED


@st.composite
def shapes(draw: st.DrawFn) -> np.ndarray:
    """Blocks (b, 2), empty ones among them."""
    sizes = st.tuples(st.integers(0, 6), st.one_of(st.integers(0, 5), st.sampled_from([31, 32, 33, 70])))
    return np.array(draw(st.lists(sizes, max_size=5)), np.int64).reshape(-1, 2)


def drawn(blocks: np.ndarray, seed: int, zeros: float = 0.2, highest: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Levels and classes; a share of the positions has class 0."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, highest, int(blocks.prod(axis=1).sum())).astype(np.uint8)
    classes[rng.random(classes.size) < zeros] = 0
    return drawn_levels(classes, seed), classes


def test_states_are_a_trellis() -> None:
    """Every state is entered from two others of the same quantiser, and s and s + 4 lead to the same two states."""
    assert sorted(NEXT.ravel().tolist()) == sorted(2 * list(range(8)))
    for state in range(4):
        assert set(NEXT[state].tolist()) == set(NEXT[state + 4].tolist()) == {2 * state, 2 * state + 1}


@settings(max_examples=60, deadline=None)
@given(shapes(), st.integers(0, 99), st.sampled_from([1, 2, 8, 32]))
def test_kernels_agree(blocks: np.ndarray, seed: int, lanes: int) -> None:
    levels, classes = drawn(blocks, seed)
    blocks = dependent.checked_blocks(blocks, levels.size)
    tables, direct = PINNED, direct_magnitudes(PINNED)
    slow, fast = (kernel.quantisers(levels, classes, blocks, direct) for kernel in (reference, cpu))
    assert slow.dtype == fast.dtype == np.uint8
    assert np.array_equal(slow, fast)
    small = np.clip(levels, 1 - 2**30, 2**30 - 1)
    slow, fast = (kernel.points_of(small, slow) for kernel in (reference, cpu))
    assert slow.dtype == fast.dtype == np.int32
    assert np.array_equal(slow, fast)
    rng = np.random.default_rng(seed)
    states = rng.integers(65536, 2**32, lanes).astype(np.uint32)
    words = rng.integers(0, 65536, rng.integers(0, levels.size + 2)).astype(np.uint16)
    (*slow, whole), (*fast, fast_whole) = (k.decode(states, words, classes, blocks, tables) for k in (reference, cpu))
    assert whole == fast_whole
    assert not whole or all(map(np.array_equal, slow, fast))


@settings(max_examples=60, deadline=None)
@given(shapes(), st.integers(0, 99))
def test_any_levels_come_back(blocks: np.ndarray, seed: int) -> None:
    levels, classes = drawn(blocks, seed)
    data = dependent.encode(levels, classes, blocks, PINNED)
    assert np.array_equal(dependent.decode(data, classes, blocks, PINNED)[0], levels)
    assert 8 * len(data) <= dependent_cost(levels, classes, blocks) + 8 * 5 + 32 + 16 + 5 * 8
    if levels.size:
        payload = memoryview(data)[1 : 1 + data[0]]
        if 0 < data[0] < 128:
            tables, kept = PINNED, dependent.checked_blocks(blocks, levels.size)
            results = [kernel.decode(*split_payload(payload), classes, kept, tables) for kernel in (reference, cpu)]
            for symbols, chosen, whole in results:
                assert whole
                assert np.array_equal(symbols, results[0][0])
                assert np.array_equal(chosen, dependent.quantisers(levels, classes, blocks, tables))


def test_quantisers_follow_the_states() -> None:
    """Two tracks by hand: parity of the level leads, an escape is odd, class 0 does not move, low bits do not count."""
    levels = np.array([[1, 0], [0, 2], [1, 0], [3, 1], [2, 0], [1, 40]], np.int32)
    classes = np.array([[20, 0], [20, 20], [20, 0], [20, 20], [20, 20], [20, 26]], np.uint8)
    # left: 0 -1-> 1 -0-> 2 -1-> 4 -1-> 0 -0-> 0;  right: stays in 0, -0-> 0, stays, -1-> 1, -0-> 2
    expected = [[0, 0], [1, 0], [0, 0], [0, 0], [0, 1], [0, 0]]
    blocks = np.array([[6, 2]])
    assert dependent.quantisers(levels.ravel(), classes.ravel(), blocks, PINNED).tolist() == np.ravel(expected).tolist()
    column = np.array([[3, 1]])
    twenty = np.full(3, 20, np.uint8)
    assert dependent.quantisers(np.array([100, 0, 0], np.int32), twenty, column, PINNED).tolist() == [0, 1, 0]
    low = np.array([30, 20, 20], np.uint8)  # three low bits: 7 >> 3 is even, 8 >> 3 is odd
    assert dependent.quantisers(np.array([7, 0, 0], np.int32), low, column, PINNED).tolist() == [0, 0, 0]
    assert dependent.quantisers(np.array([-8, 0, 0], np.int32), low, column, PINNED).tolist() == [0, 1, 0]


def test_points_are_the_definition() -> None:
    rng = np.random.default_rng(6)
    classes = rng.integers(0, 26, (40, 25)).astype(np.uint8)
    levels = np.where(classes > 0, np.rint(rng.laplace(0, 4, (40, 25))), 0).astype(np.int32)
    rows, direct = class_rows(), direct_magnitudes(PINNED)
    expected = np.zeros(levels.shape, np.int32)
    for track in range(25):
        state = 0
        for plane in range(40):
            k, cls = int(levels[plane, track]), int(classes[plane, track])
            if cls == 0:
                continue
            expected[plane, track] = np.sign(k) * (2 * abs(k) - state % 2) if k else 0
            state = NEXT[state, abs(k) % 2 if abs(k) < direct[rows[cls]] else 1]
    found = dependent.path_points(levels.ravel(), classes.ravel(), np.array([[40, 25]]), PINNED)
    assert found.dtype == np.int32
    assert np.array_equal(found, expected.ravel())


@given(st.lists(st.tuples(st.integers(-(2**30) + 1, 2**30 - 1), st.integers(0, 1)), max_size=50))
def test_levels_of_points_are_those_whatever_the_quantiser(drawn_pairs: list[tuple[int, int]]) -> None:
    levels, chosen = np.array(drawn_pairs, np.int64).reshape(-1, 2).T
    points = points_of(levels.astype(np.int32), chosen.astype(np.uint8))
    assert points.dtype == levels_of(points).dtype == np.int32
    assert np.array_equal(levels_of(points), levels)
    assert np.array_equal(np.abs(points) % 2, np.where(levels == 0, 0, chosen))


def test_blocks_begin_in_state_zero_and_empty_ones_change_nothing() -> None:
    levels, classes = drawn(np.array([[4, 30]]), 3)
    whole = np.array([[4, 30]])
    twice = np.array([[4, 30], [4, 30]])
    around = np.array([[0, 10**12], [4, 30], [10**12, 0]])
    expected = dependent.quantisers(levels, classes, whole, PINNED)
    assert expected.any()
    double = dependent.quantisers(np.tile(levels, 2), np.tile(classes, 2), twice, PINNED)
    assert np.array_equal(double, np.tile(expected, 2))
    assert dependent.encode(levels, classes, around, PINNED) == dependent.encode(levels, classes, whole, PINNED)


def test_a_position_of_class_zero_is_as_if_it_were_not_there() -> None:
    levels, classes = drawn(np.array([[50, 1]]), 4, zeros=0.5)
    kept = classes > 0
    full, rest = np.array([[50, 1]]), np.array([[np.count_nonzero(kept), 1]])
    assert dependent.encode(levels, classes, full, PINNED) == dependent.encode(
        levels[kept], classes[kept], rest, PINNED
    )
    zeros = np.zeros(10**5, np.int32)
    assert dependent.encode(zeros, zeros.astype(np.uint8), np.array([[100, 1000]]), PINNED) == b"\0"
    with pytest.raises(ValueError, match="class 0"):
        dependent.encode(zeros + 1, zeros.astype(np.uint8), np.array([[100, 1000]]), PINNED)


@pytest.mark.parametrize("cls", range(1, 26, 4))
def test_size_meets_the_cost(cls: int) -> None:
    classes = np.full(200_000, cls, np.uint8)
    levels = drawn_levels(classes)
    blocks = np.array([[100, 1500], [250, 200]])
    cost_bytes = dependent_cost(levels, classes, blocks) / 8
    size = len(dependent.encode(levels, classes, blocks, PINNED))
    assert abs(size - cost_bytes) <= 0.006 * cost_bytes + 16


@pytest.mark.parametrize(
    ("levels", "classes", "blocks"),
    [
        (np.zeros(2, np.int64), np.zeros(2, np.uint8), [[1, 2]]),
        (np.zeros(2, np.int32), np.zeros(3, np.uint8), [[1, 2]]),
        (np.zeros((1, 2), np.int32), np.zeros((1, 2), np.uint8), [[1, 2]]),
        (np.zeros(2, np.int32), np.full(2, 64, np.uint8), [[1, 2]]),
        (np.full(2, -(2**31), np.int32), np.full(2, 40, np.uint8), [[1, 2]]),
        (np.zeros(2, np.int32), np.zeros(2, np.uint8), [[1, 3]]),
        (np.zeros(2, np.int32), np.zeros(2, np.uint8), [[-1, -2]]),
        (np.zeros(2, np.int32), np.zeros(2, np.uint8), [[1.0, 2.0]]),
        (np.zeros(2, np.int32), np.zeros(2, np.uint8), [1, 2]),
        (np.zeros(2, np.int32), np.zeros(2, np.uint8), [[2**32, 2**32], [1, 2]]),
    ],
)
def test_other_arguments_are_refused(levels: np.ndarray, classes: np.ndarray, blocks: list) -> None:
    for function in (dependent.encode, dependent.quantisers):
        with pytest.raises(ValueError, match="dependent levels"):
            function(levels, classes, np.array(blocks), PINNED)


def encoded(blocks: np.ndarray, seed: int = 4) -> tuple[bytes, np.ndarray, np.ndarray]:
    levels, classes = drawn(blocks, seed, highest=40)
    return dependent.encode(levels, classes, blocks, PINNED), classes, levels


def test_every_truncation_and_extension_is_corrupt() -> None:
    blocks = np.array([[5, 50], [10, 15]])
    data, classes, _ = encoded(blocks)
    for length in range(len(data)):
        with pytest.raises(CorruptArchive):
            dependent.decode(data[:length], classes, blocks, PINNED)
    with pytest.raises(CorruptArchive):
        dependent.decode(data + b"\0", classes, blocks, PINNED)
    with pytest.raises(CorruptArchive, match="classes below 64"):
        dependent.decode(data, classes | np.uint8(64), blocks, PINNED)


def test_every_bit_flip_is_corrupt_or_another_array() -> None:
    blocks = np.array([[10, 20]])
    data, classes, levels = encoded(blocks)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert not np.array_equal(dependent.decode(damaged, classes, blocks, PINNED)[0], levels)
        except CorruptArchive:
            continue


def test_a_word_too_many_is_corrupt() -> None:
    blocks = np.array([[5, 10]])
    data, classes, _ = encoded(blocks)
    end = 1 + data[0]
    longer = bytes([data[0] + 2]) + data[1:end] + b"\0\0" + data[end:]
    with pytest.raises(CorruptArchive, match="come out even"):
        dependent.decode(longer, classes, blocks, PINNED)


def test_other_blocks_are_corrupt() -> None:
    """Within a second block of the same size the states differ, so the symbols do, and the words do not come out."""
    blocks = np.array([[30, 40]])
    data, classes, _ = encoded(blocks)
    with pytest.raises(CorruptArchive):
        dependent.decode(data, classes, np.array([[15, 40], [15, 40]]), PINNED)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 63), max_size=60), st.integers(1, 7))
def test_any_bytes_decode_or_are_corrupt(data: bytes, raw_classes: list[int], tracks: int) -> None:
    classes = np.array(raw_classes[: len(raw_classes) // tracks * tracks], np.uint8)
    blocks = np.array([[classes.size // tracks, tracks]])
    try:
        levels, _ = dependent.decode(data, classes, blocks, PINNED)
    except CorruptArchive:
        return
    assert np.array_equal(
        dependent.decode(dependent.encode(levels, classes, blocks, PINNED), classes, blocks, PINNED)[0], levels
    )


def test_compiled_decoder_stays_in_bounds_under_boundscheck() -> None:
    """The same source, compiled with numba's bounds checks: damaged words raise nothing."""
    numba = pytest.importorskip("numba")
    checked = numba.njit(boundscheck=True)(cpu._decode.py_func)
    tables, rng = PINNED, np.random.default_rng(2)
    classes = rng.integers(0, 64, 700).astype(np.uint8)
    blocks = np.array([[10, 30], [400, 1]])
    packed = tables.freq.astype(np.uint32) << np.uint32(16) | tables.cum[:, :-1]
    symbols = np.zeros(np.count_nonzero(classes), np.uint8)
    for length in [0, 1, 5, *rng.integers(0, 900, 40).tolist()]:
        noise = rng.integers(0, 65536, length).astype(np.uint16)
        hostile = rng.integers(65536, 2**32, 1 << rng.integers(0, 6)).astype(np.uint32)
        read = classes, blocks, class_rows(), NEXT, packed, tables.slots
        state, chosen = np.zeros(30, np.uint8), np.zeros(classes.size, np.uint8)
        assert not checked(hostile, noise, *read, state, symbols, chosen)


def test_layout_is_pinned() -> None:
    """These bytes never change: archives hold them."""
    classes = np.array([20, 20, 0, 1, 6, 23, 26, 32, 40, 18, 20, 63], np.uint8)
    levels = np.array([1, -2, 0, 0, 3, 17, -9, 70, -1023, 0, 100, -(2**31) + 1], np.int32)
    blocks = np.array([[4, 2], [4, 1]])
    golden = "0b018aab100033a2054affdfedffffff520105020870f407"
    assert dependent.encode(levels, classes, blocks, PINNED).hex() == golden
    assert np.array_equal(dependent.decode(bytes.fromhex(golden), classes, blocks, PINNED)[0], levels)
