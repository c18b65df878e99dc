"""Codes packed on a device are the bytes of the CPU's coder, many chunks at once, and their CRC-32 is that of zlib."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.device import cuda_codes, packing, symbol_crc
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import Coder
from embdc_cli.codec.transform import activity
from embdc_cli.codec.transform import planes as definition
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.tracks import Tracks
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_context import TimeContext
from embdc_cli.entropy.levels import cuda
from embdc_cli.entropy.tables import rounded_tables, static_tables
from tests.codec.device.packing_cases import packed_there
from tests.codec.mixture.mixture_cases import drawn_maps, drawn_mixture
from tests.entropy.device_cases import DEVICES, INTERPRETED, elements_of, watched

__all__ = ["packed_there"]
pytestmark = pytest.mark.usefixtures("packed_there")
on_devices = pytest.mark.parametrize("device", DEVICES)


def check(coder: Coder, chunks: Sequence[np.ndarray], sides: Sequence[bytes], device: str) -> None:
    """All at once."""
    staging = Staging(torch.device(device))
    packer = packing.packer_of(coder, staging)
    assert packer.together
    ordered = [packer.ordered(torch.from_numpy(codes).to(device)) for codes in chunks]
    fetched = [staging.fetched_together(one.known) for one in ordered]
    found = packer.packed(ordered, fetched, sides)
    for codes, side, one in zip(chunks, sides, found, strict=True):
        assert one.data() == coder.encode(codes, side)
        for crc in (0, 0x12345678):
            assert one.crc_behind(crc) == zlib.crc32(np.ascontiguousarray(codes, "<i4").data, crc)


def sparse(shape: tuple[int, ...], seed: int, share: float = 0.2, largest: float = 3) -> np.ndarray:
    """Mostly zeros, with planes of nothing else, and magnitudes up to 2^largest."""
    rng = np.random.default_rng(seed)
    codes = np.rint(np.exp2(rng.uniform(0, largest, shape)) * rng.choice([-1, 1], shape))
    codes *= rng.random(shape) < share
    if codes.ndim == 3:
        codes *= rng.random(shape[2]) < 0.6
    return codes.astype(np.int32)


SHAPES = [(0, 3, 6), (1, 1, 6), (7, 2, 6), (8, 2, 6), (9, 1, 6), (63, 2, 6), (65, 2, 6), (4, 0, 6)]


def planes_of(group: int, rank: int) -> Planes:
    bands = (group - 1).bit_length() + 1
    classes = np.random.default_rng(group).integers(0, 30, (bands, rank)).astype(np.uint8)
    return Planes(group, classes, static_tables())


@on_devices
@pytest.mark.parametrize("group", [1, 8, 64])
def test_planes_of_chunks_of_every_length_at_once(group: int, device: str) -> None:
    chunks = [sparse(shape, seed) for seed, shape in enumerate(SHAPES)]
    chunks.append(np.zeros((9, 2, 6), np.int32))
    chunks.append(sparse((9, 2, 6), 30, 0.5, 30).clip(-MAX_LEVEL, MAX_LEVEL))
    check(planes_of(group, 6), chunks, [b""] * len(chunks), device)


@on_devices
@pytest.mark.parametrize(("shape", "group"), [((1, 1, 1), 1), ((9, 1, 1), 8), ((3, 35, 40), 2), ((20, 3, 0), 8)])
def test_planes_of_few_and_of_many_channels(shape: tuple[int, int, int], group: int, device: str) -> None:
    check(planes_of(group, shape[2]), [sparse(shape, 1)], [b""], device)


def mixed_chunk(mixture: Mixture, shape: tuple[int, int], seed: int, share: float = 0.4) -> tuple[np.ndarray, bytes]:
    """Codes, of which `share` are not 0, and side information of a chunk of a cut drawn at random."""
    tracks = Tracks.of_maps(*drawn_maps(*shape, 4, seed))
    size = sum(block.token_index.size * mixture.modes[block.mode].rank for block in tracks.blocks)
    codes = sparse((size,), seed, share)
    side = mixture.side_of(tracks, codes)
    assert mixture.shape((*shape, 5), side) == codes.shape
    classes = mixture.chunk(side).classes
    return np.where(classes > 0, codes, 0).astype(np.int32), side


@on_devices
def test_tracks_of_several_chunks_at_once(device: str) -> None:
    mixture = drawn_mixture(5, (3, 0, 5, 1), seed=7)
    chunks = [mixed_chunk(mixture, shape, seed) for seed, shape in enumerate([(9, 4), (1, 1), (0, 3), (70, 2)])]
    codes, sides = zip(*chunks, strict=True)
    check(TrackPlanes(mixture, rounded_tables()), codes, sides, device)


@on_devices
def test_launches_of_unequal_chunks(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Payloads come back in their order, whatever the launch they are in."""
    monkeypatch.setattr(cuda, "BLOCK", 32)
    chunks = [sparse((rows, 2, 6), rows) for rows in (1, 12, 1, 1, 2, 12)]
    assert len(list(cuda.launches([one.size for one in chunks]))) > 2
    check(planes_of(8, 6), chunks, [b""] * len(chunks), device)


