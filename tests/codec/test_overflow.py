"""Models of extreme numbers: what float32 cannot hold is limited or refused, and never NaN or infinite in silence."""

from __future__ import annotations

import functools
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli import dtypes
from embdc_cli.codec import halves
from embdc_cli.codec.layout import Layout
from embdc_cli.errors import CorruptArchive, EmbdcError
from tests.codec.codec_cases import spec_of
from tests.fuzz.targets import ENCODED, coding

LOSSY = [name for name in ENCODED if name != "lossless"]
EXTREMES = [0x78, 0x7E, 0x7F, 0x80, 0x82, 0x88, 0xFF]
"""Of a byte with a sign: 120, 126, 127, -128, -126, -120, -1."""
STEPS = [2.0**120, 1.5 * 2.0**119, 2.0**60, 2.0**-120]


MOST_PLACES = 64
"""Bytes at the front of models: stages, exponents and steps; behind them all is entropy-coded."""


def doubles(models: bytes) -> list[int]:
    """Where steps may be."""
    places = range(len(models) - 8)
    return [place for place in places if 1e-4 < struct.unpack_from("<d", models, place)[0] < 1e4]


@functools.cache
def exponents(name: str) -> list[int]:
    """Bytes of the models that may be 126 so that payloads still decode."""
    models, payload, decode = coding(name)
    found = []
    for place in range(9, min(MOST_PLACES, len(models))):
        with suppress(EmbdcError):
            decode(models[:place] + b"\x7e" + models[place + 1 :], payload)
            found.append(place)
    return found


@pytest.mark.parametrize("name", LOSSY)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_extreme_models_give_finite_values_or_are_refused(name: str, data: st.DataObject) -> None:
    models, payload, decode = coding(name)
    changed = bytearray(models)
    for place in data.draw(st.lists(st.sampled_from(doubles(models)), max_size=2)):
        changed[place : place + 8] = struct.pack("<d", data.draw(st.sampled_from(STEPS)))
    for place in data.draw(st.lists(st.sampled_from(exponents(name)), min_size=1, max_size=3)):
        changed[place] = data.draw(st.sampled_from(EXTREMES))
    try:
        rows = decode(bytes(changed), payload)
    except EmbdcError:
        return
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_infinity_becomes_the_largest_value_and_no_number_is_refused(dtype: str) -> None:
    layout = Layout(spec_of((1, 1, 4), dtype), 4)
    x = np.array([[[np.inf, -np.inf, 1.0, 3e38]]], np.float32)
    rows = dtypes.to_float32(layout.join([x]), dtype)
    largest = dtypes.to_float32(halves.from_float32(np.array([3.4028235e38], np.float32), dtype), dtype)[0]
    assert rows.ravel()[:2].tolist() == [largest, -largest]
    assert np.isfinite(largest)
    x[0, 0, 2] = np.nan
    with pytest.raises(CorruptArchive, match="no numbers"):
        layout.join([x])
