"""Weightings: names and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from embdc_cli.codec.weighting import NAMES, Weighting, scaled_metric
from embdc_cli.errors import EmbdcError, SourceError, UsageError


@pytest.mark.parametrize("name", NAMES)
def test_names_need_no_file(name: str) -> None:
    weighting = Weighting.parse(name)
    assert weighting.kind == name
    assert weighting.metric(5, "data") is None


def test_matrix_and_vector_files(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    np.save(tmp_path / "w.npy", matrix)
    np.save(tmp_path / "v.npy", matrix[0])
    save_file({"weight": matrix}, tmp_path / "w.safetensors")
    for name in ("w.npy", "w.safetensors"):
        metric = Weighting.parse(str(tmp_path / name)).metric(5, "data")
        assert metric is not None
        expected = matrix.astype(np.float64).T @ matrix
        np.testing.assert_allclose(metric * np.abs(matrix).max() ** 2, expected, rtol=1e-5)
    vector = Weighting.parse(str(tmp_path / "v.npy")).metric(5, "data")
    np.testing.assert_allclose(vector, (matrix[0].astype(np.float64) / np.abs(matrix[0]).max()) ** 2, rtol=1e-6)


def test_bfloat16_safetensors(tmp_path: Path) -> None:
    bits = np.array([[0x3FC0, 0xC000], [0x3E80, 0x4080]], "<u2")
    header = b'{"weight":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    weights = Weighting.parse(str(tmp_path / "w.safetensors")).weights
    np.testing.assert_array_equal(weights, np.array([[1.5, -2.0], [0.25, 4.0]]) / 4)


def test_weights_of_any_size_have_a_finite_metric(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([[1e300, 1.0], [0.0, 1e200]]))
    metric = Weighting.parse(str(tmp_path / "w.npy")).metric(2, "data")
    assert metric is not None
    np.testing.assert_allclose(metric, [[1, 0], [0, 0]], atol=1e-90)


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("w.txt", b"1 2", UsageError, "expected none, channel, token or a .npy or .safetensors file"),
        ("absent.npy", None, SourceError, "no such file"),
        ("w.npy", b"not an array", SourceError, "cannot be read"),
        ("w.npy", b"", SourceError, "cannot be read"),
        ("w.safetensors", b"\xff" * 20, SourceError, "cannot be read"),
        ("w.npy", np.zeros((2, 2, 2)), SourceError, r"expected a vector or a matrix, found shape \(2, 2, 2\)"),
        ("w.npy", np.zeros((0, 2)), SourceError, "expected a vector or a matrix"),
        ("w.npy", np.zeros((3, 2)), SourceError, "not all zero"),
        ("w.npy", np.array([1.0, np.nan]), SourceError, "finite"),
        ("w.npy", np.array(["a"]), SourceError, "array of numbers"),
        ("w.npy", np.array([None]), SourceError, "cannot be read"),
        ("w.safetensors", {"a": np.ones(2), "b": np.ones(2)}, SourceError, "expected one tensor, found 2: a, b"),
        ("w.safetensors", {"a": np.ones(2, np.int32)}, SourceError, "expected a float tensor, found I32"),
    ],
)
def test_bad_files_are_one_clear_error(
    tmp_path: Path, name: str, content: object, error: type[EmbdcError], words: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        save_file(content, path)
    elif content is not None:
        np.save(path, content, allow_pickle=True)  # type: ignore[arg-type]  # an array by the table above
    with pytest.raises(error, match=words):
        Weighting.parse(str(path))


def test_a_scaled_metric_has_full_rank() -> None:
    matrix = np.random.default_rng(1).normal(size=(2, 6))
    metric = scaled_metric(matrix.T @ matrix, np.ones(6))
    assert np.linalg.matrix_rank(metric) == 6
    np.testing.assert_allclose(metric, matrix.T @ matrix, atol=0.01 * np.abs(metric).max())
