"""Codes to values by table: kernels agree, and the table changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.codec.transform.points import LARGEST, cpu, reconstruct, reference

CODES = st.lists(st.integers(-40, 40) | st.integers(-LARGEST - 2, LARGEST + 2), max_size=50)


@given(CODES, st.integers(0, 30))
def test_kernels_agree(drawn: list[int], largest: int) -> None:
    codes = np.array(drawn, np.int32)
    for table in (np.random.default_rng(largest).normal(size=2 * k + 1).astype(np.float32) for k in (largest, LARGEST)):
        slow, fast = reference.look_up(codes, table), cpu.look_up(codes, table)
        assert (slow is None) == (fast is None) == bool((np.abs(codes) > len(table) // 2).any())
        if slow is not None and fast is not None:
            assert slow.dtype == fast.dtype == np.float32
            np.testing.assert_array_equal(slow, fast)


def test_codes_far_beyond_the_table_are_told_by_every_kernel() -> None:
    table = np.arange(3, dtype=np.float32)
    for code in (-(2**30), 2**30, -2, 2):
        codes = np.array([0, 1, code, -1], np.int32)
        assert reference.look_up(codes, table) is None
        assert cpu.look_up(codes, table) is None


def halves_off(codes: np.ndarray) -> np.ndarray:
    """float32 points that the sign of a code does not simply mirror."""
    return (codes + np.where(codes < 0, 0.5, 0.25)).astype(np.float32)


@pytest.mark.parametrize("largest", [0, 3, LARGEST, LARGEST + 1, 2**30])
@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (6, 5, 4)])
def test_any_codes_become_their_points(largest: int, shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(1).integers(-largest, largest + 1, shape).astype(np.int32)
    codes.flat[:2] = largest, -largest
    for given_codes in (codes, codes.swapaxes(0, -1)):
        found = reconstruct(given_codes, halves_off)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, halves_off(given_codes))
