"""Levels of many chunks decoded by kernels in Triton: those of `decode_levels`, or a flag where it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from embdc_cli.entropy.bits import encode_exp_golomb, encode_varint, packed_bytes
from embdc_cli.entropy.levels import LARGEST, cuda, decode_levels, encode_levels
from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.entropy.tables import Tables, rounded_tables, static_tables
from embdc_cli.errors import CorruptArchive
from tests.entropy.device_cases import DEVICES, INTERPRETED, elements_in, elements_of, joined, on, watched
from tests.entropy.entropy_cases import drawn_levels, mixed_classes


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes long for a step and for a program, however much there is in it."""
    if INTERPRETED:
        monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
        monkeypatch.setattr(rans, "_TOGETHER", 64)
        monkeypatch.setattr(cuda, "BLOCK", 64)
        monkeypatch.setattr(cuda, "_CODES", 16)


def decoded(
    device: str,
    chunks: Sequence[bytes],
    classes: Sequence[np.ndarray],
    tables: Tables | None = None,
    largest: int = LARGEST,
) -> tuple[list[np.ndarray], list[int]]:
    """The levels and the flag of each chunk, decoded all at once."""
    data, ranges = joined(chunks)
    all_classes, spans = joined([one.tobytes() for one in classes])
    levels, errors = cuda.decode_levels(
        *(on(device, one) for one in (data, ranges, all_classes, spans)),
        max(one.size for one in classes),
        cuda.tables_on(tables, torch.device(device)),
        largest,
    )
    assert (levels.dtype, errors.dtype) == (torch.int32, torch.int32)
    found = levels.cpu().numpy()
    return [found[start:stop] for start, stop in spans.tolist()], errors.tolist()


def by_cpu(chunk: bytes, classes: np.ndarray, tables: Tables | None, largest: int) -> np.ndarray | None:
    try:
        return decode_levels(chunk, classes, tables, largest)
    except CorruptArchive:
        return None


