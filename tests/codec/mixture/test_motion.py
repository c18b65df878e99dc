"""How much tracks move, and the classes that follow from it."""

from __future__ import annotations

import dataclasses
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.mixture.code_classes import cpu, reference
from embdc_cli.codec.transform.mixture.frequencies import BANDS, band_of
from embdc_cli.codec.transform.mixture.motion import Motion, read_activities, write_activities
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.entropy.tables import CLASSES, UNIT_CLASS
from embdc_cli.errors import CorruptArchive
from tests.codec.mixture.mixture_cases import AS_FORETOLD, LIVELIEST, STILL, drawn_maps, drawn_mixture, maps


def motion_of(cls: int, rank: int = 4) -> Motion:
    """One mode whose codes are all of one class."""
    mode = dataclasses.replace(drawn_mixture(rank, (rank,)).modes[0], classes=np.full((2, rank), cls))
    return Motion([mode], np.zeros((LEVELS, BANDS), int))


@settings(max_examples=60, deadline=None)
@given(maps(), st.integers(0, 1 << 32))
def test_activities_come_back(found: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    tracks = Tracks.of_maps(*found)
    activities = np.random.default_rng(seed).integers(0, LIVELIEST + 1, len(tracks.level)).astype(np.uint8)
    out = FieldWriter()
    write_activities(out, activities, tracks)
    fields = FieldReader(out.bytes(), "tracks")
    back = read_activities(fields, tracks)
    fields.end()
    np.testing.assert_array_equal(back, np.where(tracks.level > 0, activities, 0))  # a single row cannot move
    for end in range(0, len(out.bytes()), 7):
        with pytest.raises(CorruptArchive):
            read_activities(FieldReader(out.bytes()[:end], "tracks"), tracks)


def test_activities_follow_each_track() -> None:
    """Twice the magnitudes are two half octaves more; frequency 0 says nothing about motion."""
    motion = motion_of(UNIT_CLASS + 6)  # a mean of 8
    tracks = Tracks.of_maps(np.full((16, 6), 4), np.zeros((16, 6), int))
    magnitudes = np.zeros((16, 4, 6), np.int64)
    magnitudes[1:] = [0, 4, 8, 16, 0, MAX_LEVEL]
    magnitudes[0] = 1000
    magnitudes[9, 2, 4] = 1
    symbols = motion.activities(magnitudes.ravel(), tracks).tolist()
    assert symbols == [STILL, AS_FORETOLD - 2, AS_FORETOLD, AS_FORETOLD + 2, 1, LIVELIEST]


@settings(max_examples=60, deadline=None)
@given(maps(modes=3), st.integers(0, 100))
def test_classes_are_the_sum_of_what_is_known(found: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    levels, modes = found
    mixture = drawn_mixture(4, (3, 0, 4), seed)
    tracks = Tracks.of_maps(levels, modes)
    rng = np.random.default_rng(seed)
    activities = rng.integers(0, LIVELIEST + 1, len(tracks.level)).astype(np.uint8)
    motion = Motion(mixture.modes, mixture.offsets)
    parts = motion.parts(tracks, activities, {})
    defined, compiled = (kernel.spread(parts.planes, parts.symbols, parts.shapes) for kernel in (reference, cpu))
    np.testing.assert_array_equal(compiled, defined)
    classes, end = motion.classes(tracks, activities, {}), 0
    np.testing.assert_array_equal(classes, compiled)
    assert classes.dtype == np.uint8
    for block in tracks.blocks:
        own = mixture.modes[block.mode].classes
        shape = (block.rows, own.shape[1], len(block.tracks))
        start, end = end, end + int(np.prod(shape))
        part = classes[start:end].reshape(shape)
        bands = band_of(block.rows)
        for k in range(block.rows):
            base = own[min(k, 1)] + mixture.offsets[block.level][bands[k]]
            base = np.clip(base, 1, CLASSES - 1)[:, None]
            moved = activities[block.tracks].astype(int)
            expected = np.clip(base + moved - AS_FORETOLD, 1, CLASSES - 1) * (moved != STILL) if k else base
            np.testing.assert_array_equal(part[k], np.broadcast_to(expected, shape[1:]))
    assert end == classes.size
    assert motion.paths(tracks).prod(axis=1).sum() == classes.size


@pytest.mark.parametrize("kernel", [reference, cpu])
def test_planes_beyond_an_extent_stay_class_0_however_much_a_track_moves(kernel: ModuleType) -> None:
    planes, symbols = np.array([5, 7, 60, 0], np.uint8), np.array([LIVELIEST, STILL, AS_FORETOLD], np.uint8)
    found = kernel.spread(planes, symbols, np.array([[4, 3, 1]]))
    expected = [[5, 5, 5], [7 + LIVELIEST - AS_FORETOLD, 0, 7], [CLASSES - 1, 0, 60], [0, 0, 0]]
    assert found.reshape(4, 3).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(maps(modes=2), st.integers(0, 100))
def test_what_is_measured_leaves_no_code_out(found: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """Under the activities of its own magnitudes, no code but 0 is of class 0."""
    mixture = drawn_mixture(4, (3, 2), seed)
    tracks = Tracks.of_maps(*found)
    motion = Motion(mixture.modes, mixture.offsets)
    size = int(motion.paths(tracks).prod(axis=1).sum())
    rng = np.random.default_rng(seed)
    magnitudes = rng.integers(0, 3, size) * (rng.random(size) < 0.05)
    classes = motion.classes(tracks, motion.activities(magnitudes, tracks), {})
    assert not magnitudes[classes == 0].any()


def test_paths_are_the_planes_and_tracks_of_each_block() -> None:
    mixture = drawn_mixture(4, (3, 2))
    tracks = Tracks.of_maps(*drawn_maps(20, 5, 2, seed=1))
    expected = [[block.rows * (3, 2)[block.mode], len(block.tracks)] for block in tracks.blocks]
    assert Motion(mixture.modes, mixture.offsets).paths(tracks).tolist() == expected
