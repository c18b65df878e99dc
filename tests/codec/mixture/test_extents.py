"""Extents of large blocks: they come back, hold every code, and leave out the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.mixture import extents
from embdc_cli.codec.transform.mixture.extents import measure_extents, read_extents, write_extents
from embdc_cli.codec.transform.mixture.frequencies import band_count, band_of
from embdc_cli.codec.transform.mixture.motion import Motion
from embdc_cli.codec.transform.mixture.tracks import Tracks
from embdc_cli.errors import CorruptArchive
from tests.codec.mixture.mixture_cases import AS_FORETOLD, bit_flips, drawn_maps, drawn_mixture, maps

RANKS = (7, 0, 4)


@pytest.fixture(autouse=True, params=[0, 100])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """From how many codes on a block of these tests is large."""
    monkeypatch.setattr(extents, "LARGE", request.param)
    return int(request.param)


def sparse_codes(tracks: Tracks, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = sum(block.token_index.size * RANKS[block.mode] for block in tracks.blocks)
    return np.where(rng.random(size) < rng.choice([0.0, 0.01, 0.3]), rng.integers(-3, 4, size), 0).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(maps(modes=3), st.integers(0, 99))
def test_extents_come_back_and_end_at_the_last_code(found: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    tracks = Tracks.of_maps(*found)
    codes, end = sparse_codes(tracks, seed), 0
    measured = measure_extents(codes, tracks, RANKS)
    out = FieldWriter()
    write_extents(out, measured, tracks, RANKS)
    fields = FieldReader(out.bytes(), "tracks")
    back = read_extents(fields, tracks, RANKS)
    fields.end()
    assert back.keys() == measured.keys()
    for number, block in enumerate(tracks.blocks):
        rank = RANKS[block.mode]
        start, end = end, end + block.token_index.size * rank
        if number not in measured:
            assert end - start < extents.LARGE
            continue
        np.testing.assert_array_equal(back[number], measured[number])
        part = codes[start:end].reshape(block.rows, rank, len(block.tracks))
        assert len(measured[number]) == band_count(block.rows)
        for band, extent in enumerate(measured[number]):
            planes = part[band_of(block.rows) == band]
            assert not planes[:, extent:].any()
            assert extent == 0 or planes[:, extent - 1].any()


@settings(max_examples=60, deadline=None)
@given(maps(modes=3), st.integers(0, 99))
def test_codes_beyond_are_class_zero_and_no_others(found: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    tracks = Tracks.of_maps(*found)
    mixture = drawn_mixture(7, RANKS, seed)
    motion = Motion(mixture.modes, mixture.offsets)
    codes, end = sparse_codes(tracks, seed), 0
    measured = measure_extents(codes, tracks, RANKS)
    activities = np.full(len(tracks.level), AS_FORETOLD, np.uint8)
    classes, all_classes = (motion.classes(tracks, activities, known) for known in (measured, {}))
    assert not codes[classes == 0].any()
    for number, block in enumerate(tracks.blocks):
        start, end = end, end + block.token_index.size * RANKS[block.mode]
        shape = (block.rows, RANKS[block.mode], len(block.tracks))
        part, whole = classes[start:end].reshape(shape), all_classes[start:end].reshape(shape)
        within = np.ones(shape[:2], bool)
        if number in measured:
            within = np.arange(shape[1]) < measured[number][band_of(block.rows)][:, None]
        np.testing.assert_array_equal(part, np.where(within[:, :, None], whole, 0))


def test_every_prefix_and_bit_flip_is_corrupt_or_within_the_ranks() -> None:
    tracks = Tracks.of_maps(*drawn_maps(65, 6, 3, seed=2))
    out = FieldWriter()
    write_extents(out, measure_extents(sparse_codes(tracks, 4), tracks, RANKS), tracks, RANKS)
    data, refused = out.bytes(), 0
    assert len(data) > 4
    for end in range(len(data)):
        with pytest.raises(CorruptArchive):
            read_extents(FieldReader(data[:end], "tracks"), tracks, RANKS)
    for changed in bit_flips(data):
        try:
            found = read_extents(FieldReader(changed, "tracks"), tracks, RANKS)
        except CorruptArchive:
            refused += 1
            continue
        for number, extent in found.items():
            assert 0 <= extent.min() <= extent.max() <= RANKS[tracks.blocks[number].mode]
    assert refused > len(data)


def test_a_mixture_codes_nothing_beyond_what_it_measured(small: int) -> None:
    """Tokens at the mean of a mode have no coefficient: in large blocks no class but 0, in small ones the usual."""
    mixture = drawn_mixture(7, (7,))
    x = np.tile(mixture.modes[0].mean, (64, 6, 1))
    chunk = mixture.chunk(mixture.measure(x))
    assert len(chunk.classes) >= small
    assert not chunk.classes.any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extents, "LARGE", len(chunk.classes) + 1)
        assert mixture.chunk(mixture.measure(x)).classes.any()
