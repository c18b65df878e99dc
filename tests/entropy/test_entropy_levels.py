"""The level coder: kernels agree, levels come back, sizes meet the costs and the ideal, hostile bytes are corrupt."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.entropy.levels import (
    LARGEST,
    bits_of_levels,
    cost_levels,
    cpu,
    decode_levels,
    encode_levels,
    magnitude_costs,
    reference,
)
from embdc_cli.entropy.tables import CLASSES, IMPOSSIBLE, Tables, classes_of_means, static_tables
from embdc_cli.errors import CorruptArchive
from tests.entropy.entropy_cases import drawn_levels, mixed_classes

PAIRS = st.lists(st.tuples(st.integers(-LARGEST, LARGEST) | st.integers(-20, 20), st.integers(1, 63)), max_size=120)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a for a, _ in pairs], np.int32), np.array([b for _, b in pairs], np.uint8)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31, 33, 1000, 20011])
def test_kernels_agree(count: int) -> None:
    classes = mixed_classes(count, seed=count)
    levels = drawn_levels(classes, seed=count)
    direct, costs = static_tables().direct, static_tables().fine_cost
    slow, fast = (kernel.split(levels, classes, direct) for kernel in (reference, cpu))
    assert slow is not None
    assert fast is not None
    for one, other in zip(slow, fast, strict=True):
        assert type(one) is type(other)
        assert np.array_equal(one, other)
    for kernel in (reference, cpu):
        rows, low_bits = kernel.rows_of(classes)
        assert np.array_equal(rows, slow.rows)
        assert (low_bits + 7) // 8 == len(slow.low_bits)
        assert kernel.nonzero_count(slow.symbols, classes, slow.low_bits) == np.count_nonzero(levels)
        merged = kernel.merge(slow.symbols, classes, slow.low_bits, slow.signs, slow.excess, direct, LARGEST)
        assert merged is not None
        assert merged.dtype == np.int32
        assert np.array_equal(merged, levels)
    assert reference.cost(levels, classes, costs, direct) == cpu.cost(levels, classes, costs, direct)


@settings(max_examples=60)
@given(PAIRS)
def test_any_levels_in_any_class_come_back(pairs: list[tuple[int, int]]) -> None:
    levels, classes = columns(pairs)
    data = encode_levels(levels, classes)
    assert np.array_equal(decode_levels(data, classes), levels)
    assert 8 * len(data) <= cost_levels(levels, classes) / 256 + 8 * 5 + 32 + 16 + 5 * 8


def test_zeros_in_class_zero_are_free() -> None:
    classes = np.zeros(10**6, np.uint8)
    data = encode_levels(np.zeros(10**6, np.int32), classes)
    assert data == b"\0"
    assert not decode_levels(data, classes).any()


@pytest.mark.parametrize("kernel", [reference, cpu])
def test_other_levels_in_class_zero_are_refused(kernel: object) -> None:
    levels, classes = np.array([0, 0, 1], np.int32), np.array([0, 1, 0], np.uint8)
    assert kernel.split(levels, classes, static_tables().direct) is None  # type: ignore[attr-defined]  # a module
    with pytest.raises(ValueError, match="class 0"):
        encode_levels(levels, classes)
    assert cost_levels(levels, classes) == IMPOSSIBLE + cost_levels(levels[:2], classes[:2])


@pytest.mark.parametrize(
    ("levels", "classes"),
    [
        (np.zeros(2, np.int64), np.zeros(2, np.uint8)),
        (np.zeros(2, np.int32), np.zeros(3, np.uint8)),
        (np.zeros(2, np.int32), np.full(2, 64, np.uint8)),
        (np.full(2, -(2**31), np.int32), np.full(2, 40, np.uint8)),
    ],
)
def test_other_arguments_are_refused(levels: np.ndarray, classes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="levels"):
        encode_levels(levels, classes)


def test_tables_that_cannot_code_everything_are_refused() -> None:
    freq = static_tables().freq.astype(int)
    freq[3] = np.eye(16, dtype=int)[0] * 4096
    for tables in (Tables(freq), Tables(freq[:3])):
        with pytest.raises(ValueError, match="escape"):
            encode_levels(np.zeros(1, np.int32), np.ones(1, np.uint8), tables)


def test_strided_and_read_only_arrays_are_fine() -> None:
    classes = np.broadcast_to(np.uint8(21), (64,))
    levels = drawn_levels(np.full(128, 21, np.uint8))[::2]
    assert np.array_equal(decode_levels(bytearray(encode_levels(levels, classes)), classes), levels)


@pytest.mark.parametrize("cls", range(1, 26, 3))
def test_size_meets_the_cost(cls: int) -> None:
    classes = np.full(300_000, cls, np.uint8)
    levels = drawn_levels(classes)
    cost_bytes = cost_levels(levels, classes) / 256 / 8
    assert abs(len(encode_levels(levels, classes)) - cost_bytes) <= 0.006 * cost_bytes + 16


@pytest.mark.parametrize("mean_bits", [3, 4, 5, 6, 9, 13, 17, 20])
def test_large_magnitudes_cost_little_more_than_their_entropy(mean_bits: int) -> None:
    """Laplacian levels with mean magnitudes from 8 to 2^20: within 3 % of log2(2 e mean) bits."""
    rng = np.random.default_rng(mean_bits)
    for mean in (2.0**mean_bits, 2.0 ** (mean_bits + 0.25), 2.0 ** (mean_bits + 0.5)):
        levels = np.rint(rng.laplace(0, mean, 100_000)).astype(np.int32)
        classes = np.full(levels.size, classes_of_means(np.abs(levels).sum(dtype=np.int64), levels.size), np.uint8)
        ideal_bytes = levels.size * np.log2(2 * np.e * mean) / 8
        assert len(encode_levels(levels, classes)) < 1.03 * ideal_bytes


def test_magnitude_costs_are_what_cost_levels_adds_up() -> None:
    table = magnitude_costs(largest=200)
    assert table.shape == (64, 201)
    assert table[0].tolist() == [0] + [IMPOSSIBLE] * 200
    for cls in (1, 5, 14, 20, 25, 26, 33, 63):
        for magnitude in (0, 1, 2, 14, 15, 16, 100, 200):
            one = cost_levels(np.array([-magnitude], np.int32), np.array([cls], np.uint8))
            assert abs(int(table[cls, magnitude]) - one) <= 1


def test_layout_is_pinned() -> None:
    """These bytes never change: archives hold them."""
    classes = np.array([20, 20, 0, 1, 6, 23, 26, 32, 40, 18, 20, 63], np.uint8)
    levels = np.array([1, -2, 0, 0, 3, 17, -9, 70, -1023, 0, 100, -(2**31) + 1], np.int32)
    golden = bytes.fromhex(PINNED)
    assert encode_levels(levels, classes) == golden
    assert np.array_equal(decode_levels(golden, classes), levels)


def encoded(count: int = 600) -> tuple[bytes, np.ndarray, np.ndarray]:
    classes = mixed_classes(count, seed=4)
    levels = drawn_levels(classes, seed=4)
    return encode_levels(levels, classes), classes, levels


def test_every_truncation_and_extension_is_corrupt() -> None:
    data, classes, _ = encoded()
    for length in range(len(data)):
        with pytest.raises(CorruptArchive):
            decode_levels(data[:length], classes)
    with pytest.raises(CorruptArchive):
        decode_levels(data + b"\0", classes)


def test_every_bit_flip_is_corrupt_or_another_array() -> None:
    data, classes, levels = encoded(200)
    silent = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            silent += np.array_equal(decode_levels(damaged, classes), levels)
        except CorruptArchive:
            continue
    assert silent == 0


@settings(max_examples=200)
@given(st.binary(max_size=200), st.lists(st.integers(0, 63), max_size=60))
def test_any_bytes_decode_alike_or_are_corrupt(data: bytes, raw_classes: list[int]) -> None:
    classes = np.array(raw_classes, np.uint8)
    try:
        levels = decode_levels(data, classes)
    except CorruptArchive:
        return
    assert np.array_equal(decode_levels(encode_levels(levels, classes), classes), levels)


def hostile_parts(seed: int) -> tuple[np.ndarray, np.ndarray, bytes]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 64, 300).astype(np.uint8)
    rows, low_bits = reference.rows_of(classes)
    low = bytearray(rng.bytes((low_bits + 7) // 8))
    low[-1] &= (1 << ((low_bits - 1) % 8 + 1)) - 1
    return rng.integers(0, 16, rows.size).astype(np.uint8), classes, bytes(low)


@pytest.mark.parametrize("seed", range(5))
def test_kernels_judge_random_parts_alike(seed: int) -> None:
    symbols, classes, low = hostile_parts(seed)
    nonzero, fast_nonzero = (k.nonzero_count(symbols, classes, low) for k in (reference, cpu))
    assert nonzero == fast_nonzero
    rng = np.random.default_rng(seed)
    signs = rng.bytes((nonzero + 7) // 8)
    direct = static_tables().direct
    for scale, largest in ((2**4, LARGEST), (2**12, LARGEST), (2**12, 2**30), (2**12, 2**25), (2**32, LARGEST)):
        excess = rng.integers(0, scale, np.count_nonzero(symbols == 15)).astype(np.uint32)
        one, other = (k.merge(symbols, classes, low, signs, excess, direct, largest) for k in (reference, cpu))
        assert (one is None) == (other is None) == (scale == 2**32 or (one is None))
        assert one is None or (np.array_equal(one, other) and np.abs(one).max(initial=0) <= largest)


@pytest.mark.parametrize("level", [2**30, -(2**30), 2**30 + 1, -(2**30) - 1, LARGEST])
def test_the_caller_says_how_large_a_level_may_be(level: int) -> None:
    classes = np.array([63, 20], np.uint8)
    data = encode_levels(np.array([level, 1], np.int32), classes)
    if abs(level) <= 2**30:
        assert decode_levels(data, classes, None, 2**30).tolist() == [level, 1]
    else:
        with pytest.raises(CorruptArchive, match="1073741824"):
            decode_levels(data, classes, None, 2**30)


def test_a_magnitude_beyond_31_bits_is_corrupt() -> None:
    classes = np.array([63], np.uint8)
    data = bytearray(encode_levels(np.array([LARGEST], np.int32), classes))
    # the excess is the last section: its prefix byte says 12 bits; a longer one makes the value overflow
    assert np.array_equal(decode_levels(data, classes), [LARGEST])
    from embdc_cli.entropy.bits import encode_exp_golomb

    excess = encode_exp_golomb(np.array([(LARGEST >> 19) - 15]), np.array([2]))
    assert data.endswith(excess)
    data[-len(excess) :] = encode_exp_golomb(np.array([(LARGEST >> 19) - 14]), np.array([2]))
    with pytest.raises(CorruptArchive, match="2147483647"):
        decode_levels(data, classes)


def test_hostile_lengths_allocate_nothing_large() -> None:
    classes = np.full(100, 20, np.uint8)
    decode_levels(encode_levels(np.zeros(100, np.int32), classes), classes)
    tracemalloc.start()
    with pytest.raises(CorruptArchive, match="at least"):
        decode_levels(b"\xff\xff\xff\xff\x7f" + bytes(50), classes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("name", ["cars__vit-tiny__final", "juggle__vit-tiny__penultimate", "nasa__vit-tiny__final"])
def test_static_tables_fit_real_coefficients(shared_data: Path, name: str) -> None:
    """KLT and DCT-16 coefficients at three steps: at most 2 % over the entropy of each class's own histogram."""
    rows = np.load(shared_data / "data" / "embeddings" / f"{name}.npy").astype(np.float64)
    channels = rows.shape[2]
    rows -= rows.reshape(-1, channels).mean(axis=0)
    flat = rows.reshape(-1, channels)
    coefficients = (rows @ np.linalg.eigh(flat.T @ flat)[1]).reshape(4, 16, -1, channels)
    k = np.arange(16)
    dct = np.cos(np.pi / 16 * (k + 0.5) * k[:, None])
    dct *= np.where(k == 0, 0.25, np.sqrt(1 / 8))[:, None]
    planes = np.einsum("kt,gtnc->kcgn", dct, coefficients)
    unit = np.sqrt(np.median(flat.var(axis=0)))
    for multiple in (0.5, 1, 2):
        levels = (np.sign(planes) * np.floor(np.abs(planes) / (multiple * unit) + 0.36)).astype(np.int32)
        per_plane = classes_of_means(np.abs(levels).sum(axis=(2, 3)), levels[0, 0].size)
        classes = np.repeat(per_plane.ravel(), levels[0, 0].size)
        levels = levels.ravel()
        ideal = 0.0
        for cls in np.unique(classes):
            counts = np.unique(np.abs(levels[classes == cls]), return_counts=True)[1]
            ideal -= (counts * np.log2(counts / counts.sum())).sum()
        ideal += np.count_nonzero(levels)
        size = len(encode_levels(levels, classes))
        assert ideal / 8 < size < 1.02 * ideal / 8


PINNED = "0b01b54b05000f88c649ff7fedffffff520105020858f407"


def test_bits_of_levels_add_up_to_their_cost() -> None:
    rng = np.random.default_rng(8)
    classes = rng.integers(0, CLASSES, 4000).astype(np.uint8)
    levels = np.rint(rng.laplace(size=4000) * np.exp2((classes.astype(float) - 20) / 2)).astype(np.int32)
    levels[classes == 0] = 0
    bits = bits_of_levels(levels, classes)
    assert bits.sum() == pytest.approx(cost_levels(levels, classes) / 256, abs=1 / 128)
    assert (bits[classes == 0] == 0).all()
    for level in (0, 1, 7):
        assert bits_of_levels(levels[level : level + 1], classes[level : level + 1]) == bits[level]
