"""Modes as bytes: they come back exactly, and damaged ones are corrupt or modes after all, never a large array."""

from __future__ import annotations

import dataclasses
import tracemalloc
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.layout import MAX_CHANNELS
from embdc_cli.codec.transform.mixture.entries import Entries, entry_classes
from embdc_cli.codec.transform.mixture.frequencies import BANDS
from embdc_cli.codec.transform.mixture.modes import (
    COARSEST_H,
    FINEST_H,
    KINDS,
    Mode,
    precisions_of,
    read_modes,
    write_modes,
)
from embdc_cli.codec.transform.mixture.tracks import LEVELS
from embdc_cli.codec.transform.parameters import write_uniform_levels
from embdc_cli.codec.transform.reflections import lengths_of
from embdc_cli.entropy.tables import CLASSES, class_of_mean
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import LIMITS
from tests.codec.mixture.mixture_cases import bit_flips, drawn_mixture

FIELDS = ("entries", "mean_codes", "mean_exponent", "mean_class", "h", "basis_codes", "classes")


def written(modes: tuple[Mode, ...], offsets: np.ndarray) -> bytes:
    out = FieldWriter()
    write_modes(out, modes, offsets)
    return out.bytes()


def reread(data: bytes, channels: int, limits: object = LIMITS) -> tuple[tuple[Mode, ...], np.ndarray]:
    fields = FieldReader(data, "modes")
    found = read_modes(fields, channels, limits)
    fields.end()
    return found


def assert_sound(modes: tuple[Mode, ...], offsets: np.ndarray, channels: int) -> None:
    assert offsets.shape == (LEVELS, BANDS)
    for mode in modes:
        assert mode.channels == channels
        assert mode.rank <= channels
        assert (np.diff(mode.h) <= 0).all()
        assert not mode.rank or (mode.h.min() >= COARSEST_H and mode.h.max() <= FINEST_H)
        assert mode.classes.shape == (2, mode.rank)
        assert not mode.rank or 1 <= mode.classes.min() <= mode.classes.max() < CLASSES
        product = mode.synthesis.astype(np.float64) @ mode.synthesis.T
        np.testing.assert_allclose(product, np.eye(mode.rank), atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.data())
def test_modes_come_back(channels: int, data: st.DataObject) -> None:
    ranks = tuple(data.draw(st.lists(st.integers(0, channels), min_size=1, max_size=6)))
    mixture = drawn_mixture(channels, ranks, data.draw(st.integers(0, 1000)), data.draw(st.sampled_from(KINDS)))
    modes, offsets = reread(written(mixture.modes, mixture.offsets), channels)
    np.testing.assert_array_equal(offsets, mixture.offsets)
    for mine, other in zip(mixture.modes, modes, strict=True):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name), err_msg=name)
        assert mine.mean.tobytes() == other.mean.tobytes()
        assert mine.synthesis.tobytes() == other.synthesis.tobytes()
    assert_sound(modes, offsets, channels)


@pytest.mark.parametrize("count", [1, 64])
@pytest.mark.parametrize("exponent", [-126, 0, 126])
def test_the_limits_themselves_are_allowed(count: int, exponent: int) -> None:
    mixture = drawn_mixture(3, (3,) * count)
    modes = tuple(dataclasses.replace(mode, mean_exponent=exponent) for mode in mixture.modes)
    found, _ = reread(written(modes, mixture.offsets), 3, dataclasses.replace(LIMITS, max_rank=3, max_modes=count))
    assert [mode.mean_exponent for mode in found] == [exponent] * count


@pytest.mark.parametrize("entries", KINDS)
@pytest.mark.parametrize("precision", [2.0**-10, 0.01, 0.5])
def test_precision_decides_the_error_of_means_and_bases(entries: Entries, precision: float) -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=60) * 3
    vectors = np.linalg.qr(rng.normal(size=(60, 60)))[0][:20]
    h = np.full(20, round(-2 * np.log2(precision)) + 6)
    mode = Mode.fit(entries, mean, precision, vectors, h, np.full((2, 20), 20))
    assert np.sqrt(((mode.mean - mean) ** 2).mean()) < 0.6 * precision
    found = mode.synthesis * np.sign((mode.synthesis * vectors).sum(axis=1))[:, None]
    assert np.sqrt(((found - vectors) ** 2).mean()) < precisions_of(h)[0]