def check_alike(
    device: str,
    chunks: Sequence[bytes],
    classes: Sequence[np.ndarray],
    tables: Tables | None = None,
    largest: int = LARGEST,
) -> list[int]:
    """Every chunk decodes as on the CPU or is refused as there. Gives the flags."""
    found, errors = decoded(device, chunks, classes, tables, largest)
    for chunk, cls, levels, error in zip(chunks, classes, found, errors, strict=True):
        expected = by_cpu(chunk, cls, tables, largest)
        assert error == int(expected is None)
        assert expected is None or np.array_equal(levels, expected)
    return errors


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tables", [static_tables(), rounded_tables()], ids=["static", "rounded"])
def test_levels_come_back(tables: Tables, device: str) -> None:
    scale = 1 if device == "cpu" else 3000
    classes = [mixed_classes(scale * count, seed=count) for count in (0, 1, 7, 64, 130)]
    classes += [np.zeros(70 * scale, np.uint8), np.full(70 * scale, 18, np.uint8), np.full(33 * scale, 63, np.uint8)]
    levels = [drawn_levels(one, seed=one.size) for one in classes]
    levels[-1][:3] = LARGEST, -LARGEST, 0
    chunks = [encode_levels(*one, tables) for one in zip(levels, classes, strict=True)]
    found, errors = decoded(device, chunks, classes, tables)
    assert not any(errors)
    assert all(np.array_equal(one, other) for one, other in zip(levels, found, strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_many_escapes_come_back(device: str) -> None:
    """Far more than their classes promise, in codes of 1 to 31 bits after the prefix."""
    rng = np.random.default_rng(6)
    count = 75 if device == "cpu" else 20000
    classes = [rng.integers(1, 30, count).astype(np.uint8), np.full(count, 24, np.uint8)]
    levels = [
        np.rint(np.exp2(rng.uniform(0, 30, count)) * rng.choice([-1, 1], count)).astype(np.int32) for _ in classes
    ]
    chunks = [encode_levels(*one) for one in zip(levels, classes, strict=True)]
    found, errors = decoded(device, chunks, classes)
    assert not any(errors)
    assert all(np.array_equal(one, other) for one, other in zip(levels, found, strict=True))


def small_chunk() -> tuple[bytes, np.ndarray]:
    """A chunk with something in every part: classes without, with low bits, escapes of both, and padding."""
    classes = np.array([0, 20, 26, 0, 30, 20, 20, 35, 12, 1, 20, 26, 0, 63], np.uint8)
    levels = np.array([0, 1, -20, 0, 0, 30, 0, 511, -3, 0, -2, 3, 0, 2000], np.int32)
    return encode_levels(levels, classes), classes


@pytest.mark.parametrize("device", DEVICES)
def test_damage_is_found_as_on_the_cpu(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 2)
    chunk, classes = small_chunk()
    flips = list(range(0, 8 * len(chunk), 1 if device == "cuda" else 9))
    for end in (1 + chunk[0] + 4, len(chunk)):  # of the low bits and of all, each with padding
        flips += range(8 * end - 8, 8 * end)
    damaged = [bytearray(chunk) for _ in flips]
    for one, bit in zip(damaged, flips, strict=True):
        one[bit // 8] ^= 1 << bit % 8
    cases = [(chunk, classes), *((bytes(one), classes) for one in damaged)]
    cases += [(chunk[:length], classes) for length in range(0, len(chunk), 1 if device == "cuda" else 2)]
    cases += [(chunk + extra, classes) for extra in (b"\0", bytes(9))]
    for number, cls in ((3, 1), (1, 0), (5, 64), (13, 255), (4, 31)):
        cases.append((chunk, np.where(np.arange(classes.size) == number, cls, classes).astype(np.uint8)))
    nothing = np.zeros(5, np.uint8)
    cases += [(b"\0", nothing), (b"\0", nothing[:0]), (b"", nothing), (b"\0\0", nothing), (b"\x80\0", nothing)]
    cases += [(b"\xff\xff\xff\xff\x7f" + chunk, classes), (b"\xff\xff\xff\xff\xff\1" + chunk, classes)]
    flags = check_alike(device, *zip(*cases, strict=True))
    assert flags.count(0) > 2


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=2, phases=[Phase.explicit, Phase.generate])  # to shrink takes minutes
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 12), min_size=14, max_size=14))
def test_noise_behind_the_symbols_decodes_as_on_the_cpu(seed: int, sizes: list[int], device: str) -> None:
    rng = np.random.default_rng(seed)
    chunks, classes = [], []
    for size in sizes:
        cls = rng.choice(np.array([0, 16, 20, 26, 31], np.uint8), int(rng.integers(1, 20)))
        levels = np.where(cls > 0, rng.choice([0, 0, 1, 3, 40], cls.size), 0).astype(np.int32)
        whole = encode_levels(levels, cls)
        symbols = whole[: whole[0] + 1] if whole[0] < 128 else whole[: (whole[0] & 127 | whole[1] << 7) + 2]
        rest = bytearray(whole[len(symbols) :])
        for at in rng.integers(0, len(rest), min(size // 4, len(rest))):
            rest[at] = rng.choice([0, 1, 255, rng.integers(256)])
        chunks.append(symbols + bytes(rest if size < 10 else rng.bytes(size)))
        classes.append(cls)
    check_alike(device, chunks, classes)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("largest", [15, 1 << 30])
def test_the_caller_says_how_large_a_level_may_be(largest: int, device: str) -> None:
    levels = [-1, 15, -16, (1 << 30) - 1, 1 << 30, -(1 << 30) - 1, LARGEST]
    classes = [np.array([20, 20], np.uint8)] * len(levels)
    chunks = [encode_levels(np.array([1, level], np.int32), classes[0]) for level in levels]
    assert check_alike(device, chunks, classes, None, largest) == [int(abs(level) > largest) for level in levels]


@pytest.mark.parametrize("device", DEVICES)
def test_a_magnitude_beyond_31_bits_is_flagged(device: str) -> None:
    classes = np.array([63], np.uint8)
    whole = encode_levels(np.array([LARGEST], np.int32), classes)
    beyond = [whole[:-5] + bytes(one) for one in ((0, 0, 0, 8, 0), (255,) * 5, (0, 0, 0, 128, 255))]
    check_alike(device, [whole, *beyond], [classes] * 4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("zeros", [29, 30, 31, 40])
def test_codes_wider_than_levels_are_flagged(zeros: int, device: str) -> None:
    """Two escapes of order 1: one of no zeros and a bit, one of `zeros` and one more bit, as far as 31 go."""
    classes = np.array([21, 21], np.uint8)
    whole = encode_levels(np.array([15, 40], np.int32), classes)
    excess = encode_exp_golomb(np.array([0, 25]), np.array([1, 1]))
    assert whole.endswith(excess)
    prefixes = (1 | 1 << 1 + zeros).to_bytes(packed_bytes(2 + zeros), "little")
    chunk = whole[: -len(excess)] + prefixes + bytes(packed_bytes(1 + min(31, zeros + 1)))
    assert check_alike(device, [chunk], [classes]) == [int(zeros > 29)]


@pytest.mark.parametrize("device", DEVICES)
def test_spans_longer_than_said_are_flagged(device: str) -> None:
    classes = np.where(np.arange(70) < 64, 18, 0).astype(np.uint8)  # of those behind nothing is missing
    chunk = encode_levels(drawn_levels(classes), classes)
    data, ranges = joined([chunk])
    arrays = (on(device, one) for one in (data, ranges, classes, np.array([[0, 70]])))
    cuda_tables = cuda.tables_on(None, torch.device(device))
    if device == "cpu":
        assert cuda.decode_levels(*arrays, 64, cuda_tables)[1].tolist() == [1]
    else:  # where a block holds more
        assert cuda.decode_levels(*arrays, 70, cuda_tables)[1].tolist() == [0]


@pytest.mark.skipif(not INTERPRETED, reason="accesses are seen in the interpreter")
def test_nothing_beyond_the_ranges_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right symbols and wrong ones, noise or nothing behind them."""
    rng = np.random.default_rng(1)
    chunks, classes = [b"", rng.bytes(7)], [np.full(9, 20, np.uint8), np.full(3, 40, np.uint8)]
    for number in range(8):
        cls = mixed_classes(int(rng.integers(1, 100)), seed=number)
        if number % 4 == 0:
            cls[::7] += 30  # beyond what classes are
        whole = encode_levels(drawn_levels(np.minimum(cls, 40)), np.minimum(cls, 40))
        chunks += [whole[: rng.integers(1, len(whole))] + rng.bytes(number % 5 * 7), encode_varint(40) + rng.bytes(60)]
        classes += [cls, cls]
    whole, cls = small_chunk()
    chunks += [whole[:-missing] for missing in range(1, 9)]  # within low bits, signs, prefixes and remainders
    classes += [cls] * 8
    data, ranges = joined(chunks)
    all_classes, spans = joined([one.tobytes() for one in classes])
    arguments = [torch.from_numpy(one) for one in (data, ranges, all_classes, spans)]
    with watched(monkeypatch) as seen:
        levels, errors = cuda.decode_levels(*arguments, 100, cuda.tables_on(None, torch.device("cpu")))
    assert elements_of(arguments[0], seen.reads) <= elements_in(ranges)
    assert elements_of(arguments[2], seen.reads) <= elements_in(spans)
    assert elements_of(levels, seen.writes) <= elements_in(spans)
    assert errors.any()


@pytest.mark.parametrize("device", DEVICES)
def test_no_chunks_at_all(device: str) -> None:
    nothing, ranges = on(device, np.zeros(0, np.uint8)), on(device, np.zeros((0, 2), np.int64))
    found = cuda.decode_levels(nothing, ranges, nothing, ranges, 0, cuda.tables_on(None, torch.device(device)))
    assert [one.numel() for one in found] == [0, 0]
