"""Decoded values in float16: kernel, definition and `dtypes` agree to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli import dtypes
from embdc_cli.codec.halves import cpu, from_float32, reference
from embdc_cli.errors import CorruptArchive

LARGEST_FLOAT32 = np.finfo(np.float32).max
TINY = [0x00000001, 0x32FFFFFF, 0x33000000, 0x33000001, 0x33C00000, 0x387FDFFF, 0x387FE000, 0x387FFFFF, 0x38800000]
LARGE = [0x3F801000, 0x3F803000, 0x477FDFFF, 0x477FE000]
BEYOND = [0x477FE001, 0x477FF000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF]


def floats(patterns: list[int]) -> np.ndarray:
    """float32 of bit patterns, and of them with the other sign."""
    return (np.array(patterns, np.uint32)[:, None] ^ np.array([0, 1 << 31], np.uint32)).view(np.float32).ravel()


def check(x: np.ndarray) -> None:
    defined, compiled = reference.narrow(x), cpu.narrow(x)
    assert (defined is None) == (compiled is None)
    if defined is not None and compiled is not None:
        assert compiled.dtype == np.float16
        np.testing.assert_array_equal(compiled.view(np.uint16), defined.view(np.uint16))
    if np.isnan(x).any():
        with pytest.raises(CorruptArchive, match="no numbers"):
            from_float32(x, "float16")
        return
    wanted = dtypes.from_float32(np.clip(x, -LARGEST_FLOAT32, LARGEST_FLOAT32), "float16")
    np.testing.assert_array_equal(from_float32(x, "float16").view(np.uint16), wanted.view(np.uint16))


@given(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 0x477FE000), max_size=40))
def test_any_pattern(patterns: list[int]) -> None:
    check(floats(patterns))


def test_every_exponent_and_every_rounding() -> None:
    """All that the last bit kept and those dropped can be, at every exponent within float16 and below."""
    ends = np.arange(1 << 15, dtype=np.uint32)
    for exponent in range(95, 143):
        bits = (np.uint32(exponent) << 23) + (ends << 8) + np.uint32(exponent & 1)
        x = bits.view(np.float32)
        check(x[x <= reference.LARGEST])


@pytest.mark.parametrize("pattern", BEYOND)
def test_values_that_float16_cannot_hold_are_left_to_dtypes(pattern: int) -> None:
    x = floats([pattern, *TINY, *LARGE])
    assert cpu.narrow(x) is None
    check(x)
    check(floats([*TINY, *LARGE]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (2, 3, 4)])
def test_shape_and_dtype_of_any_array(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.linspace(-3, 7, 24, dtype=np.float32)[: int(np.prod(shape))].reshape(shape).swapaxes(0, -1)
    found = from_float32(x, dtype)
    assert found.dtype == dtypes.storage(dtype)
    np.testing.assert_array_equal(found, dtypes.from_float32(x, dtype))
