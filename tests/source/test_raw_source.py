"""Raw numbers: the layout option, files of exactly that layout, and files that are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embdc_cli.errors import SourceError, UsageError
from embdc_cli.source.raw import parse_raw
from tests.source.dump_files import FEATURES, arrays, opened


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        ("dtype=f16,shape=?x196x192", "float16", (None, 196, 192)),
        ("shape=3x4,dtype=bf16", "bfloat16", (3, 4)),
        ("dtype=float32,shape=7", "float32", (7,)),
        ("dtype=f64,shape=?", "float64", (None,)),
        ("dtype=f32,shape=0x3", "float32", (0, 3)),
    ],
)
def test_layouts(text: str, dtype: str, shape: tuple[int | None, ...]) -> None:
    layout = parse_raw(text)
    assert (layout.dtype, layout.shape) == (dtype, shape)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f16",
        "dtype=f16",
        "shape=3",
        "dtype=f16,shape=",
        "dtype=f16,shape=3x?",
        "dtype=f16,shape=-3",
        "dtype=q,shape=3",
        "dtype=f16,shape=3,x=1",
        "dtype=f16,shape=?x0",
        "dtype=f16,dtype=f32,shape=3",
        "dtype=f16,shape=3.5",
    ],
)
def test_bad_layouts_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_raw(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("rows", ["?", "9"])
def test_rows(tmp_path: Path, rows: str) -> None:
    (tmp_path / "a.bin").write_bytes(FEATURES.tobytes())
    dump = opened(tmp_path / "a.bin", raw=f"dtype=f16,shape={rows}x4x3")
    assert dump.tensors[0].spec.axes == "t,n,c"
    assert dump.source["kind"] == "raw"
    np.testing.assert_array_equal(arrays(dump)["data"], FEATURES)


def test_bfloat16_and_float64(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0]])
    (tmp_path / "a.bin").write_bytes(values.tobytes())
    dump = opened(tmp_path / "a.bin", raw="dtype=f64,shape=?x2")
    assert dump.warnings == [f"{tmp_path / 'a.bin'}: float64 cast to float32: data"]
    np.testing.assert_array_equal(arrays(dump)["data"], values.astype(np.float32))
    dump = opened(tmp_path / "a.bin", raw="dtype=bf16,shape=2x4")
    np.testing.assert_array_equal(arrays(dump)["data"], values.view("<u2").reshape(2, 4))


@pytest.mark.parametrize(("shape", "axes"), [("?", "t"), ("9", "c")])
def test_one_dimension(tmp_path: Path, shape: str, axes: str) -> None:
    (tmp_path / "a.bin").write_bytes(np.arange(9, dtype="<f4").tobytes())
    dump = opened(tmp_path / "a.bin", raw=f"dtype=f32,shape={shape}")
    assert dump.tensors[0].spec.axes == axes
    assert dump.tensors[0].spec.shape == (9,)
    dump.close()


@pytest.mark.parametrize(
    ("shape", "size", "expected"), [("?x4", 17, "a multiple of 8"), ("3x4", 23, "24"), ("3x4", 25, "24")]
)
def test_other_sizes_are_refused(tmp_path: Path, shape: str, size: int, expected: str) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(size))
    with pytest.raises(SourceError, match=f"expected {expected} bytes, found {size}"):
        opened(tmp_path / "a.bin", raw=f"dtype=f16,shape={shape}")


def test_integers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(16))
    with pytest.raises(SourceError, match="type int32"):
        opened(tmp_path / "a.bin", raw="dtype=int32,shape=?x2")
