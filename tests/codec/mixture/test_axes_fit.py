"""A mixture on the axes: what it foretells, when it is tried, and that white tensors take it, near their bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.mixture.axes_fit import AxesFit, axes_may_win
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.statistics import Principal
from embdc_cli.values import StreamSpec
from tests.codec.mixture.test_codebook_fit import coded


def drawn(tokens: int, scales: np.ndarray, seed: int = 0) -> np.ndarray:
    """(tokens, 1, D) float32, centred: Gaussian channels of these scales."""
    x = np.random.default_rng(seed).standard_normal((tokens, 1, len(scales))) * scales
    return np.asarray(x - x.mean(axis=0), np.float32)


def axes_of(x: np.ndarray, *, dependent: bool) -> AxesFit:
    return AxesFit([x], np.zeros(x.shape[2]), float(x.std()), dependent=dependent)


def own_of(x: np.ndarray) -> MixtureFit:
    principal = Principal.of_tokens(x.reshape(-1, x.shape[2]))
    return MixtureFit([x], principal, 1, np.zeros(x.shape[2]), float(x.std()), dependent=False)


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("scales", [np.ones(48), np.arange(1, 49) ** -1.0, np.tile([1.0, 0.0, 30.0], 16)])
@pytest.mark.parametrize("relative_step", [2.0, 0.5, 0.1])
def test_it_foretells_what_coding_costs(scales: np.ndarray, dependent: bool, relative_step: float) -> None:
    x = drawn(400, scales)
    step = relative_step * float(x.std())
    offer = axes_of(x, dependent=dependent).offer(step, 1.0)
    bits, distortion = coded(x, offer, step)
    assert bits == pytest.approx(offer.bits, rel=0.05, abs=1500)
    assert distortion == pytest.approx(offer.distortion, rel=0.15)


@pytest.mark.parametrize(("effort", "above"), [(1, 0.4), (2, 0.2)])
@pytest.mark.parametrize("shape", [(1536, 96), (192, 384)])
def test_white_matrices_are_coded_as_they_are_and_near_their_bound(
    shape: tuple[int, int], effort: int, above: float
) -> None:
    """Against the rate of a Gaussian source: 0.25 bits more at the least for rounding, less for a trellis."""
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    fit = Fit(StreamSpec("w", "float32", "t,c", shape[1:], len(x)), [x], options=FitOptions(effort=effort))
    models = fit.models(0.5)
    ((mixture,),) = [[one for one in group.chain if isinstance(one, Mixture)] for group in models.groups]
    assert mixture.tables is None
    assert mixture.modes[0].on_axes
    found = fit.foretell(0.5)
    assert found.bits / found.values < 0.5 * np.log2(1 / found.error) + above


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 24),
    st.sampled_from([1, 4, 30, 200, 1500]),
    st.floats(0.0, 3.0),
    st.floats(0.0, 1.0),
    st.integers(0, 1 << 16),
)
def test_axes_that_would_be_cheaper_are_always_tried(
    channels: int, tokens: int, slope: float, mixed: float, seed: int
) -> None:
    """Spectra from white to steep, along the channels or across them."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(np.eye(channels) + mixed * rng.standard_normal((channels, channels)))[0]
    x = drawn(tokens + 1, np.arange(1, channels + 1) ** -slope, seed)
    x = np.asarray(x @ rotation, np.float32)
    covariance = np.cov(x[:, 0].T, bias=True)
    if axes_may_win(np.diagonal(covariance), Principal.of_covariance(covariance).variances, tokens + 1):
        return
    axes, own = axes_of(x, dependent=False), own_of(x)
    for step in np.float64([1.0, 0.3, 0.1]) * x.std():
        assert own.offer(step, 1.0).cost < axes.offer(step, 1.0).cost


def test_many_tokens_of_related_channels_take_no_time_for_it() -> None:
    scales = np.arange(1, 193) ** -0.5
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((192, 192)))[0]
    variances = np.square(rotation) @ scales**2
    assert not axes_may_win(variances, scales**2, 10_000)
    assert axes_may_win(variances, scales**2, 100)
    assert axes_may_win(scales**2, scales**2, 1e9)
