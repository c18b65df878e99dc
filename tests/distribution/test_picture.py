"""The PNG: a whole file, and panels where they belong."""

from __future__ import annotations

import io

import av
import numpy as np

from embdc_cli.distribution.picture import bars, picture, png
from tests.distribution.sources import noise


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as file:
        return next(file.decode(video=0)).to_ndarray(format="gray")


def test_png_is_what_was_given() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 51)).astype(np.uint8)
    data = png(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert np.array_equal(decoded(data), pixels)
    assert png(pixels) == data


def test_bars() -> None:
    found = bars(np.array([0.0, 0.5, 1.0]))
    assert (found == 0).sum(axis=0).tolist() == [0, 64, 128]
    assert (found[-1] == [255, 0, 0]).all()


def test_panels() -> None:
    histogram = np.zeros(256, np.int64)
    histogram[7] = 5
    dct = np.full((8, 8), 1e-9)
    dct[0, 0] = 1
    found = picture(noise(20, 1500), histogram, dct, np.array([1.0, 1e-3]))
    assert found.shape == (20 + 16 + 128 + 16 + 128 + 16, 1024)
    assert 100 < found[:20].mean() < 150
    levels = found[36:164]
    assert (levels[:, 14:16] == 0).all()
    assert levels[:, :14].min() == levels[:, 16:].min() == 255
    spectra = found[180:308]
    assert (spectra[:16, :16] == 0).all()
    assert spectra[16:, :128].min() == 255
    bars_of = (spectra[:, 144:512] == 0).sum(axis=0)
    assert bars_of[[0, 183, 184, 367]].tolist() == [128, 128, 64, 64]


def test_panels_of_next_to_nothing() -> None:
    found = picture(np.zeros((1, 1), np.float32), np.zeros(256, np.int64), None, None)
    assert found.shape == (1 + 3 * 16 + 2 * 128, 512)
    assert found[0, 0] == 128
    assert found[1:].min() == 255
