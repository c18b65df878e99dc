"""Every target is met from the good side and nearly used up, measured on the decoded arrays and the whole file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from safetensors.numpy import save_file

import embdc_cli as embdc
from tests.synthetic import embeddings, errors


def encode(x: Any, folder: Path, **options: Any) -> tuple[dict[str, Any], np.ndarray]:
    out = folder / "a.embdc"
    result = embdc.encode(x, str(out), force=True, **options)
    assert result["file_bytes"] == out.stat().st_size
    assert result["exit"] == 0
    return result, embdc.open(str(out))["data"][:].numpy()


@pytest.mark.parametrize("goal", [0.3, 0.05, 0.01, 0.001])
@pytest.mark.parametrize("measure", ["nmse", "channel_nmse"])
def test_error_targets(tmp_path: Path, measure: str, goal: float) -> None:
    x = embeddings()
    result, y = encode(x, tmp_path, **{f"target_{measure}": goal})
    found = errors(x, y)[measure]
    assert goal * 0.97 <= found <= goal
    assert result["achieved"][measure] == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("goal", [0.95, 0.97, 0.985, 0.999])
def test_cosine_targets(tmp_path: Path, goal: float) -> None:
    x = embeddings()
    result, y = encode(x, tmp_path, target_cosine=goal)
    found = errors(x, y)["cosine"]
    assert (1 - goal) * 0.97 <= 1 - found <= 1 - goal + 1e-9
    assert result["achieved"]["cosine"] == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("bits", [0.6, 1.0, 2.0, 4.0])
def test_bits_per_value_are_a_ceiling_that_is_used(tmp_path: Path, bits: float) -> None:
    x = embeddings(120, 20, 32)
    result, y = encode(x, tmp_path, target_bpv=bits)
    spent = 8 * result["file_bytes"] / x.size
    assert bits * 0.97 <= spent <= bits
    assert errors(x, y)["nmse"] < 0.9


def test_max_size_is_never_exceeded(tmp_path: Path) -> None:
    for limit in (5000, 9999, 20000):
        result, _ = encode(embeddings(), tmp_path, max_size=limit)
        assert limit * 0.9 <= result["file_bytes"] <= limit


@pytest.mark.parametrize("weighting", ["channel", "token"])
def test_a_weighting_never_changes_what_a_target_means(tmp_path: Path, weighting: str) -> None:
    x = embeddings()
    _, y = encode(x, tmp_path, target_nmse=0.05, weighting=weighting)
    assert 0.05 * 0.97 <= errors(x, y)["nmse"] <= 0.05


def test_a_ceiling_above_the_lossless_size_stores_losslessly(tmp_path: Path) -> None:
    x = embeddings()
    result, y = encode(x, tmp_path, target_bpv=15.9)
    assert result["target"]["saturated"] is True
    assert result["streams"][0]["codec"] == "lossless"
    np.testing.assert_array_equal(x.view(np.uint16), y.view(np.uint16))


def test_a_ceiling_below_the_coarsest_quality_is_exit_4(tmp_path: Path) -> None:
    with pytest.raises(embdc.TargetMissed, match="bytes allowed") as failure:
        embdc.encode(embeddings(), str(tmp_path / "a.embdc"), max_size=500)
    assert failure.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_an_error_beyond_the_dtype_is_stored_losslessly(tmp_path: Path) -> None:
    x = embeddings()
    result, y = encode(x, tmp_path, target_nmse=1e-15)
    assert result["streams"][0]["codec"] == "lossless"
    np.testing.assert_array_equal(x, y)


def test_constant_input_is_small_and_exact(tmp_path: Path) -> None:
    x = np.full((30, 4, 8), 1.5, np.float32)
    result, y = encode(x, tmp_path)
    np.testing.assert_array_equal(x, y)
    assert result["file_bytes"] < 4096


@pytest.mark.parametrize(
    "shape", [(0, 4, 8), (1, 1, 1), (1, 5, 3), (7, 1, 3), (5, 4, 1), (65, 2), (2, 3, 4, 5), (9,), ()]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_odd_shapes_round_trip(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    x = np.asarray(np.random.default_rng(3).standard_normal(shape), dtype)
    for options in ({}, {"lossless": True}, {"one_pass": True}):
        result, y = encode(x, tmp_path, **options)
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        if "lossless" in options:
            np.testing.assert_array_equal(x, y)
        elif x.size and x.ndim > 1:
            assert result["achieved"]["cosine"] >= 0.97


def test_two_targets_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(embdc.UsageError, match="expected one target"):
        embdc.encode(embeddings(), str(tmp_path / "a.embdc"), target_bpv=1, target_nmse=0.1)


def test_several_streams_share_a_size_and_each_hold_an_error(tmp_path: Path) -> None:
    dump = {"a": embeddings(seed=1), "b": embeddings(30, 8, 16, seed=2).astype(np.float32) * 100}
    out = str(tmp_path / "m.embdc")
    embdc.encode(dump, out, target_nmse=0.04)
    archive = embdc.open(out)
    for name, x in dump.items():
        found = errors(x, archive[name][:].numpy())["nmse"]
        assert 0.04 * 0.97 <= found <= 0.04
    values = sum(x.size for x in dump.values())
    result = embdc.encode(dump, out, target_bpv=3.0, force=True)
    assert 3.0 * 0.97 <= 8 * result["file_bytes"] / values <= 3.0


@pytest.mark.parametrize("axes", ["t,n,c", "t,c,n"])
def test_channels_are_the_axis_named_c(tmp_path: Path, axes: str) -> None:
    x = embeddings(40, 6, 16)
    laid = x if axes == "t,n,c" else np.ascontiguousarray(x.transpose(0, 2, 1))
    result, y = encode(laid, tmp_path, axes=axes, target_cosine=0.98)
    back = y if axes == "t,n,c" else y.transpose(0, 2, 1)
    found = errors(x, back)["cosine"]
    assert 0.98 <= found <= 0.9806
    assert result["achieved"]["cosine"] == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("options", [{"lossless": True}, {"target_cosine": 0.98}])
def test_more_channels_than_any_basis_has(tmp_path: Path, options: dict[str, Any]) -> None:
    x = np.random.default_rng(1).standard_normal((3, 70_000)).astype(np.float16)
    _, y = encode(x, tmp_path, **options)
    assert y.shape == x.shape
    assert errors(x, y)["cosine"] >= 0.98


@pytest.mark.parametrize("shape", [(0, 4, 8), (1, 1, 1), (3,), (), (7, 5, 3), (200, 6, 16)])
def test_lossless_archives_cost_at_most_zstd_and_a_little(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.asarray(np.random.default_rng(2).standard_normal(shape), np.float32)
    result, y = encode(x, tmp_path, lossless=True)
    assert x.tobytes() == y.tobytes()
    compressor = zstandard.ZstdCompressor(level=9)
    chunks = [x[at : at + 64] for at in range(0, len(x), 64)] if x.ndim > 1 else [x]
    bound = sum(len(compressor.compress(np.ascontiguousarray(chunk).tobytes())) + 16 for chunk in chunks)
    assert result["file_bytes"] <= bound + 2048 + 0.005 * x.nbytes


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_lossless_keeps_every_bit_pattern(tmp_path: Path, dtype: type) -> None:
    bits = np.dtype(dtype).itemsize * 8
    patterns = np.random.default_rng(3).integers(0, 1 << bits, (40, 5, 8), dtype=np.uint64).astype(f"u{bits // 8}")
    special = [0, 1 << (bits - 1), 1, (1 << (bits - 1)) + 1]  # zeros and the smallest subnormals
    exponent = ((1 << (bits - 1)) - 1) ^ ((1 << (10 if bits == 16 else 23)) - 1)
    special += [exponent, exponent | 1 << (bits - 1), exponent | 1, exponent | 0x155]  # infinities, NaN payloads
    patterns.reshape(-1)[: len(special)] = special
    _, y = encode(patterns.view(dtype), tmp_path, lossless=True)
    np.testing.assert_array_equal(y.view(patterns.dtype), patterns)


@pytest.mark.parametrize("effort", [0, 1, 3])
def test_an_outlier_channel_does_not_keep_targets_from_being_met(tmp_path: Path, effort: int) -> None:
    x = np.random.default_rng(3).normal(size=(66, 20, 16)).astype(np.float32)
    x[..., 5] *= 1e4
    _, y = encode(x, tmp_path, target_bpv=8.0, effort=effort)
    assert errors(x, y)["nmse"] < 1e-6
    result, y = encode(x, tmp_path, target_channel_nmse=0.1, effort=effort)
    assert errors(x, y)["channel_nmse"] <= 0.1
    assert result["bits_per_value"] < 8


@pytest.mark.parametrize("options", [{}, {"one_pass": True}, {"effort": 0}, {"weighting": "token"}], ids=str)
def test_padding_stays_zero_and_does_not_count_against_a_cosine(tmp_path: Path, options: dict[str, Any]) -> None:
    x = embeddings(70, 20, 32)
    whole, _ = encode(x, tmp_path, target_cosine=0.97, **options)
    x[:, 14:] = 0
    result, y = encode(x, tmp_path, target_cosine=0.97, **options)
    assert not y[:, 14:].any()
    kept = errors(x[:, :14], y[:, :14])["cosine"]
    assert result["achieved"]["cosine"] == pytest.approx(0.7 * kept + 0.3, abs=1e-4)
    assert result["achieved"]["cosine"] >= 0.97
    assert result["file_bytes"] < whole["file_bytes"]


@pytest.mark.parametrize("effort", [0, 3])
def test_special_tokens_are_coded_more_finely(tmp_path: Path, effort: int) -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([0.2 * rng.normal(size=(40, 1, 12)), rng.normal(size=(40, 16, 12))], axis=1).astype(np.float32)
    _, y = encode(x, tmp_path, target_nmse=0.1, effort=effort, special_tokens="1")
    assert errors(x[:, :1], y[:, :1])["nmse"] < 0.6 * errors(x[:, 1:], y[:, 1:])["nmse"]


def test_layers_of_one_shape_share_what_a_head_has_for_itself(tmp_path: Path) -> None:
    """Four layers and a head of as many values as each: in proportion to the values of a shape, not of a tensor."""
    rng = np.random.default_rng(5)
    shapes = {f"layers.{number}": (96, 80) for number in range(4)} | {"head": (80, 96)}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    source, out = tmp_path / "x.safetensors", str(tmp_path / "a.embdc")
    save_file(tensors, source)
    result = embdc.encode(str(source), out, target_bpv=3.0)
    assert 2.9 < result["bits_per_value"] <= 3.0
    decoded = embdc.open(out)
    found = {name: errors(x, decoded[name][:].numpy())["nmse"] for name, x in tensors.items()}
    for name in shapes:
        assert found[name] / found["head"] == pytest.approx(1.0 if name == "head" else 4.0, rel=0.25)
