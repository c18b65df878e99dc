"""Codes of a mixture as bytes, in planes and along paths: exact whatever the classes, and free where all is still."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader
from embdc_cli.codec.stage import Coder
from embdc_cli.codec.transform.mixture.frequencies import BANDS
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.tracks import LEVELS
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import LIMITS
from tests.codec.mixture.mixture_cases import LIVELIEST, STILL, bit_flips, drawn_maps, drawn_mixture, maps, side_of

TABLES, PATHS = fixed_tables().rounded, fixed_tables().paths


def of_classes(mixture: Mixture, cls: int, offset: int = 0) -> Mixture:
    """The mixture with all codes of one class, but for activities."""
    modes = tuple(dataclasses.replace(mode, classes=np.full_like(mode.classes, cls)) for mode in mixture.modes)
    return dataclasses.replace(mixture, modes=modes, offsets=np.full((LEVELS, BANDS), offset))


def size_of(mixture: Mixture, side: bytes) -> int:
    return len(mixture.chunk(side).classes)


def round_trip(coder: Coder, codes: np.ndarray, side: bytes) -> int:
    """Bytes of the codes, which have to come back."""
    data = coder.encode(codes, side)
    back = coder.decode(memoryview(data), codes.shape, side)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, codes)
    return len(data)


def geometric(size: int, largest: int, seed: int) -> np.ndarray:
    """int32 codes of all magnitudes up to about `largest`."""
    rng = np.random.default_rng(seed)
    magnitudes = np.exp2(rng.uniform(0, np.log2(largest + 1), size)).astype(np.int64) - 1
    return (np.minimum(magnitudes, largest) * rng.choice([-1, 1], size)).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(maps(modes=4), st.data())
def test_any_codes_come_back(found: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    ranks = tuple(data.draw(st.lists(st.integers(0, 6), min_size=4, max_size=4)))
    mixture = drawn_mixture(6, ranks, data.draw(st.integers(0, 100)))
    activity = data.draw(st.sampled_from([STILL, 1, LIVELIEST]))
    side = side_of(mixture, *found, activity)
    size = size_of(mixture, side)
    codes = geometric(size, data.draw(st.sampled_from([0, 1, 40, MAX_LEVEL])), data.draw(st.integers(0, 100)))
    if data.draw(st.booleans()):
        codes[np.random.default_rng(1).random(size) < 0.9] = 0
    codes[mixture.chunk(side).classes == 0] = 0
    round_trip(TrackPlanes(mixture, TABLES), codes, side)


@settings(max_examples=60, deadline=None)
@given(maps(modes=4), st.data())
def test_any_path_of_a_trellis_comes_back(found: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    ranks = tuple(data.draw(st.lists(st.integers(0, 6), min_size=4, max_size=4)))
    mixture = drawn_mixture(6, ranks, data.draw(st.integers(0, 100)))
    side = side_of(mixture, *found, data.draw(st.sampled_from([STILL, 1, LIVELIEST])))
    values = geometric(size_of(mixture, side), data.draw(st.sampled_from([1, 40, 1 << 18])), 0).astype(np.float32)
    quantiser = TrellisPoints(0.7, mixture, PATHS)
    points = quantiser.forward(values, side)
    round_trip(TrackPaths(mixture, PATHS), points, side)
    sent = mixture.chunk(side).classes > 0
    assert not points[~sent].any()
    errors = (quantiser.inverse(points, side) - values)[sent].astype(np.float64)
    assert not errors.size or np.sqrt((errors**2).mean()) < 4 * 0.7  # classes of all kinds: bits are dear


@pytest.mark.parametrize("class_of_all", [1, 20, 63])
@pytest.mark.parametrize("offset", [-60, 0, 60])
@pytest.mark.parametrize("code", [0, 1, -1000, MAX_LEVEL])
def test_codes_far_from_their_classes_come_back(class_of_all: int, offset: int, code: int) -> None:
    mixture = of_classes(drawn_mixture(3, (3, 1)), class_of_all, offset)
    side = side_of(mixture, *drawn_maps(67, 3, 2, seed=2))
    codes = np.full(size_of(mixture, side), code, np.int32)
    round_trip(TrackPlanes(mixture, TABLES), codes, side)
    codes[1::3] = 0
    round_trip(TrackPlanes(mixture, TABLES), codes, side)


@pytest.mark.parametrize("code", [MAX_LEVEL + 1, -MAX_LEVEL - 1, 2**31 - 1])
def test_codes_no_quantiser_gives_are_corrupt(code: int) -> None:
    mixture = of_classes(drawn_mixture(3, (3,)), 63)
    side = side_of(mixture, *drawn_maps(4, 2, 1, seed=2))
    planes = TrackPlanes(mixture, TABLES)
    data = planes.encode(np.full(size_of(mixture, side), code, np.int32), side)
    with pytest.raises(CorruptArchive, match="magnitudes up to 1073741824, found a larger"):
        planes.decode(memoryview(data), (size_of(mixture, side),), side)


@pytest.mark.parametrize("coder", [partial(TrackPlanes, tables=TABLES), partial(TrackPaths, tables=PATHS)])
def test_a_still_scene_costs_its_first_frequencies_alone(coder: Callable[[Mixture], Coder]) -> None:
    mixture = of_classes(drawn_mixture(8, (8,)), 20)
    scene = np.full((64, 50), LEVELS - 1), np.zeros((64, 50), int)
    still, moving = side_of(mixture, *scene, STILL), side_of(mixture, *scene)
    codes = np.zeros(64 * 8 * 50, np.int32)
    sizes = [round_trip(coder(mixture), codes, side) for side in (still, moving)]
    assert sizes[0] < 100  # frequency 0 of 50 tracks; 25200 codes are skipped
    assert sizes[1] > 20 * sizes[0]
    assert len(still) < 100


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_chunks_without_codes_come_back(shape: tuple[int, int]) -> None:
    mixture = drawn_mixture(3, (0, 2))
    side = side_of(mixture, *drawn_maps(*shape, 1, seed=0))
    assert mixture.shape((*shape, 3), side) == (0,)
    nothing = np.zeros(0, np.float32)
    for quantiser, coder in (
        (RateRounding(1.0, (0, 0, 0), mixture, TABLES), TrackPlanes(mixture, TABLES)),
        (TrellisPoints(1.0, mixture, PATHS), TrackPaths(mixture, PATHS)),
    ):
        codes = quantiser.forward(nothing, side)
        round_trip(coder, codes, side)
        assert quantiser.inverse(codes, side).shape == (0,)


@pytest.mark.parametrize("paths", [False, True])
def test_every_prefix_and_bit_flip_is_corrupt_or_codes(paths: bool) -> None:
    mixture = drawn_mixture(4, (2, 3))
    side = side_of(mixture, *drawn_maps(20, 3, 2, seed=9))
    codes = geometric(size_of(mixture, side), 300, 3)
    coder: Coder = TrackPlanes(mixture, TABLES)
    if paths:
        codes, coder = (
            TrellisPoints(1.0, mixture, PATHS).forward(codes.astype(np.float32), side),
            TrackPaths(mixture, PATHS),
        )
    data = coder.encode(codes, side)
    for end in range(len(data)):
        with pytest.raises(CorruptArchive):
            coder.decode(memoryview(data[:end]), codes.shape, side)
    with pytest.raises(CorruptArchive):
        coder.decode(memoryview(data + b"\0"), codes.shape, side)
    refused = 0
    for changed in bit_flips(data):
        try:
            found = coder.decode(memoryview(changed), codes.shape, side)
        except CorruptArchive:
            refused += 1
            continue
        assert found.shape == codes.shape
        assert np.abs(found.astype(np.int64)).max() <= 2 * MAX_LEVEL
    assert refused > len(data)


@pytest.mark.parametrize(
    ("kind", "data"), [(TrackPlanes, b""), (TrackPaths, b""), (RateRounding, bytes(6) + b"\xf0\x3f" + bytes(3)),
                       (TrellisPoints, bytes(6) + b"\xf0\x3f")],
)  # fmt: skip
def test_what_codes_a_mixture_needs_one_before_it(kind: type[TrackPlanes], data: bytes) -> None:
    scope = Scope(4, 1, LIMITS, fixed_tables(), None, None)
    with pytest.raises(CorruptArchive, match="expected a mixture"):
        kind.read(FieldReader(data, "models"), scope)
    scope.mixture = drawn_mixture(4, (2,))
    assert kind.read(FieldReader(data, "models"), scope).mixture is scope.mixture