@on_devices
def test_levels_that_a_class_cannot_have_are_refused_as_by_the_cpu(device: str) -> None:
    mixture = drawn_mixture(5, (3, 0, 5, 1), seed=7)
    _, side = mixed_chunk(mixture, (9, 4), 0, 0.0)  # no track moves
    coder, staging = TrackPlanes(mixture, rounded_tables()), Staging(torch.device(device))
    codes = (mixture.chunk(side).classes == 0).astype(np.int32)
    assert codes.any()
    with pytest.raises(ValueError, match="levels: expected only zeros in class 0"):
        coder.encode(codes, side)
    packer = packing.packer_of(coder, staging)
    ordered = packer.ordered(torch.from_numpy(codes).to(device))
    with pytest.raises(ValueError, match="levels: expected only zeros in class 0"):
        packer.packed([ordered], [staging.fetched_together(ordered.known)], [side])


@on_devices
def test_other_coders_are_the_cpus(device: str) -> None:
    coder, staging = TimeContext(3), Staging(torch.device(device))
    packer = packing.packer_of(coder, staging)
    assert not packer.together
    codes = sparse((4, 6, 5), 3, largest=12)
    ordered = packer.ordered(torch.from_numpy(codes).to(device))
    (found,) = packer.packed([ordered], [staging.fetched(ordered.known)], [b""])
    assert found.data() == coder.encode(codes, b"")
    assert found.crc_behind(5) == zlib.crc32(codes.data, 5)


@on_devices
@pytest.mark.parametrize("group", [1, 3, 8, 64])
def test_order_of_planes_and_what_is_known_of_them(group: int, device: str) -> None:
    for seed, shape in enumerate([*SHAPES, (3, 40, 35), (20, 3, 0)]):
        codes = sparse(shape, seed, largest=30)
        levels, present, sums = cuda_codes.plane_levels(torch.from_numpy(codes).to(device), group)
        expected = definition._to_planes(codes, group)
        np.testing.assert_array_equal(levels.cpu().numpy(), expected)
        by_plane = np.split(expected, np.cumsum(planes_of(group, shape[2])._sizes(shape))[:-1]) if shape[2] else []
        assert present.tolist() == [int(plane.any()) for plane in by_plane]
        np.testing.assert_array_equal(sums.cpu().numpy(), activity.measure(codes, group))


@on_devices
@pytest.mark.parametrize("count", [0, 1, 5, 63, 64, 65, 127, 129, 1000])
def test_crc_of_any_length(count: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_codes, "_LANES", 16)
    monkeypatch.setattr(cuda_codes, "_STEPS", 4)
    monkeypatch.setattr(cuda_codes, "REMAINDER_WORDS", 64)
    codes = np.random.default_rng(count).integers(-(2**31), 2**31, count).astype(np.int32)
    found = cuda_codes.remainders(torch.from_numpy(codes).to(device)).cpu().numpy().view(np.uint32).tolist()
    assert len(found) == -(-count // 64)
    crc = symbol_crc.crc_behind(99, symbol_crc.joined(found, 64), count)
    assert crc == zlib.crc32(codes.data, 99)


@settings(deadline=None)
@given(data=st.binary(max_size=40), crc=st.integers(0, 2**32 - 1), cut=st.integers(0, 10))
def test_remainders_are_those_of_zlib(data: bytes, crc: int, cut: int) -> None:
    """Of whole words; and blocks join to that of all."""
    data = data[: len(data) // 4 * 4]
    all_of_it = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    assert symbol_crc.crc_behind(crc, all_of_it, len(data) // 4) == zlib.crc32(data, crc)
    ends = range(len(data), 0, -4 * (cut + 1))
    blocks = [data[max(0, end - 4 * (cut + 1)) : end] for end in ends]
    remainders = [zlib.crc32(block, 0xFFFFFFFF) ^ 0xFFFFFFFF for block in blocks]
    assert symbol_crc.joined(remainders, cut + 1) == all_of_it


@pytest.mark.skipif(not INTERPRETED, reason="accesses are seen in the interpreter")
def test_nothing_beyond_the_codes_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.from_numpy(sparse((9, 35, 33), 2))
    with watched(monkeypatch) as seen:
        levels, present, sums = cuda_codes.plane_levels(codes, 4)
        found = cuda_codes.remainders(codes)
    assert elements_of(codes, seen.reads) == set(range(codes.numel()))
    assert elements_of(levels, seen.writes) == set(range(codes.numel()))
    assert elements_of(present, seen.writes) == set(np.flatnonzero(present.numpy()).tolist())
    assert elements_of(sums, seen.writes) == set(np.flatnonzero(sums.numpy().ravel()).tolist())
    assert elements_of(found, seen.writes) == set(range(len(found)))
