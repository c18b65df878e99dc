"""Statistics and basis: what a known source has is found, and in integers of bounded error."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embdc_cli.codebook import statistics
from embdc_cli.codebook.basis import klt, mean_to_integers, to_integers
from embdc_cli.codebook.codebook import SPECTRUM_FLOOR
from embdc_cli.codebook.corpus import Chunk
from embdc_cli.codebook.statistics import Block, CorpusStatistics, block_moments, blocks_of, pooled
from embdc_cli.codec.transform.moments import Moments
from embdc_cli.values import Tensor
from tests.codebook.sources import CHANNELS, energies, gaussian, rotation, tensor_of


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


def sample_of(*frames: int) -> list[tuple[Tensor, list[Chunk]]]:
    """Streams of so many frames, the last channel of which is constant, in chunks of 8 rows."""
    streams = []
    for seed, count in enumerate(frames):
        array = gaussian(count, seed=seed)
        array[..., -1] = seed
        streams.append((tensor_of(array), [(row, min(row + 8, count)) for row in range(0, count, 8)]))
    return streams


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """Of two chunks each."""
    monkeypatch.setattr(statistics, "BLOCK_VALUES", 2 * 8 * 9 * CHANNELS)
    return blocks_of(sample_of(40, 5, 70, 16))


def test_blocks_are_the_sample_in_order(blocks: list[Block]) -> None:
    assert [(block.stream, len(block.chunks)) for block in blocks] == [
        (0, 2), (0, 2), (0, 1), (1, 1), (2, 2), (2, 2), (2, 2), (2, 2), (2, 1), (3, 2),
    ]  # fmt: skip
    found = [(block.stream, chunk) for block in blocks for chunk in block.chunks]
    assert found == [(n, chunk) for n, (_, chunks) in enumerate(sample_of(40, 5, 70, 16)) for chunk in chunks]


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_statistics_are_the_same_bits_however_blocks_are_spread(blocks: list[Block], data: st.DataObject) -> None:
    """Any share of the blocks to any worker, each in any order, and back as bytes."""
    expected = pooled(CHANNELS, blocks, [block_moments(block.tensor, block.chunks) for block in blocks])
    workers = data.draw(st.lists(st.integers(0, 3), min_size=len(blocks), max_size=len(blocks)))
    order = data.draw(st.permutations(range(len(blocks))))
    sent: dict[int, bytes] = {}
    for worker in range(4):
        for number in (number for number in order if workers[number] == worker):
            sent[number] = pickle.dumps(block_moments(blocks[number].tensor, blocks[number].chunks))
    found = pooled(CHANNELS, blocks, (pickle.loads(sent[number]) for number in range(len(blocks))))
    assert {name: array.tobytes() for name, array in found.arrays.items()} == {
        name: array.tobytes() for name, array in expected.arrays.items()
    }


def test_blocks_merge_to_the_statistics_of_whole_streams(blocks: list[Block]) -> None:
    found = pooled(CHANNELS, blocks, [block_moments(block.tensor, block.chunks) for block in blocks])
    whole = CorpusStatistics(CHANNELS)
    for tensor, _ in sample_of(40, 5, 70, 16):
        whole.add(moments_of(tensor.read(0, tensor.spec.known_rows).reshape(-1, CHANNELS)))
    assert found.tokens == whole.tokens == 131 * 9
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, whole.covariance, rtol=1e-9, atol=1e-11)
    assert not found.covariance[-1].any(), "a constant channel is one exactly"


@pytest.mark.parametrize("pairs", [True, False])
def test_moments_merge(pairs: bool) -> None:
    tokens = np.random.default_rng(0).normal(5, 2, (90, 6)).astype(np.float32)
    tokens[:, 0], tokens[:40, 1], tokens[40:, 1] = 0.0, 1.0, 2.0
    merged = Moments(6, pairs)
    for start, stop in ((0, 0), (0, 40), (40, 41), (41, 90)):
        part = Moments(6, pairs)
        part.add(tokens[start:stop])
        merged.merge(part)
    assert (merged.count, merged.zeros) == (90, 90)
    assert merged.constant.tolist() == [True, False, False, False, False, False]
    np.testing.assert_allclose(merged.mean, tokens.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(merged.variance, tokens.astype(np.float64).var(axis=0), rtol=1e-9, atol=1e-12)