@pytest.mark.parametrize("entries", KINDS)
@pytest.mark.parametrize("channels", [16, 300])
def test_bases_that_are_nearly_all_zeros_are_no_claim_without_bytes(entries: Entries, channels: int) -> None:
    """Axes of the channels themselves: hardly any bits for a great many entries, and nothing corrupt about it."""
    rank = channels // 2
    mode = Mode.fit(entries, np.zeros(channels), 0.1, np.eye(channels)[::-1], np.full(rank, 4), np.full((2, rank), 20))
    data = written((mode,) * 3, np.zeros((LEVELS, BANDS), int))
    modes, _ = reread(data, channels)
    np.testing.assert_array_equal(modes[2].synthesis, mode.synthesis)


@pytest.mark.parametrize("entries", KINDS)
@pytest.mark.parametrize("ranks", [(3, 0, 2), (2,), (0, 0), (1,) * 4])
def test_every_prefix_and_bit_flip_is_corrupt_or_modes(ranks: tuple[int, ...], entries: Entries) -> None:
    mixture = drawn_mixture(3, ranks, entries=entries)
    data = written(mixture.modes, mixture.offsets)
    for end in range(len(data)):
        with pytest.raises(CorruptArchive):
            reread(data[:end], 3)
    with pytest.raises(CorruptArchive):
        reread(data + b"\0", 3)
    refused = 0
    for changed in bit_flips(data):
        try:
            modes, offsets = reread(changed, 3)
        except CorruptArchive:
            refused += 1
            continue
        assert_sound(modes, offsets, 3)
    assert refused > 2 * len(data)


@pytest.mark.parametrize(("channels", "modes", "entries"), [(1 << 12, 16, 0), (1 << 13, 1, 1), (300, 64, 1)])
def test_a_few_bytes_do_not_become_a_large_array(channels: int, modes: int, entries: int) -> None:
    """Modes of full rank, said in a few hundred bytes: 2^27 basis entries would take half a gigabyte and more."""
    data = claimed(channels, modes, entries)
    assert len(data) < 1000
    tracemalloc.start()
    with pytest.raises(CorruptArchive):
        reread(data, channels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * (channels * modes + 1000)  # the small integers of every vector


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(1, 5))
def test_bytes_from_nowhere_are_corrupt_or_modes(raw: bytes, channels: int) -> None:
    try:
        modes, offsets = reread(raw, channels)
    except CorruptArchive:
        return
    assert_sound(modes, offsets, channels)


@pytest.mark.parametrize(
    ("limits", "what"),
    [({"max_modes": 2}, "at most 2, found 3"), ({"max_rank": 3}, "at most 3, found 4"), ({"max_rank": 0}, "at most 0")],
)
def test_what_the_header_does_not_allow_is_refused(limits: dict[str, int], what: str) -> None:
    mixture = drawn_mixture(4, (4, 1, 2))
    with pytest.raises(CorruptArchive, match=what):
        reread(written(mixture.modes, mixture.offsets), 4, dataclasses.replace(LIMITS, **limits))


def test_a_zero_vector_is_corrupt() -> None:
    mixture = drawn_mixture(4, (2, 3))
    zero = mixture.modes[1].basis_codes.copy()
    zero[4:7] = 0
    modes = (mixture.modes[0], dataclasses.replace(mixture.modes[1], basis_codes=zero))
    with pytest.raises(CorruptArchive, match="a vector is zero"):
        reread(written(modes, mixture.offsets), 4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.data())
