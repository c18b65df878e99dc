"""The sticky quantiser: within its bound, the same from both kernels, and better than rounding where things stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform import sticky
from embdc_cli.codec.transform.parameters import MAX_LEVEL, Scope
from embdc_cli.codec.transform.sticky import MAX_ERROR, OFFSET_UNIT, Sticky, reference
from embdc_cli.codec.transform.time_context import bits_of, classes_of, cost_of
from embdc_cli.codec.transform.time_context.model import static_model
from embdc_cli.entropy.backend import kernels
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import LIMITS
from tests.codec.sparse_cases import sparse_map

compiled = kernels(sticky.__name__)
PLAIN = np.zeros((4, 3, 3), np.int8)


def offsets(seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).integers(-127, 128, (4, 3, 3)).astype(np.int8)
    found[0, 1, 1] = 0
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 7), st.integers(1, 12), st.integers(1, 8))
def test_kernels_agree(seed: int, rows: int, tokens: int, channels: int, width: int) -> None:
    shape = (rows, tokens, channels)
    values = sparse_map(shape, seed, zeros=0.2) * np.float32(0.3 + seed % 7)
    first = sticky.start(values)
    classes, cost = classes_of(first), cost_of(first, width)
    shifts = offsets(seed).astype(np.float64) * OFFSET_UNIT
    second = first.copy()
    for kernel, codes in ((reference, first), (compiled, second)):
        kernel.refine(values, codes, width, classes, cost, shifts, 0.3 / 256, static_model())
    np.testing.assert_array_equal(first, second)
    for one, other in zip(reference.centroid_sums(values, first), compiled.centroid_sums(values, first), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    signed = np.where(np.random.default_rng(seed).random(shape) < 0.3, -first, first)
    points = [kernel.points(signed, shifts.astype(np.float32), 0.37) for kernel in (reference, compiled)]
    assert points[0].dtype == np.float32
    np.testing.assert_array_equal(points[0], points[1])


@pytest.mark.parametrize("step", [0.01, 0.7, 5.0, 100.0])
@pytest.mark.parametrize("signed", [False, True])
def test_error_is_bounded(step: float, signed: bool) -> None:
    rng = np.random.default_rng(3)
    x = sparse_map((12, 9, 20), 1)
    x += (rng.random(x.shape) < 0.02) * rng.normal(size=x.shape).astype(np.float32) * 40
    x = x * np.sign(rng.normal(size=x.shape)).astype(np.float32) if signed else np.abs(x)
    for shifts in (PLAIN, offsets(1)):
        stage = Sticky(step, shifts, 3)
        codes = stage.forward(x, b"")
        assert codes.dtype == np.int32
        assert codes.shape == x.shape
        assert np.all(np.sign(codes) * np.sign(x) >= 0)
        assert np.abs(stage.inverse(codes, b"") - x).max() < MAX_ERROR * step


def test_exact_zeros_come_back_as_zeros_where_nothing_is_near() -> None:
    x = sparse_map((12, 9, 20), 2, zeros=2.0)
    x[:, :, :5] = 0
    codes = Sticky(0.5, offsets(2), 3).forward(x, b"")
    assert not codes[:, :, :5].any()
    assert not Sticky(0.5, offsets(2), 3).inverse(codes, b"")[:, :, :5].any()


@pytest.mark.parametrize("large", [np.inf, -np.inf, np.nan, 3e38, -3e38])
def test_values_that_no_integer_holds_are_limited(large: float) -> None:
    x = np.array([[[0.0, 1.0]], [[large, 1.0]], [[2.0, 1.0]]], np.float32)
    codes = Sticky(1e-6, PLAIN, 1).forward(x, b"")
    assert np.abs(codes).max() <= MAX_LEVEL
    assert np.isfinite(Sticky(1e-6, PLAIN, 1).inverse(codes, b"")).all()


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (2, 3, 0), (1, 1, 1)])
def test_small_arrays(shape: tuple[int, int, int]) -> None:
    stage = Sticky(0.5, offsets(3), 2)
    codes = stage.forward(np.ones(shape, np.float32), b"")
    assert stage.inverse(codes, b"").shape == shape


def test_input_is_left_alone() -> None:
    x = sparse_map((5, 4, 8), 4)
    before = x.tobytes()
    Sticky(0.5, PLAIN, 2).forward(x, b"")
    assert x.tobytes() == before


def test_decisions_lower_what_they_minimise() -> None:
    values = sparse_map((20, 16, 60), 5) / np.float32(0.8)
    codes = sticky.start(values)

    def cost() -> float:
        missed = reference.points(codes, PLAIN.astype(np.float32), 1.0) - values
        return float((missed**2).sum()) + sticky.LAMBDA * bits_of(codes, 4)

    before = cost()
    sticky.improve(values, codes, PLAIN, 4)
    once = cost()
    sticky.improve(values, codes, PLAIN, 4)
    assert once < 0.97 * before
    assert cost() < once


def test_a_code_stays_while_that_is_cheap() -> None:
    values = np.full((30, 4, 50), 2.0, np.float32) + np.random.default_rng(6).normal(size=(30, 4, 50)) * 0.35
    values = values.astype(np.float32)
    changes = np.count_nonzero(np.diff(np.rint(values), axis=0))
    codes = Sticky(1.0, PLAIN, 2).forward(values, b"")
    assert np.count_nonzero(np.diff(codes, axis=0)) < 0.05 * changes


def test_centroids_are_what_the_points_are_shifted_by() -> None:
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 5, (9, 4, 200)).astype(np.int32)
    shifts = offsets(8).astype(np.float32) * np.float32(OFFSET_UNIT)
    values = reference.points(codes, shifts, 1.0)
    sums, numbers = reference.centroid_sums(values, codes)
    seen = numbers > 0
    assert seen.sum() > 30
    np.testing.assert_array_equal(sticky.centroids(sums, numbers)[seen], offsets(8)[seen])


def test_parameters_come_back_through_bytes() -> None:
    out = FieldWriter()
    stage = Sticky(0.37, offsets(9), 14)
    stage.write(out)
    fields = FieldReader(out.bytes(), "test")
    again = Sticky.read(fields, Scope(8, 1, LIMITS, fixed_tables(), None, None))
    fields.end()
    assert (again.step, again.width) == (stage.step, stage.width)
    np.testing.assert_array_equal(again.offsets, stage.offsets)
    x = sparse_map((5, 4, 8), 4)
    np.testing.assert_array_equal(again.forward(x, b""), stage.forward(x, b""))


@pytest.mark.parametrize(
    ("step", "shift", "middle", "width"),
    [(0.0, 0, 0, 1), (np.nan, 0, 0, 1), (1e300, 0, 0, 1), (1.0, -128, 0, 1), (1.0, 0, 1, 1), (1.0, 0, 0, 0)],
)
def test_impossible_parameters_are_refused(step: float, shift: int, middle: int, width: int) -> None:
    out = FieldWriter()
    out.float64(step)
    for place in range(36):
        out.signed_byte(middle if place == 4 else shift)
    out.varint(width)
    with pytest.raises(CorruptArchive):
        Sticky.read(FieldReader(out.bytes(), "test"), Scope(8, 1, LIMITS, fixed_tables(), None, None))
