"""The frames that a video codec would be given, without padding."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution.planes import planes
from tests.distribution.sources import noise, sample_of


def test_a_mosaic_has_a_tile_for_every_channel() -> None:
    x = noise(3, 4, 5, 6)
    found = planes(sample_of(x))
    assert found is not None
    assert (found.tiling, found.frames.shape) == ("mosaic", (3, 12, 10))
    assert found.frames[1, 4:8, :5] == pytest.approx(x[1, :, :, 2] - x[:, :, :, 2].mean(), abs=1e-5)


def test_a_plane_has_a_line_for_every_token() -> None:
    x = noise(30, 20)
    found = planes(sample_of(x))
    assert found is not None
    assert (found.tiling, found.frames.shape) == ("plane", (1, 30, 20))
    assert found.frames[0] == pytest.approx(x - x.mean(axis=0), abs=1e-5)


def test_a_mosaic_too_large_for_decoders_is_a_plane() -> None:
    found = planes(sample_of(np.zeros((1, 2, 4100, 3), np.float32)))
    assert found is not None
    assert found.tiling == "plane"


def test_no_values_no_planes() -> None:
    assert planes(sample_of(np.zeros((0, 4), np.float32))) is None
