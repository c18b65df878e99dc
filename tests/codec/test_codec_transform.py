"""The transform codec as a whole: what comes back, how good it is, and that the bytes depend on nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from embdc_cli import dtypes
from embdc_cli.codec.table import ChunkKind, Codebook, codec_for
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.weighting import Weighting
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import LIMITS, nmse, rows_of, smooth, spec_of

CHUNK = 64


def no_codebook(digest: bytes) -> Codebook:
    raise AssertionError(f"nobody asked for codebook {digest!r}")


def chunks_of(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + CHUNK] for start in range(0, max(1, len(rows)), CHUNK)]


def coded(
    rows: np.ndarray, spec: StreamSpec, relative_step: float, options: FitOptions | None = None
) -> tuple[np.ndarray, int]:
    """(decoded rows, bytes of models and chunks); checks on the way that encoder and decoder agree to the bit."""
    fit = Fit(spec, chunks_of(rows), None, options)
    models = fit.models((fit.rms or 1.0) * relative_step)
    payload = models.to_bytes()
    weighting = None if options is None else options.weighting
    encoder = TransformCodec(spec, models)
    decoder = codec_for(ChunkKind.TRANSFORM, spec, payload, LIMITS, no_codebook)
    resumed = TransformCodec(spec, TransformModels.from_bytes(payload, spec, LIMITS, no_codebook, weighting))
    total, out = len(payload), []
    for chunk in chunks_of(rows):
        encoded = encoder.encode(chunk)
        values, crc = decoder.decode(encoded.payload, len(chunk))
        assert values.tobytes() == encoded.decoded.tobytes()
        assert values.shape == chunk.shape
        assert values.dtype == chunk.dtype
        assert crc == encoded.symbol_crc
        assert resumed.encode(chunk).payload == encoded.payload
        total += len(encoded.payload)
        out.append(values)
    return np.concatenate(out), total


SHAPES = [
    (0, 3, 2), (1, 3, 2), (2, 3, 2), (63, 3, 2), (65, 3, 2),
    (5,), (64, 1), (9, 2), (70, 3), (2, 1, 1), (40, 4, 1), (17, 2, 3, 4),
    (3, 0, 4), (3, 4, 0), (1, 1), (1, 300), (2, 40),
]  # fmt: skip


@pytest.mark.parametrize("dtype", dtypes.FLOATS)
@pytest.mark.parametrize("kind", ["moving", "constant", "zero", "sparse", "huge", "tiny"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_and_kind_of_values_round_trips(shape: tuple[int, ...], kind: str, dtype: str) -> None:
    rows = rows_of(kind, shape, dtype)
    for step in (1e-3, 1.0, 1e3):
        decoded, _ = coded(rows, spec_of(shape, dtype), step)
        assert np.isfinite(dtypes.to_float32(decoded, dtype)).all()
        if kind in ("zero", "constant") and len(rows) * np.prod(shape[1:-1]) >= 16:
            assert decoded.tobytes() == rows.tobytes()


@pytest.mark.parametrize("kind", ["moving", "noise", "sparse", "huge", "tiny"])
@pytest.mark.parametrize("shape", [(64, 3, 2), (65, 7, 1), (100, 12), (20, 2, 3, 5), (130, 1, 33)])
@pytest.mark.parametrize("effort", [0, 1, 2])
def test_a_fine_step_is_nearly_exact(shape: tuple[int, ...], kind: str, effort: int) -> None:
    rows = rows_of(kind, shape)
    decoded, _ = coded(rows, spec_of(shape), 1e-4, FitOptions(effort=effort))
    assert nmse(rows, decoded) < 1e-6


def test_float16_near_its_limit_saturates() -> None:
    rows = np.full((64, 3, 4), 65504.0, np.float16)
    rows[::2, :, 1] = -65504.0
    rows[5, 1, 2] = 60000.0
    decoded, _ = coded(rows, spec_of(rows.shape, "float16"), 0.9)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded.astype(np.float64)).max() <= 65504.0


def test_correlated_tokens_cost_less_than_noise() -> None:
    rows = smooth((64, 30, 24))
    noise = rows_of("noise", rows.shape)
    _, few = coded(rows, spec_of(rows.shape), 1.0)
    decoded, many = coded(noise, spec_of(noise.shape), 1.0)
    assert few < 0.5 * many
    assert many * 8 < 2.2 * noise.size
    assert nmse(noise, decoded) < 0.2


def test_coarser_steps_give_fewer_bytes_and_more_error() -> None:
    rows = smooth((70, 20, 16))
    points = [(nmse(rows, y), size) for y, size in (coded(rows, spec_of(rows.shape), step) for step in (0.1, 0.5, 2))]
    assert [size for _, size in points] == sorted((size for _, size in points), reverse=True)
    assert [error for error, _ in points] == sorted(error for error, _ in points)


def test_channels_that_never_change_are_exact_at_any_step() -> None:
    rows = rows_of("moving", (64, 4, 6))
    rows[..., 2] = -0.0
    rows[..., 5] = 3.14159
    decoded, _ = coded(rows, spec_of(rows.shape), 50.0)
    assert decoded[..., 2].tobytes() == rows[..., 2].tobytes()
    assert decoded[..., 5].tobytes() == rows[..., 5].tobytes()


@pytest.mark.parametrize("weighting", ["none", "channel", "token"])
def test_memory_layout_does_not_change_bytes(weighting: str) -> None:
    rows = smooth((66, 9, 8)).astype(np.float16)
    spec = spec_of(rows.shape, "float16")
    options = FitOptions(weighting=Weighting(weighting))
    arrays = [rows, np.asfortranarray(rows), rows[::-1].copy()[::-1], np.repeat(rows, 2, axis=2)[:, :, ::2]]
    found = set()
    for array in arrays:
        fit = Fit(spec, chunks_of(array), None, options)
        models = fit.models(fit.rms)
        codec = TransformCodec(spec, models)
        found.add((models.to_bytes(), *(codec.encode(chunk).payload for chunk in chunks_of(array))))
    assert len(found) == 1


def test_special_tokens_have_models_of_their_own() -> None:
    rows = smooth((64, 197, 8))
    rows[:, 0] = 40.0 * rows[:, 5] + 100.0
    apart = spec_of(rows.shape, special_tokens=1)
    sizes, errors = [], []
    for spec in (apart, spec_of(rows.shape)):
        models = Fit(spec, [rows]).models(0.2)
        encoded = TransformCodec(spec, models).encode(rows)
        sizes.append(len(models.to_bytes()) + len(encoded.payload))
        errors.append(nmse(rows[:, 1:], encoded.decoded[:, 1:]))
        assert len(models.groups) == 1 + spec.special_tokens
    assert sizes[0] < 0.95 * sizes[1]
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize("special", [4, 9])
def test_only_special_tokens_is_a_layout_too(special: int) -> None:
    rows = rows_of("moving", (20, 4, 3))
    decoded, _ = coded(rows, spec_of(rows.shape, special_tokens=special), 1e-4)
    assert nmse(rows, decoded) < 1e-6


def test_ragged_tokens_are_rows() -> None:
    counts = np.array([3, 0, 5, 1])
    flat = smooth((1, 9, 6))[0]
    spec = StreamSpec("data", "float32", "t,n,c", (6,), 4, ragged=True)
    fit = Fit(spec, [flat], [counts])
    codec = TransformCodec(spec, fit.models(fit.rms * 1e-4))
    encoded = codec.encode(flat, counts)
    decoded, crc = codec.decode(encoded.payload, 4, counts)
    assert decoded.shape == (9, 6)
    assert crc == encoded.symbol_crc
    assert nmse(flat, decoded) < 1e-6
    assert [group.group for group in codec.models.groups] == [1]


@pytest.mark.parametrize(
    ("rows", "width", "axes"), [(3, 9000, "t,c"), (3, 8209, "t,c"), (9, 16384, "t,c"), (1, 30000, "c")]
)
def test_wide_channel_axes_are_folded(rows: int, width: int, axes: str) -> None:
    values = rows_of("noise", (rows, width))
    decoded, _ = coded(values, dataclasses.replace(spec_of(values.shape), axes=axes), 1e-3)
    assert nmse(values.reshape(-1, 1), decoded.reshape(-1, 1)) < 1e-5


def test_tensors_without_rows() -> None:
    for row_shape, axes in (((), ""), ((7,), "c"), ((4, 3), "n,c")):
        rows = rows_of("noise", (1, *row_shape))
        spec = StreamSpec("weight", "float32", axes, row_shape, 1)
        decoded, _ = coded(rows, spec, 1e-4)
        np.testing.assert_allclose(decoded, rows, atol=2e-3)


def test_channel_axis_need_not_be_last() -> None:
    rows = smooth((40, 12, 8))
    moved = np.ascontiguousarray(np.moveaxis(rows, 2, 1))
    spec = StreamSpec("data", "float32", "t,c,n", (8, 12), 40)
    decoded, size = coded(moved, spec, 0.5)
    expected, same = coded(rows, spec_of(rows.shape), 0.5)
    np.testing.assert_array_equal(np.moveaxis(decoded, 1, 2), expected)
    assert size == same


# non-finite values


def with_nonfinite(dtype: str) -> np.ndarray:
    x = dtypes.to_float32(rows_of("moving", (10, 4, 5), dtype), dtype).copy()
    x[3] = np.nan
    x[4, 1, 2], x[4, 1, 3], x[9, 3, 4] = np.inf, -np.inf, np.nan
    if dtype == "bfloat16":
        return (x.view(np.uint32) >> 16).astype(np.uint16)
    return x.astype(dtypes.storage(dtype))


@pytest.mark.parametrize("dtype", dtypes.FLOATS)
def test_nonfinite_values_are_kept_bit_for_bit(dtype: str) -> None:
    rows = with_nonfinite(dtype)
    payload_of_nan = {"float16": 0x7E55, "bfloat16": 0xFFD5, "float32": 0x7FA00055}[dtype]
    bits = rows.view(f"<u{rows.itemsize}")
    bits[4, 2, 0] = payload_of_nan
    decoded, size = coded(rows, spec_of(rows.shape, dtype), 1e-4, FitOptions(nonfinite_keep=True))
    bad = ~np.isfinite(dtypes.to_float32(rows, dtype))
    assert decoded[bad].tobytes() == rows[bad].tobytes()
    good = dtypes.to_float32(rows, dtype)[~bad], dtypes.to_float32(decoded, dtype)[~bad]
    np.testing.assert_allclose(*good, rtol=0.01, atol=0.02)
    assert size < 4000


@pytest.mark.parametrize("dtype", dtypes.FLOATS)
def test_nonfinite_values_are_refused_with_their_place(dtype: str) -> None:
    rows = with_nonfinite(dtype)
    spec = spec_of(rows.shape, dtype)
    with pytest.raises(SourceError, match=r"'data': nan at \[3, 0, 0\]") as caught:
        Fit(spec, [rows])
    assert "--nonfinite keep" in str(caught.value.hint)
    good = rows[:3]
    codec = TransformCodec(spec, Fit(spec, [good]).models(1.0))
    with pytest.raises(SourceError, match="inf at"):
        codec.encode(rows[4:5])


def test_all_values_may_be_nonfinite() -> None:
    rows = np.full((5, 2, 3), np.nan, np.float32)
    decoded, _ = coded(rows, spec_of(rows.shape), 1.0, FitOptions(nonfinite_keep=True))
    assert decoded.tobytes() == rows.tobytes()


# padding


@pytest.mark.parametrize("dtype", dtypes.FLOATS)
@pytest.mark.parametrize("axes", ["t,n,c", "t,c,n", "t,c"])
def test_padding_stays_what_it_is(dtype: str, axes: str) -> None:
    rows = dtypes.to_float32(rows_of("moving", (20, 8, 5), dtype), dtype) + np.float32(3)
    rows[4:9, 3:], rows[15], rows[0, 0, 0] = 0.0, -0.0, 0.0  # a zero is padding only if its whole token is
    rows = {"t,n,c": rows, "t,c,n": rows.swapaxes(1, 2), "t,c": rows.reshape(160, 5)}[axes]
    stored = dtypes.from_float32(np.ascontiguousarray(rows), dtype)
    spec = StreamSpec("data", dtype, axes, stored.shape[1:], len(stored))
    decoded, _ = coded(stored, spec, 0.5, FitOptions(padding=True))
    tokens, back = (dtypes.to_float32(x, dtype) for x in (stored, decoded))
    if axes == "t,c,n":
        tokens, back, stored, decoded = (x.swapaxes(1, 2) for x in (tokens, back, stored, decoded))
    padding = ~tokens.any(axis=-1)
    assert padding.sum() == 33
    assert decoded[padding].tobytes() == stored[padding].tobytes()
    assert np.abs(back - tokens)[~padding].max() < 2
    assert back[~padding].any(axis=-1).all()


# weightings


def test_channel_weighting_serves_small_channels() -> None:
    rows = smooth((64, 20, 12))
    rows[..., 3] *= 100.0
    spec = spec_of(rows.shape)

    def channel_nmse(weighting: str, step: float) -> tuple[float, int]:
        decoded, size = coded(rows, spec, step, FitOptions(weighting=Weighting(weighting)))
        error = ((rows.astype(np.float64) - decoded) ** 2).mean(axis=(0, 1))
        return float((error / rows.astype(np.float64).var(axis=(0, 1))).mean()), size

    error, size = channel_nmse("channel", 0.5)
    plain = [channel_nmse("none", step) for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)]
    assert all(plain_error > 1.3 * error for plain_error, plain_size in plain if plain_size <= size)
    assert any(plain_size <= size for _, plain_size in plain)


def test_token_weighting_follows_the_scale_of_each_token() -> None:
    rows = smooth((32, 10, 16)) * np.exp2(np.arange(10) - 5.0)[:, None].astype(np.float32)
    decoded, _ = coded(rows, spec_of(rows.shape), 0.3, FitOptions(weighting=Weighting("token")))
    error = ((rows - decoded) ** 2).mean(axis=(0, 2)) / rows.var(axis=(0, 2))
    assert error.max() < 3 * error.min()
    assert error.max() < 0.1


def test_a_matrix_weighting_minimises_its_metric() -> None:
    rows = smooth((64, 25, 16))
    weights = np.random.default_rng(3).normal(size=(4, 16))
    spec = spec_of(rows.shape)

    def seen(weighting: Weighting, step: float) -> tuple[float, int]:
        decoded, size = coded(rows, spec, step, FitOptions(weighting=weighting))
        return float((((rows.astype(np.float64) - decoded) @ weights.T) ** 2).sum()), size

    error, size = seen(Weighting("matrix", weights), 0.5)
    plain = [seen(Weighting(), step) for step in np.exp2(np.arange(-4, 2, 0.5))]
    assert all(plain_error > 1.5 * error for plain_error, plain_size in plain if plain_size <= size)
    assert any(plain_size <= size for _, plain_size in plain)


def test_a_vector_weighting_is_a_scale_of_channels() -> None:
    rows = smooth((64, 10, 8))
    weights = np.array([0, 1, 1, 1, 50, 1, 1, 1.0])
    decoded, _ = coded(rows, spec_of(rows.shape), 0.02, FitOptions(weighting=Weighting("matrix", weights)))
    error = ((rows - decoded) ** 2).mean(axis=(0, 1))
    assert error[4] * 100 < error[1:4].min()
    assert error[0] > error[1:4].max()


def test_weights_for_other_channels_are_a_usage_error() -> None:
    rows = smooth((8, 3, 6))
    with pytest.raises(UsageError, match="6 channels, found weights for 7"):
        Fit(spec_of(rows.shape), [rows], None, FitOptions(weighting=Weighting("matrix", np.eye(7))))


# fit


def test_rms_is_that_of_the_centred_values() -> None:
    rows = smooth((30, 7, 5)) + 9
    tokens = rows.astype(np.float64).reshape(-1, 5)
    expected = float(np.sqrt(((tokens - tokens.mean(axis=0)) ** 2).mean()))
    assert Fit(spec_of(rows.shape), [rows]).rms == pytest.approx(expected, rel=1e-6)


def test_rms_of_huge_values_is_in_their_units() -> None:
    rows = rows_of("huge", (30, 7, 5))
    tokens = rows.astype(np.float64).reshape(-1, 5)
    expected = float(np.sqrt(((tokens - tokens.mean(axis=0)) ** 2).mean()))
    assert Fit(spec_of(rows.shape), [rows]).rms == pytest.approx(expected, rel=1e-5)


def test_a_longer_segment_pays_for_finer_models() -> None:
    rows = smooth((64, 20, 24))
    short = Fit(spec_of(rows.shape), [rows], None, FitOptions(segment_rows=64))
    long = Fit(spec_of(rows.shape), [rows], None, FitOptions(segment_rows=6400))
    assert len(long.models(1.0).to_bytes()) > len(short.models(1.0).to_bytes())


def test_chunks_outside_the_sample_are_coded_exactly_as_codes() -> None:
    sample = smooth((64, 8, 6))
    spec = dataclasses.replace(spec_of(sample.shape), rows=128)
    models = Fit(spec, [sample]).models(0.5)
    decoder = codec_for(ChunkKind.TRANSFORM, spec, models.to_bytes(), LIMITS, no_codebook)
    strange = rows_of("huge", (30, 8, 6))
    for rows in (sample * 1000, np.zeros_like(sample), strange, np.full_like(sample, 3e38)):
        encoded = TransformCodec(spec, models).encode(rows)
        values, crc = decoder.decode(encoded.payload, len(rows))
        assert crc == encoded.symbol_crc
        assert values.tobytes() == encoded.decoded.tobytes()


def test_still_and_flickering_content_choose_other_group_lengths() -> None:
    noise = rows_of("noise", (64, 30, 12))
    still = np.repeat(noise[:1], 64, axis=0) + 0.05 * noise
    flickering = noise * (np.arange(64) % 13 == 0)[:, None, None]
    options = FitOptions(effort=0)
    chosen = [Fit(spec_of(x.shape), [x], None, options).models(0.5).groups[0].group for x in (still, flickering)]
    assert chosen[0] == 64
    assert chosen[1] == 1


def test_models_come_back_through_bytes() -> None:
    rows = smooth((64, 12, 16))
    spec = spec_of(rows.shape, special_tokens=1)
    for options in (FitOptions(), FitOptions(nonfinite_keep=True), FitOptions(weighting=Weighting("token"))):
        models = Fit(spec, [rows], None, options).models(0.2)
        again = TransformModels.from_bytes(models.to_bytes(), spec, LIMITS, no_codebook)
        assert again.to_bytes() == models.to_bytes()
        assert again.nonfinite_keep == options.nonfinite_keep
