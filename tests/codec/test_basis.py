"""Products with a basis: left out is only what is zero, and a basis may go before or after a DCT."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.codec.transform.basis import BASIS_FIRST_RANK, apply, synthesised
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.values import StreamSpec


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from([0, 1, 31, 32, 50]),
    st.integers(0, 9),
    st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    st.integers(0, 99),
)
def test_products_with_vectors_in_use_are_products(rows: int, count: int, rank: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, rank, count)).astype(np.float32)
    y *= rng.random((rows, rank, 1)) < share
    vectors = rng.normal(size=(rank, 11)).astype(np.float32)
    for layout in (y.transpose(0, 2, 1), np.ascontiguousarray(y.transpose(0, 2, 1))):
        x = synthesised(layout, vectors)
        assert x.dtype == np.float32
        assert x.shape == (rows, count, 11)
        np.testing.assert_allclose(x, apply(np.ascontiguousarray(layout), vectors), atol=1e-5)


@pytest.mark.parametrize(("step", "basis_last"), [(0.01, True), (2.0, False)])
def test_many_vectors_go_after_the_dct_and_few_before(step: float, basis_last: bool) -> None:
    rng = np.random.default_rng(3)
    x = np.cumsum(rng.normal(size=(16, 40, 80)), axis=0) * np.exp2(-0.1 * np.arange(80))
    x = (x @ np.linalg.qr(rng.normal(size=(80, 80)))[0]).astype(np.float32)
    fit = Fit(StreamSpec("x", "float32", "t,n,c", (40, 80), 16), [x], options=FitOptions(effort=0))
    codec = TransformCodec(fit.spec, fit.models(step))
    (models,) = codec.models.groups
    stages = [type(stage) for stage in models.chain.links]
    assert (stages.index(TimeDct) < stages.index(ReflectedKlt)) == basis_last
    basis = next(stage for stage in models.chain.links if isinstance(stage, ReflectedKlt))
    assert (len(basis.synthesis) >= BASIS_FIRST_RANK * models.group) == basis_last
    coded = codec.encode(x)
    assert np.abs(codec.decode(coded.payload, 16)[0] - x).max() < 40 * step
