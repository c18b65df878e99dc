"""Statistics and basis: what a known source has is found, and in integers of bounded error."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codebook.basis import klt, mean_to_integers, to_integers
from embdc_cli.codebook.codebook import SPECTRUM_FLOOR
from embdc_cli.codebook.statistics import CorpusStatistics
from embdc_cli.codec.transform.moments import Moments
from tests.codebook.sources import CHANNELS, energies, gaussian, rotation


def moments_of(tokens: np.ndarray) -> Moments:
    moments = Moments(tokens.shape[1], pairs=True)
    moments.add(tokens.astype(np.float32))
    return moments


def test_nothing_seen_is_zero() -> None:
    corpus = CorpusStatistics(3)
    corpus.add(Moments(3, pairs=True))
    assert corpus.tokens == 0
    assert not corpus.mean.any()
    assert not corpus.covariance.any()


def test_means_between_streams_do_not_enter_the_covariance() -> None:
    rng = np.random.default_rng(1)
    near, far = rng.normal(0, 1, (500, 4)), rng.normal(50, 1, (1500, 4))
    corpus = CorpusStatistics(4)
    for tokens in (near, far):
        corpus.add(moments_of(tokens))
    pooled = (500 * np.cov(near.T, bias=True) + 1500 * np.cov(far.T, bias=True)) / 2000
    np.testing.assert_allclose(corpus.covariance, pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(corpus.mean, np.concatenate([near, far]).mean(axis=0), rtol=1e-6)


def test_the_basis_of_a_known_source_is_recovered() -> None:
    tokens = gaussian(4000, rho=0.0).reshape(-1, CHANNELS)
    corpus = CorpusStatistics(CHANNELS)
    corpus.add(moments_of(tokens))
    values, vectors = klt(corpus.covariance)
    np.testing.assert_allclose(values, energies(), rtol=0.05)
    overlap = np.abs(vectors @ rotation().T)
    assert np.diag(overlap)[:6].min() > 0.98
    assert (np.argmax(overlap, axis=1) == np.arange(CHANNELS)).sum() >= CHANNELS - 4


def test_the_sign_of_a_vector_is_that_of_its_largest_entry() -> None:
    _, vectors = klt(np.diag([1.0, 4.0, 2.0]))
    assert np.array_equal(vectors, np.eye(3)[[1, 2, 0]])
    _, vectors = klt((rotation(24) * np.arange(1, 25)[:, None]).T @ rotation(24))
    assert (vectors.max(axis=1) == np.abs(vectors).max(axis=1)).all()


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-8, 0.0])
def test_integers_keep_to_their_error(spread: float) -> None:
    channels = 32
    vectors = rotation(channels)
    values = np.geomspace(7.0, 7.0 * spread, channels) if spread else np.repeat([7.0, 0.0], [1, channels - 1])
    coded = to_integers(values, vectors)
    decoded = np.ldexp(coded.basis.astype(np.float64), coded.exponents[:, None])
    # energy that the rounding of the vectors puts into every channel, against the distortion at nmse 1e-3
    error = ((decoded - vectors) ** 2 * values[:, None]).sum() / channels
    assert error < 0.015 * 1e-3 * values.mean()
    assert np.abs(np.linalg.norm(decoded, axis=1) - 1).max() < 0.06
    assert (np.diff(coded.exponents) >= 0).all()


def test_the_spectrum_is_in_quarter_octaves() -> None:
    coded = to_integers(np.array([8.0, 2.0**0.25, 1.0, 0.0]), np.eye(4))
    assert coded.spectrum.tolist() == [12, 1, 0, SPECTRUM_FLOOR]


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 2.0, 3e38])
def test_the_mean_keeps_fourteen_bits(scale: float) -> None:
    mean = scale * np.array([1.0, -0.5, 0.3])
    integers, exponent = mean_to_integers(mean)
    assert integers.dtype == np.int16
    np.testing.assert_allclose(np.ldexp(integers.astype(np.float64), exponent), mean, atol=scale * 2**-13)
