"""The resize against Pillow, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embdc_cli.embedder.resample import FILTERS, resize


def pillow(frame: np.ndarray, height: int, width: int, kernel: int) -> np.ndarray:
    """Pillow's resize, rows before columns; newer versions may choose the other order when asked for both at once."""
    rows = Image.fromarray(frame).resize((width, frame.shape[0]), resample=kernel)
    return np.asarray(rows.resize((width, height), resample=kernel))


def ours(frame: np.ndarray, height: int, width: int, kernel: int) -> np.ndarray:
    resized = resize(torch.from_numpy(frame).permute(2, 0, 1), height, width, kernel, exact=True)
    return resized.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [((270, 480), (224, 224)), ((720, 1280), (224, 398)), ((60, 80), (224, 224)), ((224, 300), (224, 224)),
     ((33, 47), (20, 61)), ((1, 1), (3, 5)), ((50, 40), (1, 1))],
)  # fmt: skip
def test_it_is_pillows_resize_to_the_bit(before: tuple[int, int], after: tuple[int, int], kernel: int) -> None:
    rng = np.random.default_rng(5)
    frame = rng.integers(0, 256, (*before, 3), dtype=np.uint8)
    frame[: before[0] // 2] = (frame[: before[0] // 2] > 127) * 255  # overshoot and clipping
    assert np.array_equal(ours(frame, *after, kernel), pillow(frame, *after, kernel))


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 70)] * 4), st.sampled_from(sorted(FILTERS)), st.integers(0, 2**32 - 1))
def test_any_size_to_any_other(sizes: tuple[int, int, int, int], kernel: int, seed: int) -> None:
    frame = (np.random.default_rng(seed).integers(0, 2, (sizes[0], sizes[1], 3)) * 255).astype(np.uint8)
    assert np.array_equal(ours(frame, *sizes[2:], kernel), pillow(frame, *sizes[2:], kernel))


@pytest.mark.parametrize(("kernel", "mode"), [(2, "bilinear"), (3, "bicubic")])
@pytest.mark.parametrize("after", [(20, 31), (90, 41)])
def test_unrounded_it_is_torchs_antialiased_interpolation(kernel: int, mode: str, after: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((2, 3, 57, 83), generator=generator, dtype=torch.float64)
    wanted = torch.nn.functional.interpolate(images, size=after, mode=mode, antialias=True, align_corners=False)
    assert torch.allclose(resize(images, *after, kernel, exact=False), wanted, atol=1e-9)
