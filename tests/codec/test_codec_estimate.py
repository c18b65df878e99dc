"""What is foretold from histograms against what coding then costs."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codec.transform import activity
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.dead_zone import THETA, DeadZone
from embdc_cli.codec.transform.estimate import estimate
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.histogram import Histogram
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.entropy.tables import static_tables
from tests.codec.codec_cases import smooth, spec_of


def coefficients(seed: int = 0) -> np.ndarray:
    """(64, 50, 6) float32, Laplacian, of falling scale along vectors and frequencies of groups of 16."""
    rng = np.random.default_rng(seed)
    scale = np.resize(np.exp2(-np.arange(16) / 4), 64)[:, None, None] * np.exp2(-np.arange(6.0))
    return (rng.laplace(size=(64, 50, 6)) * scale).astype(np.float32)


@pytest.mark.parametrize("step", [0.03, 0.2, 1.0, 5.0])
def test_bits_distortion_and_classes_are_foretold(step: float) -> None:
    c = coefficients()
    histogram = Histogram(16, 6, 0.5)
    histogram.add(c[:32])
    histogram.add(c[32:])
    found = estimate(histogram, step)
    quantiser = DeadZone(step, found.offsets)
    codes = quantiser.forward(c, b"")
    error = ((quantiser.inverse(codes, b"") - c) ** 2).sum(axis=(0, 1)) / step**2
    np.testing.assert_allclose(found.distortion, error, rtol=0.03, atol=0.5)
    np.testing.assert_allclose(found.energy, (c**2).sum(axis=(0, 1)) / step**2, rtol=0.03)
    payload = Planes(16, found.classes, static_tables()).encode(codes, b"")
    assert found.bits.sum() + found.track_bits == pytest.approx(8 * len(payload), rel=0.15, abs=600)


def test_offsets_are_centroids() -> None:
    c = coefficients()
    histogram = Histogram(1, 6, 0.5)
    histogram.add(c)
    offsets = estimate(histogram, 0.2).offsets
    u = np.abs(c) / 0.2
    levels = np.floor(u + THETA)
    for i, level in enumerate((1, 2)):
        centroid = float((u - levels)[levels == level].mean())
        assert offsets[i] / 256 == pytest.approx(centroid, abs=0.02)


def test_a_histogram_does_not_depend_on_how_chunks_are_cut() -> None:
    c = coefficients()
    whole, parts = Histogram(16, 6, 0.5), Histogram(16, 6, 0.5)
    whole.add(c)
    for start in (0, 16, 48):
        parts.add(c[start : {0: 16, 16: 48, 48: 64}[start]])
    np.testing.assert_array_equal(whole.counts, parts.counts)
    np.testing.assert_array_equal(whole.track_counts, parts.track_counts)
    assert whole.counts.sum() == c.size


def test_track_shares_are_of_what_moves() -> None:
    c = np.full((32, 4, 6), 2.0, np.float32)
    c[::16, 0] = 1000.0  # frequency 0 tells nothing about motion
    c[:16, 3] = 1.0
    histogram = Histogram(16, 6, 1.0)
    histogram.add(c)
    shares, ratios = histogram.track_shares()
    np.testing.assert_allclose(shares, [1 / 8, 7 / 8])
    np.testing.assert_allclose(ratios, np.array([1, 2]) / (15 / 8))
    assert histogram.tracks == 8


def offsets_under(codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return activity.offsets_of(activity.measure(codes, len(classes)), classes, len(codes))


def test_activity_is_half_octaves_of_a_tracks_magnitude() -> None:
    rng = np.random.default_rng(1)
    base = rng.laplace(size=(20, 3, 40)) * 100
    codes = (base * np.array([1.0, 4.0, 0.25])[:, None]).astype(np.int32)
    classes = np.full((8, 40), 33, np.uint8)  # mean 2^6.5 = 90.5
    offsets = offsets_under(codes, classes)
    assert offsets.shape == (3, 3)
    np.testing.assert_allclose(offsets, [[0, 4, -4]] * 3, atol=1)
    assert offsets_under(np.zeros_like(codes), classes).min() == activity.LOWEST
    assert not offsets_under(codes[:1], classes).any()


def test_activity_saves_bits_where_tokens_differ() -> None:
    calm = smooth((64, 40, 12))
    lively = calm.copy()
    lively[:, ::2] = calm[:1, ::2] + 0.02 * (calm - calm[:1])[:, ::2]
    sizes = []
    for rows in (calm, lively):
        fit = Fit(spec_of(rows.shape), [rows], None, FitOptions(effort=0))
        models = fit.models(0.1)
        assert models.groups[0].group > 1
        sizes.append(len(TransformCodec(spec_of(rows.shape), models).encode(rows).payload))
    assert sizes[1] < 0.6 * sizes[0]


def test_moments_are_those_of_all_tokens() -> None:
    x = smooth((5, 300, 7)).reshape(-1, 7) + 100
    x[:, 3] = 2.5
    x[:, 5] = 0.0
    moments = Moments(7, pairs=True)
    for part in np.array_split(x, 4):
        moments.add(part)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(moments.mean, wide.mean(axis=0), rtol=1e-9)
    expected = np.cov(wide.T, bias=True)
    np.testing.assert_allclose(moments.covariance, expected, atol=1e-9)
    np.testing.assert_allclose(moments.variance, np.diagonal(expected), atol=1e-9)
    assert moments.constant.tolist() == [False, False, False, True, False, True, False]
    assert moments.variance[3] == 0
    assert moments.zero_share == pytest.approx(1 / 7)
    alone = Moments(7, pairs=False)
    alone.add(x)
    np.testing.assert_allclose(alone.variance, moments.variance, atol=1e-9)
