"""Distance from pictures: 0 of a picture, 1 of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embdc_cli.distribution.compaction import dct_variances
from embdc_cli.distribution.natural import natural
from tests.distribution.sources import noise, walk


def of(frames: np.ndarray) -> dict[str, float | None]:
    return natural(frames, dct_variances(frames))


def test_noise_is_as_far_as_can_be() -> None:
    found = of(noise(2, 256, 256))
    assert found["distance"] == pytest.approx(1, abs=0.01)
    assert [found[part] for part in ("correlation", "slope", "gradient_kurtosis")] == pytest.approx([0, 0, 0], abs=0.03)


def test_a_photo_like_ramp_with_an_edge() -> None:
    down, across = np.mgrid[:256, :256].astype(np.float32)
    x = (down + across) / 128 + 2 * (across > 99) + 0.05 * noise(256, 256)
    found = of((x - x.mean())[None])
    assert found["distance"] is not None
    assert found["distance"] < 0.2


def test_a_field_that_falls_as_one_over_f_squared() -> None:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    frequency[0, 0] = np.inf
    x = np.fft.ifft2(np.fft.fft2(noise(512, 512)) / frequency).real.astype(np.float32)
    found = of(x[None])
    assert found["slope"] == pytest.approx(2, abs=0.25)
    # Gaussian in all: tails are missing altogether
    r, a = found["correlation"], found["slope"]
    assert r is not None
    assert a is not None
    assert 0.6 < r < 0.95
    assert found["distance"] == pytest.approx((1 - r / 0.95 + max(0, 1 - a / 2) + 1) / 3, abs=0.02)


def test_correlation_is_the_mean_of_both_ways_and_parts_end_at_one() -> None:
    x = walk(noise(1, 256, 256), -0.9, 2)
    found = of(x)
    assert found["correlation"] == pytest.approx(-0.45, abs=0.02)
    # r and a are beyond those of noise, which counts no more; the tails are nearly those of a Gaussian
    assert found["distance"] is not None
    assert 0.95 < found["distance"] <= 1


def test_gradients_of_a_laplacian() -> None:
    # the difference of two independent values has half their excess, which is 3
    x = np.random.default_rng(0).laplace(size=(1, 600, 600)).astype(np.float32)
    assert natural(x, None)["gradient_kurtosis"] == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("x", [np.zeros((1, 64, 64)), np.zeros((1, 1, 64)), np.zeros((1, 1, 1))])
def test_what_is_no_picture(x: np.ndarray) -> None:
    assert natural(x.astype(np.float32), dct_variances(x)) == dict.fromkeys(
        ("distance", "correlation", "slope", "gradient_kurtosis")
    )


@pytest.mark.parametrize("clip", ["cars", "juggle", "nasa"])
def test_frames_of_real_clips_are_pictures(clip: str, shared_data: Path) -> None:
    import av

    with av.open(str(shared_data / f"data/clips/{clip}.mp4")) as file:
        x = next(file.decode(video=0)).to_ndarray(format="gray").astype(np.float32)
    found = of((x - x.mean())[None])
    assert found["distance"] is not None
    assert found["distance"] < 0.15