def test_modes_on_axes_send_no_vectors(channels: int, data: st.DataObject) -> None:
    rank, kinds = data.draw(st.integers(1, channels)), data.draw(st.integers(2, LEVELS))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    entries, mean = data.draw(st.sampled_from(KINDS)), rng.normal(size=channels)
    classes = rng.integers(1, CLASSES, (kinds, rank))
    mode = Mode.fit(entries, mean, 1e-3, None, np.zeros(rank, np.int64), classes)
    (found,), _ = reread(written((mode,), np.zeros((LEVELS, BANDS), int)), channels)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(mode, name), getattr(found, name), err_msg=name)
    x = rng.normal(size=(7, channels)).astype(np.float32)
    np.testing.assert_array_equal(found.analyse(x), (x - found.mean) @ found.synthesis.T)
    y = found.analyse(x)
    np.testing.assert_array_equal(found.synthesise(y), y @ found.synthesis + found.mean)
    assert not found.basis_codes.size


def claimed(
    channels: int,
    modes: int,
    entries: int = 0,
    kinds: int = 2,
    *,
    exponent: int = 0,
    h: int = COARSEST_H,
    offset: int = 0,
) -> bytes:
    """Modes of full rank, all small integers 0 but those named, and no bytes of means and basis entries."""
    out = FieldWriter()
    out.byte(entries)
    out.byte(kinds)
    out.varint(modes)
    for _ in range(modes):
        out.varint(channels)
        out.signed_byte(exponent)
        out.byte(0)
        out.byte(h)
    write_uniform_levels(out, np.zeros(modes * (channels - 1), np.int32))
    write_uniform_levels(out, np.diff(np.full(modes * channels, 20), prepend=0).astype(np.int32))
    write_uniform_levels(out, np.diff(np.full(modes * channels, 20), prepend=0).astype(np.int32))
    write_uniform_levels(out, np.full(43, offset, np.int32))
    out.blob(b"\0")
    return out.bytes()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"modes": 0}, "modes: expected at least 1"),
        ({"entries": 2}, "at most 1, found 2"),
        ({"kinds": 0}, "classes of a vector: expected 1 to 7, found 0"),
        ({"kinds": 8}, "at most 7, found 8"),
        ({"modes": 65}, "at most 64, found 65"),
        ({"exponent": 127}, "exponent of means: expected at most 126, found 127"),
        ({"exponent": -128}, "exponent of means"),
        ({"h": COARSEST_H - 1}, "basis precision: expected 0 or at least 4, found 3"),
        ({"h": FINEST_H + 1}, "at most 52, found 53"),
        ({"offset": 61}, "class offsets: expected at most 60, found 61"),
        ({"offset": -61}, "class offsets: expected at most 60, found 61"),
    ],
)
def test_integers_out_of_range_are_named(change: dict[str, int], what: str) -> None:
    data = claimed(**({"channels": 3, "modes": 2} | change))
    with pytest.raises(CorruptArchive, match=what):
        reread(data, 3)


@pytest.mark.parametrize("h", [COARSEST_H, 9, 20, 51, FINEST_H])
@pytest.mark.parametrize("dimensions", [1, 40, 1000])
def test_entry_class_is_that_of_a_random_unit_vector(h: int, dimensions: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(4000 // dimensions + 3, dimensions)) / np.sqrt(dimensions)
    magnitudes = np.abs(vectors) / precisions_of(np.array([h]))
    measured = class_of_mean(int(magnitudes.sum() * 1000), magnitudes.size * 1000)
    assert abs(measured - int(entry_classes(np.array([h]), np.array([dimensions]))[0])) <= 1
    assert lengths_of(1, dimensions).tolist() == [dimensions]


def test_entry_classes_are_those_of_integers_alone() -> None:
    """For whatever a layout allows: embdc-codec(5), "Class of an entry"."""
    dimensions = np.arange(1, MAX_CHANNELS + 1)
    roots = [isqrt(one << 32) for one in dimensions.tolist()]
    for h in range(COARSEST_H, FINEST_H + 1):
        scaled = 3277 * (92682 if h % 2 else 65536) << h // 2 >> 12
        expected = [class_of_mean(scaled, root) for root in roots]
        assert entry_classes(np.full(len(roots), h), dimensions).tolist() == expected
