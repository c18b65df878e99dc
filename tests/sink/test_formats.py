"""What the libraries of each format read in our output, and how it is laid out."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from embdc_cli.sink import npz
from embdc_cli.values import StreamSpec
from tests.sink.written import written

RNG = np.random.default_rng(5)
SPECS = [
    StreamSpec("mask", "bool", "c", (3,), 1),
    StreamSpec("patch", "float16", "t,n,c", (4, 2), 5),
    StreamSpec("v/cls", "bfloat16", "t,c", (2,), 5),
    StreamSpec("tokens", "float32", "t,n,c", (2,), 3, ragged=True),
    StreamSpec("scale", "float64", "", (), 1),
]
COUNTS = {"tokens": np.array([2, 0, 1])}
VALUES = {
    "mask": np.array([[True, False, True]]),
    "patch": RNG.standard_normal((5, 4, 2)).astype(np.float16),
    "v/cls": torch.randn(5, 2).bfloat16().view(torch.int16).numpy().view("<u2"),
    "tokens": RNG.standard_normal((3, 2)).astype(np.float32),
    "scale": np.array([2.5]),
}


def test_npy_is_what_numpy_saves(tmp_path: Path) -> None:
    written("npy", tmp_path / "a.npy", [SPECS[1]], {"patch": VALUES["patch"]})
    out = io.BytesIO()
    np.save(out, VALUES["patch"])
    assert (tmp_path / "a.npy").read_bytes() == out.getvalue()


def test_bfloat16_in_numpy_is_two_bytes(tmp_path: Path) -> None:
    spec = StreamSpec("x", "bfloat16", "t,c", (2,), 5)
    (warning,) = written("npy", tmp_path / "a.npy", [spec], {"x": VALUES["v/cls"]})
    assert "no bfloat16" in warning
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy").view(np.uint16), VALUES["v/cls"])


def test_npz(tmp_path: Path) -> None:
    written("npz", tmp_path / "a.npz", SPECS, VALUES, COUNTS)
    with np.load(tmp_path / "a.npz") as found:
        assert found.files == ["mask", "patch", "v/cls", "tokens", "tokens.token_counts", "scale"]
        np.testing.assert_array_equal(found["patch"], VALUES["patch"])
        np.testing.assert_array_equal(found["mask"], VALUES["mask"][0])
        np.testing.assert_array_equal(found["v/cls"].view(np.uint16), VALUES["v/cls"])
        np.testing.assert_array_equal(found["tokens"], VALUES["tokens"])
        np.testing.assert_array_equal(found["tokens.token_counts"], [2, 0, 1])
        assert found["scale"].shape == ()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_npz_of_large_members_is_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_ZIP64_BYTES", 100)
    written("npz", tmp_path / "a.npz", SPECS[1:2], {"patch": VALUES["patch"]})
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["patch"], VALUES["patch"])
    assert struct.pack("<HH", 1, 16) in (tmp_path / "a.npz").read_bytes()[:80]


def test_safetensors(tmp_path: Path) -> None:
    written("safetensors", tmp_path / "a.safetensors", SPECS, VALUES, COUNTS)
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["patch"], torch.from_numpy(VALUES["patch"]))
    assert found["v/cls"].dtype == torch.bfloat16
    assert torch.equal(found["v/cls"].view(torch.int16), torch.from_numpy(VALUES["v/cls"].view("<i2")))
    assert found["scale"].shape == ()
    assert found["tokens.token_counts"].tolist() == [2, 0, 1]
    assert found["mask"].tolist() == [True, False, True]
    data = (tmp_path / "a.safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert list(header) == ["mask", "patch", "v/cls", "tokens", "tokens.token_counts", "scale"]
    widths = {"BOOL": 1, "F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8}
    assert all(entry["data_offsets"][0] % widths[entry["dtype"]] == 0 for entry in header.values())


def test_h5(tmp_path: Path) -> None:
    written("h5", tmp_path / "a.h5", SPECS, VALUES, COUNTS)
    with h5py.File(tmp_path / "a.h5") as found:
        assert list(found) == ["mask", "patch", "v", "tokens", "tokens.token_counts", "scale"]
        np.testing.assert_array_equal(found["patch"][2:4], VALUES["patch"][2:4])
        np.testing.assert_array_equal(found["v/cls"][()].view(np.uint16), VALUES["v/cls"])
        np.testing.assert_array_equal(found["mask"], VALUES["mask"][0])
        assert found["scale"][()] == 2.5
        assert found["patch"].chunks is None


def test_pt(tmp_path: Path) -> None:
    written("pt", tmp_path / "a.pt", SPECS, VALUES, COUNTS)
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(found) == [spec.name for spec in SPECS]
    assert torch.equal(found["patch"], torch.from_numpy(VALUES["patch"]))
    assert found["v/cls"].dtype == torch.bfloat16
    assert found["mask"].tolist() == [True, False, True]
    assert [len(row) for row in found["tokens"]] == [2, 0, 1]
    np.testing.assert_array_equal(torch.cat(found["tokens"]).numpy(), VALUES["tokens"])
    assert found["scale"].item() == 2.5


def test_pt_of_one_stream_called_data_is_bare(tmp_path: Path) -> None:
    spec = StreamSpec("data", "float32", "t,c", (2,), 3)
    written("pt", tmp_path / "a.pt", [spec], {"data": VALUES["tokens"]})
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True), torch.from_numpy(VALUES["tokens"]))


@pytest.mark.parametrize("form", ["npz", "safetensors", "h5", "pt"])
def test_neither_name_nor_time_is_in_the_bytes(tmp_path: Path, form: str) -> None:
    for name in ("first", "second"):
        written(form, tmp_path / name, SPECS, VALUES, COUNTS)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert b"first" not in (tmp_path / "first").read_bytes()
