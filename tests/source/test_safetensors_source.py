"""safetensors files against the library that writes them, and headers that break its rules."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from embdc_cli.dtypes import STORAGE
from embdc_cli.errors import SourceError
from tests.source.dump_files import FEATURES, arrays, opened


def write(path: Path, header: object, data: bytes = b"") -> Path:
    """A file with a hand-made header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def tensor(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize("name", sorted(STORAGE))
def test_every_type_that_the_library_writes(tmp_path: Path, name: str) -> None:
    values = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    save_file(
        {"features": torch.from_numpy(FEATURES), "x": values[0].clone() if name == "float64" else values},
        tmp_path / "a.safetensors",
        metadata={"made": "by test"},
    )
    dump = opened(tmp_path / "a.safetensors")
    assert {one.spec.name: one.spec.dtype for one in dump.tensors} == {"features": "float16", "x": name}
    found = arrays(dump)
    np.testing.assert_array_equal(found["features"], FEATURES)
    expected = values[:1] if name == "float64" else values
    bits = expected.view(torch.uint16) if name == "bfloat16" else expected
    np.testing.assert_array_equal(found["x"], bits.numpy())


def test_streams_keep_the_order_of_the_header(tmp_path: Path) -> None:
    header = {"b": tensor([1, 1], 4, 8), "a": tensor([1, 1], 0, 4)}
    path = write(tmp_path / "a.safetensors", header, struct.pack("<2f", 1, 2))
    found = arrays(opened(path))
    assert list(found) == ["b", "a"]
    assert found["b"].item() == 2


def test_float8_is_skipped_with_a_warning(tmp_path: Path) -> None:
    header = {"a": tensor([1, 1], 0, 4), "b": tensor([3], 4, 7, "F8_E4M3")}
    dump = opened(write(tmp_path / "a.safetensors", header, bytes(7)))
    assert dump.warnings == [f"{tmp_path / 'a.safetensors'}: skipped b (F8_E4M3)"]
    dump.close()


@pytest.mark.parametrize(
    ("header", "size", "words"),
    [
        (b"{" * 10, 0, "expected JSON"),
        (b"[[" + b"[" * 200_000, 0, "expected JSON"),
        (b"{\xff}", 0, "expected JSON"),
        (b'{"a":1,"a":2}', 0, "a key occurs twice"),
        (b"[1, 2]", 0, "expected a JSON object, found list"),
        ({"a": 3}, 0, "expected dtype, shape and data_offsets"),
        ({"a": {"dtype": "F32", "shape": [1]}}, 0, "expected dtype, shape and data_offsets"),
        ({"a": tensor([-1], 0, 4)}, 4, "expected dtype, shape and data_offsets"),
        ({"a": tensor([1], 0, 1 << 63)}, 4, "expected dtype, shape and data_offsets"),
        ({"a": tensor([1] * 33, 0, 4)}, 4, "expected at most 32 axes"),
        ({"a": tensor([2, 2], 0, 4)}, 4, "expected 16 bytes, found 4"),
        ({"a": tensor([1, 1], 0, 4), "b": tensor([1, 1], 2, 6)}, 6, "b overlaps the tensor before it"),
        ({"a": tensor([1, 1], 4, 8)}, 8, "a leaves a gap before it"),
        ({"a": tensor([1, 1], 0, 4)}, 3, "truncated"),
        ({"a": tensor([1, 1], 0, 4)}, 5, "bytes after the last tensor"),
        ({"a": tensor([3], 7, 3, "F8_E4M3")}, 0, "found -4"),
        ({}, 0, "expected arrays, found none"),
        ({"__metadata__": {"a": "b"}}, 0, "expected arrays, found none"),
        ({"a": tensor([2, 1], 0, 16, "I64")}, 16, "type int64, expected float16"),
    ],
)
def test_bad_headers_are_named(tmp_path: Path, header: object, size: int, words: str) -> None:
    path = write(tmp_path / "a.safetensors", header, bytes(size))
    with pytest.raises(SourceError) as caught:
        opened(path, input_format="safetensors")
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("size", [0, 1, 100_000_001, (1 << 64) - 1])
def test_header_sizes_are_bounded(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", size) + b"{}")
    with pytest.raises(SourceError, match="expected 2 to 100000000 bytes"):
        opened(tmp_path / "a.safetensors", input_format="safetensors")


def test_a_cut_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"a": tensor([1, 1], 0, 4)}, bytes(4))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SourceError, match="truncated, the header needs"):
        opened(path)
