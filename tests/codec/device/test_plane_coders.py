"""Codes decoded on a device are those of the CPU, many chunks at once: interpreted, and on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.device import cuda as device_kernels
from embdc_cli.codec.device import plane_coders
from embdc_cli.codec.device.beside import Beside, Upload
from embdc_cli.codec.device.chain import codes_of
from embdc_cli.codec.device.codec import OnDevice, copied
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.transform import planes as definition
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import FitOptions
from embdc_cli.codec.transform.mixture.frequencies import band_count
from embdc_cli.codec.transform.mixture.motion import Motion
from embdc_cli.codec.transform.mixture.tracks import Tracks
from embdc_cli.entropy.levels import cuda
from embdc_cli.entropy.rans import cuda as rans
from tests.codec.codec_cases import rows_of, smooth, spec_of
from tests.codec.device.test_chains import as_stored, fitted
from tests.codec.mixture.mixture_cases import drawn_mixture, maps
from tests.codec.test_codec_stages import planes
from tests.entropy.device_cases import DEVICES, INTERPRETED

pytestmark = pytest.mark.parametrize("device", DEVICES)
SHAPES = [
    (0, 3, 2),
    (1, 1, 1),
    (1, 3, 6),
    (7, 2, 6),
    (8, 2, 6),
    (9, 1, 6),
    (63, 2, 3),
    (65, 2, 3),
    (4, 0, 6),
    (20, 3, 0),
]


@pytest.fixture(autouse=True)
def _on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on the CPU, where kernels are interpreted."""
    monkeypatch.setattr(plane_coders, "kernels_on", lambda _: cuda)
    for module in (plane_coders, device_kernels):
        monkeypatch.setattr(module, "TILE", 64)
    if INTERPRETED:  # which takes long for a step and for a program, however much there is in it
        monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
        monkeypatch.setattr(rans, "_TOGETHER", 64)
        monkeypatch.setattr(cuda, "BLOCK", 512)
        monkeypatch.setattr(cuda, "_CODES", 16)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("group", [1, 8, 64])
def test_classes_and_order_of_planes(group: int, shape: tuple[int, int, int], device: str) -> None:
    rng = np.random.default_rng(group)
    rows, tokens, rank = shape
    coder = planes(group)
    classes = rng.integers(0, 64, group * rank).astype(np.uint8)
    offsets = rng.integers(-30, 30, (-(-rows // group), tokens)).astype(np.int8)
    there = [torch.from_numpy(one).to(device) for one in (classes.reshape(group, rank), offsets)]
    found = plane_coders.level_classes(*there, rows).cpu().numpy()
    assert np.array_equal(found, coder._level_classes(classes, offsets, shape))
    codes = rng.integers(-9, 9, shape).astype(np.int32)
    levels = torch.from_numpy(definition._to_planes(codes, group)).to(device)
    assert np.array_equal(plane_coders.from_planes(levels, shape, group).cpu().numpy(), codes)


@settings(max_examples=8, deadline=None)
@given(found=maps(modes=4), seed=st.integers(0, 99))
def test_classes_of_tracks(found: tuple[np.ndarray, np.ndarray], seed: int, device: str) -> None:
    mixture = drawn_mixture(5, (3, 0, 5, 1), seed=7)
    tracks = Tracks.of_maps(*found)
    rng = np.random.default_rng(seed)
    activities = np.where(tracks.level > 0, rng.integers(0, 26, len(tracks.level)), 0).astype(np.uint8)
    ranks = [mixture.modes[block.mode].rank for block in tracks.blocks]
    drawn = rng.random(len(ranks)) < 0.5  # as if they were large
    extents = {
        number: np.sort(rng.integers(0, ranks[number] + 1, band_count(block.rows)))[::-1]
        for number, block in enumerate(tracks.blocks)
        if drawn[number]
    }
    motion = Motion(mixture.modes, mixture.offsets)
    parts = motion.parts(tracks, activities, extents)
    given = (parts.planes, parts.symbols, *plane_coders.tile_tables(parts.shapes))
    there = [torch.from_numpy(one).to(device) for one in given]
    expected = motion.classes(tracks, activities, extents)
    classes = device_kernels.track_classes(*there, len(expected)).cpu().numpy()
    assert np.array_equal(classes, expected)


def codecs() -> list[TransformCodec]:
    x = smooth((40, 5, 4))
    return [
        fitted(x, spec_of(x.shape), step, FitOptions(effort=effort))
        for effort, step in ((0, 0.1), (1, 0.1), (2, 0.1), (1, 1e-4))
    ]


@pytest.mark.parametrize("number", range(4))
def test_chunks_of_all_lengths_at_once(number: int, device: str) -> None:
    """Codes, and what becomes of them, are those of one chunk at a time on the CPU."""
    codec, where = codecs()[number], torch.device(device)
    x = smooth((11, 5, 4), seed=3)
    chunks = [codec.encode(x[start:stop]) for start, stop in ((0, 9), (0, 0), (5, 6))]
    coder = codec.models.groups[0].chain.coder
    coded = [codec.codes(one.payload, len(one.decoded))[0][0] for one in chunks]
    there = codes_of(coder, Upload(where))
    assert there.together
    staging = Staging(where)
    taken = []
    for one in chunks:
        (parted,), _ = codec.part(one.payload, len(one.decoded))
        known, crc = there.take(parted.codes, parted.shapes[-1], parted.known[-1], 0)
        assert crc is None
        assert known.device_bytes >= 4 * coded[len(taken)].codes.size
        taken.append(Beside(tuple(staging.copied(known.arrays)), known.facts))
    found = there.run(taken, staging)
    assert found.faults is not None
    assert not found.faults.isnan().any()
    for one, expected in zip(found.codes, coded, strict=True):
        assert one.dtype == torch.int32
        np.testing.assert_array_equal(one.cpu().numpy(), expected.codes)
    device_codec = OnDevice(codec, where)
    assert device_codec.together
    outs = [torch.empty(one.decoded.shape, device=where) for one in chunks]
    read = [device_codec.take(one.payload, len(one.decoded), None) for one in chunks]
    assert [one.symbol_crc for one in read] == [None] * 3
    flags = device_codec.decode([copied(one, staging) for one in read], outs, staging)
    assert not torch.stack(flags).isnan().any()
    for out, one in zip(outs, chunks, strict=True):
        np.testing.assert_allclose(as_stored(out), one.decoded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_corrupt_chunks_are_told_apart(effort: int, device: str) -> None:
    codec, where = codecs()[effort], torch.device(device)
    x = rows_of("noise", (3, 5, 4))
    payload = codec.encode(x).payload
    (parted,), _ = codec.part(payload, 3)
    there, staging = codes_of(codec.models.groups[0].chain.coder, Upload(where)), Staging(where)
    known, _ = there.take(parted.codes, parted.shapes[-1], parted.known[-1], 0)
    good = Beside(tuple(staging.copied(known.arrays)), known.facts)
    damaged = known.arrays[0].copy()
    damaged[-3:] ^= 255
    bad = Beside((torch.from_numpy(damaged[:-1]).to(where), *good.tensors[1:]), known.facts)
    faults = there.run([good, bad, good], staging).faults
    assert faults is not None
    assert faults.isnan().tolist() == [False, True, False]
