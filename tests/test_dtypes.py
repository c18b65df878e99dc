"""Conversion of decoded values: nearest even, finite overflow saturates, NaN and infinities stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli import dtypes

# bit patterns of float32 and of what they become
HALVES = [
    (0x00000000, 0x0000),
    (0x80000000, 0x8000),
    (0x3F801000, 0x3C00),  # a tie goes to even
    (0x3F803000, 0x3C02),
    (0x33000000, 0x0000),  # half the least subnormal
    (0x33000001, 0x0001),
    (0x477FE000, 0x7BFF),  # 65 504
    (0x477FE001, 0x7BFF),
    (0x7F7FFFFF, 0x7BFF),
    (0xFF7FFFFF, 0xFBFF),
    (0x7F800000, 0x7C00),
    (0xFF800000, 0xFC00),
    (0x7FC00000, 0x7E00),
]
BRAINS = [
    (0x00000000, 0x0000),
    (0x80000000, 0x8000),
    (0x3F808000, 0x3F80),  # a tie goes to even
    (0x3F818000, 0x3F82),
    (0x00008001, 0x0001),
    (0x7F7F0000, 0x7F7F),  # the largest
    (0x7F7F8000, 0x7F7F),
    (0xFF7FFFFF, 0xFF7F),
    (0x7F800000, 0x7F80),
    (0xFF800000, 0xFF80),
    (0x7F800001, 0x7FC0),
    (0xFFFFFFFF, 0xFFC0),
]
CASES = [("float16", HALVES), ("bfloat16", BRAINS)]


def floats(patterns: list[int]) -> np.ndarray:
    return np.array(patterns, np.uint32).view(np.float32)


@pytest.mark.parametrize(("dtype", "case"), [(dtype, case) for dtype, cases in CASES for case in cases])
def test_a_value_alone_and_beside_others(dtype: str, case: tuple[int, int]) -> None:
    for beside in ([], [0x3F800000], [0x7F800000], [0x7F000000, 0x7FC00000]):
        given_values = floats([case[0], *beside])
        before = given_values.tobytes()
        found = dtypes.from_float32(given_values, dtype)
        assert found.dtype == dtypes.storage(dtype)
        assert found.view(np.uint16)[0] == case[1]
        assert given_values.tobytes() == before


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_bfloat16_is_the_nearest_there_is(patterns: list[int]) -> None:
    x = floats(patterns)
    found = dtypes.to_float32(dtypes.from_float32(x, "bfloat16"), "bfloat16")
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    finite = np.isfinite(x)
    np.testing.assert_array_equal(found[np.isinf(x)], x[np.isinf(x)])
    exact, value = x[finite].astype(np.float64), found[finite].astype(np.float64)
    assert np.isfinite(value).all()
    below, above = (dtypes.to_float32((x.view(np.uint32)[finite] >> 16) + step, "bfloat16") for step in (0, 1))
    error = np.abs(exact - value)
    assert (error <= np.abs(exact - below)).all()
    further = np.isfinite(above)
    assert (error[further] <= np.abs(exact - above)[further]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)])
def test_any_shape(dtype: str, shape: tuple[int, ...]) -> None:
    found = dtypes.from_float32(np.ones(shape, np.float32), dtype)
    assert found.shape == shape
    assert (dtypes.to_float32(found, dtype) == 1).all()


def test_strided_values() -> None:
    x = np.linspace(-9, 9, 24, dtype=np.float32).reshape(4, 6)
    for dtype in dtypes.FLOATS:
        np.testing.assert_array_equal(
            dtypes.from_float32(x[:, ::2], dtype), dtypes.from_float32(np.ascontiguousarray(x[:, ::2]), dtype)
        )
