"""Vectors as reflections: orthonormal whatever the integers, and as near to what was asked as their units allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.fields import FieldReader
from embdc_cli.codec.transform.reflections import check_codes, cpu, lengths_of, quantised, reference, vectors_of
from embdc_cli.errors import CorruptArchive


@st.composite
def integers(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """(codes of rank vectors, rank, channels), none of them zero."""
    channels = draw(st.integers(1, 12))
    rank = draw(st.integers(0, channels))
    largest = draw(st.sampled_from([1, 3, 1000, 1 << 30]))
    codes: list[int] = []
    for i in range(rank):
        row = draw(st.lists(st.integers(-largest, largest), min_size=channels - i, max_size=channels - i))
        codes += row if any(row) else [-1, *row[1:]]
    return np.array(codes, np.int32), rank, channels


def orthonormal(rank: int, channels: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(channels, rank)))[0].T


@settings(max_examples=150, deadline=None)
@given(integers())
def test_any_integers_are_orthonormal_vectors(drawn: tuple[np.ndarray, int, int]) -> None:
    codes, rank, channels = drawn
    assert lengths_of(rank, channels).sum() == codes.size
    check_codes(codes, rank, channels, FieldReader(b"", "basis"))
    vectors = vectors_of(codes, rank, channels)
    assert vectors.shape == (rank, channels)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors.astype(np.float64) @ vectors.T, np.eye(rank), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(integers())
def test_each_vector_is_in_the_space_its_integers_span(drawn: tuple[np.ndarray, int, int]) -> None:
    """The first vector is the integers themselves, up to sign; so is each next one after the reflections before it."""
    codes, rank, channels = drawn
    vectors = vectors_of(codes, rank, channels).astype(np.float64)
    product = np.eye(channels)
    end = 0
    for i in range(rank):
        start, end = end, end + channels - i
        v = np.zeros(channels)
        v[i:] = codes[start:end]
        np.testing.assert_allclose(np.abs(vectors[i] @ (product @ v)), np.linalg.norm(v), rtol=1e-5)
        v[i] += np.copysign(np.linalg.norm(v), v[i])
        product = product @ (np.eye(channels) - 2 * np.outer(v, v) / (v @ v))


@given(st.integers(0, 30), st.integers(0, 1000))
def test_kernels_agree_and_solve(rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gram, right = rng.normal(size=(rank, rank)) + 3 * np.eye(rank), np.triu(rng.normal(size=(rank, rank)))
    slow, fast = right.copy(), right.copy()
    reference.solve(gram, slow)
    cpu.solve(gram, fast)
    assert slow.tobytes() == fast.tobytes()
    product = (np.triu(gram, 1) + np.diag(np.diag(gram)) / 2) @ slow
    np.testing.assert_allclose(product, right, atol=1e-12 * max(1.0, float(np.abs(slow).max(initial=0.0))))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_units_bound_the_error(channels: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, channels))
    units = 2.0 ** -np.sort(np.array(data.draw(st.lists(st.integers(4, 20), min_size=rank, max_size=rank))))[::-1]
    wanted = orthonormal(rank, channels, data.draw(st.integers(0, 1000)))
    codes = quantised(wanted, units)
    assert codes.dtype == np.int32
    found = vectors_of(codes, rank, channels).astype(np.float64)
    errors = np.linalg.norm(found * np.sign((found * wanted).sum(axis=1))[:, None] - wanted, axis=1)
    # D - i entries of a unit vector, each off by half a unit; what the vectors before took cannot come back
    lost = np.sqrt(lengths_of(rank, channels)) * units / 2
    assert (errors <= 1.5 * np.sqrt(np.cumsum(lost**2)) + 1e-6).all()


@pytest.mark.parametrize("vectors", [np.zeros((1, 4)), np.full((1, 1024), 1 / 32)])
def test_what_rounds_to_nothing_is_still_a_vector(vectors: np.ndarray) -> None:
    rank, channels = vectors.shape
    codes = quantised(vectors, np.full(rank, 0.25))
    check_codes(codes, rank, channels, FieldReader(b"", "basis"))
    np.testing.assert_allclose(np.linalg.norm(vectors_of(codes, rank, channels), axis=1), 1.0, atol=1e-6)


def test_no_vectors_have_no_codes() -> None:
    codes = quantised(np.zeros((0, 5)), np.zeros(0))
    assert codes.shape == (0,)
    assert vectors_of(codes, 0, 5).shape == (0, 5)
    check_codes(codes, 0, 5, FieldReader(b"", "basis"))


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_zero_vector_is_corrupt(zero: int) -> None:
    lengths = lengths_of(4, 4)
    codes = np.ones(10, np.int32)
    start = int(lengths[:zero].sum())
    codes[start : start + lengths[zero]] = 0
    with pytest.raises(CorruptArchive, match="a vector is zero"):
        check_codes(codes, 4, 4, FieldReader(b"", "basis"))
