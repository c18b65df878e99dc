"""The offer of the sparse path: its cost is what coding really costs, and its chain does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zstandard

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.layout import Layout
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform import sparse_fit
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.models import GroupModels, TransformModels
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.parameters import SegmentStage
from embdc_cli.codec.transform.sparse_fit import SparseFit, grid_width
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import MissingModel
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import LIMITS, nmse, spec_of
from tests.codec.sparse_cases import domain_of, sparse_map


def fit_of(x: np.ndarray, width: int, chunk: int = 64, scale_codes: np.ndarray | None = None) -> SparseFit:
    fit = SparseFit(domain_of(x, scale_codes), width, (x == x[0, 0]).all(axis=(0, 1)))
    for start in range(0, len(x), chunk):
        fit.observe(x[start : start + chunk])
    return fit


def chain_of(fit: SparseFit, x: np.ndarray, step: float) -> Chain:
    """The chain as a token group has it."""
    constant = (x == x[0, 0]).all(axis=(0, 1))
    normalise = Normalise.fit(
        np.zeros(x.shape[2]),
        step,
        scale_codes=fit._domain.scale_codes,
        constant=constant,
        values=x[0, 0].astype(np.float32),
        centre=None,
    )
    return Chain([normalise, *fit.offer(step, 1.0).build(fixed_tables())])


def coded(fit: SparseFit, x: np.ndarray, step: float) -> tuple[int, np.ndarray]:
    """Bytes of payload and parameters, and what comes back."""
    chain = chain_of(fit, x, step)
    out = FieldWriter()
    for stage in chain:
        if isinstance(stage, SegmentStage):
            stage.write(out)
    data = chain.pack(chain.encode(x))
    return len(data) + len(out.bytes()), chain.reconstruct(chain.unpack(data, x.shape))


@pytest.mark.parametrize("step", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_cost_is_what_coding_costs(step: float, scaled: bool) -> None:
    x = sparse_map((24, 16, 120), 1)
    codes = np.where(np.arange(120) < 60, -6, 3).astype(np.int32)
    fit = fit_of(x, 4, scale_codes=codes if scaled else None)
    offer = fit.offer(step, 1.0)
    size, decoded = coded(fit, x, step)
    missed = (decoded - x) / (np.exp2(codes / 4) if scaled else 1.0)
    assert offer.cost == pytest.approx(float((missed**2).sum()) / step**2 + LAMBDA * 8 * size, rel=0.05)


def test_cost_grows_with_the_segment() -> None:
    x = sparse_map((12, 9, 40), 2)
    fit = fit_of(x, 3)
    once = fit.offer(1.0, 1.0).cost
    fixed = LAMBDA * sparse_fit._MODEL_BITS
    assert fit_of(x, 3).offer(1.0, 10.0).cost - fixed == pytest.approx(10 * (once - fixed))


def test_constant_channels_are_exact_and_scales_are_applied() -> None:
    x = sparse_map((20, 9, 30), 3)
    x[..., 7], x[..., 8] = 1.234, 0.0
    codes = np.zeros(30, np.int32)
    codes[:10] = -12  # there an eighth of the error
    size, decoded = coded(fit_of(x, 3, scale_codes=codes), x, 1.0)
    np.testing.assert_array_equal(decoded[..., 7:9], x[..., 7:9])
    errors = ((decoded - x) ** 2).mean(axis=(0, 1))
    assert errors[:7].mean() < 0.1 * errors[10:].mean()
    assert size < x.size


def test_smaller_steps_cost_bits_and_lower_the_error() -> None:
    x = sparse_map((24, 16, 60), 4)
    fit = fit_of(x, 4)
    sizes, errors = zip(
        *((size, nmse(x, y)) for size, y in (coded(fit, x, step) for step in (3.0, 1.0, 0.3))), strict=True
    )
    assert sorted(sizes) == list(sizes)
    assert sorted(errors, reverse=True) == list(errors)
    assert errors[-1] < 0.005


def test_sample_is_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    x = sparse_map((60, 4, 10), 5)
    whole = fit_of(x, 2, chunk=2).offer(1.0, 1.0).cost
    monkeypatch.setattr(sparse_fit, "KEPT_VALUES", 10 * 4 * 10)
    fit = fit_of(x, 2, chunk=2)
    assert sum(u.size for _, u in fit._kept) <= 10 * 4 * 10
    numbers = [number for number, _ in fit._kept]
    assert numbers == list(range(0, 30, numbers[1]))
    assert fit.offer(1.0, 1.0).cost == pytest.approx(whole, rel=0.4)


def test_a_chunk_beyond_the_budget_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_fit, "KEPT_VALUES", 100)
    fit = fit_of(sparse_map((60, 4, 10), 6), 2)
    assert [u.shape for _, u in fit._kept] == [(2, 4, 10)]
    assert np.isfinite(fit.offer(1.0, 1.0).cost)


def test_nothing_observed_still_gives_a_chain() -> None:
    fit = SparseFit(domain_of(np.zeros((1, 1, 4))), 1, np.zeros(4, bool))
    assert np.isfinite(fit.offer(1.0, 1.0).cost)
    x = np.arange(8, dtype=np.float32).reshape(2, 1, 4)
    chain = chain_of(fit, x, 1.0)
    assert chain.reconstruct(chain.unpack(chain.pack(chain.encode(x)), x.shape)).shape == x.shape


def test_chain_goes_through_models_and_chunks() -> None:
    x = sparse_map((40, 9, 30), 7).astype(np.float16)
    spec = spec_of(x.shape, "float16")
    layout = Layout.of(spec, 0.0)
    tokens = layout.split(x)[0]
    chain = chain_of(fit_of(tokens, 3), tokens, 0.8)
    models = TransformModels(layout, (GroupModels(chain, 1),))
    encoded = TransformCodec(spec, models).encode(x[:32])
    again = TransformModels.from_bytes(models.to_bytes(), spec, LIMITS, no_codebook)
    assert again.to_bytes() == models.to_bytes()
    decoded, crc = TransformCodec(spec, again, LIMITS).decode(encoded.payload, 32)
    assert crc == encoded.symbol_crc
    assert decoded.tobytes() == encoded.decoded.tobytes()
    assert TransformCodec(spec, again, LIMITS).encode(x[:32]).payload == encoded.payload
    coarse = TransformCodec(spec, again.with_steps_scaled(2.0)).encode(x[:32])
    assert len(coarse.payload) < len(encoded.payload)


def no_codebook(digest: bytes) -> Codebook:
    raise MissingModel(f"codebook {digest.hex()}: not here")


@pytest.mark.parametrize(
    ("axes", "row_shape", "tokens", "folds", "width"),
    [
        ("t,n,c", (49, 8), 49, 1, 7),
        ("t,n,c", (48, 8), 48, 1, 48),
        ("t,h,w,c", (6, 8, 4), 48, 1, 8),
        ("t,c,h,w", (4, 6, 8), 48, 1, 8),
        ("t,n,c", (50, 8), 49, 1, 7),
        ("t,c", (8,), 1, 1, 1),
        ("t,n,c", (49, 8), 98, 2, 98),
        ("t,n,c", (0, 8), 0, 1, 1),
    ],
)
def test_grid_width(axes: str, row_shape: tuple[int, ...], tokens: int, folds: int, width: int) -> None:
    assert grid_width(StreamSpec("data", "float32", axes, row_shape, 3), tokens, folds) == width


def rounded(x: np.ndarray, step: float) -> tuple[int, np.ndarray]:
    """Bytes of zstandard at level 19, and what comes back, of channels rounded to multiples of `step` of their rms."""
    steps = step * np.sqrt((x.astype(np.float64) ** 2).mean(axis=(0, 1)))
    codes = np.rint(x / np.where(steps > 0, steps, 1))
    planes = np.ascontiguousarray(codes.astype(np.int8).transpose(2, 1, 0))  # the order that zstandard likes best
    np.testing.assert_array_equal(planes.transpose(2, 1, 0), codes)
    size = len(zstandard.compress(planes.tobytes(), 19)) + 2 * steps.size
    return size, codes * steps


def test_real_map_takes_a_third_of_the_bits_of_rounding_and_zstandard(shared_data: Path) -> None:
    x = np.load(shared_data / "data/embeddings/cars__mobilenetv2__map.npy").astype(np.float32)
    size, decoded = coded(fit_of(x, 7), x, 1.04)
    rival, rounded_map = rounded(x, 0.65)
    error = nmse(x, decoded)
    assert error < 0.026
    assert nmse(x, rounded_map) == pytest.approx(error, rel=0.03)
    assert 3 * size < rival
