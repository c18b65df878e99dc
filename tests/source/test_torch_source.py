"""Files of torch.save: structures, layouts in the file, and pickles that want to run code."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embdc_cli.errors import SourceError
from embdc_cli.source.file_rows import FileRows
from tests.source.dump_files import FEATURES, arrays, opened, write_zip

X = torch.from_numpy(FEATURES)


def saved(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (X, ["data"]),
        (torch.nn.Parameter(X), ["data"]),
        ({"a": X, "b": X[:2]}, ["a", "b"]),
        (OrderedDict(w=X, b=X[0, 0]), ["w", "b"]),
        ({"m": {"x": X, "l": [X, X]}, "t": (X,)}, ["m.x", "m.l.0", "m.l.1", "t.0"]),
        ([X[0], X[1]], ["0", "1"]),
        ([X[0], X[1, :2]], ["data"]),
        ({"v": [X[0], X[1, :2]], 7: X}, ["v", "7"]),
        ([X[0], X[1, :2].float()], ["0", "1"]),
    ],
)
def test_names_of_structures(tmp_path: Path, value: Any, names: list[str]) -> None:
    assert list(arrays(opened(saved(tmp_path / "a.pt", value)))) == names


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["c", "transposed", "sliced", "column", "scalar"])
def test_values_of_every_layout(tmp_path: Path, dtype: torch.dtype, layout: str, legacy: bool) -> None:
    base = X.to(dtype)
    tensor = {
        "c": base,
        "transposed": base.permute(2, 1, 0),
        "sliced": base[2:7],
        "column": base[:, :, 1],
        "scalar": base[3, 2, 1],
    }[layout]
    path = saved(tmp_path / "a.pt", tensor, _use_new_zipfile_serialization=not legacy)
    dump = opened(path)
    expected = tensor.float() if dtype == torch.float64 else tensor
    bits = expected.contiguous().view(torch.int16).numpy().view("<u2") if dtype == torch.bfloat16 else expected.numpy()
    assert dump.tensors[0].spec.shape == tuple(tensor.shape)
    if not legacy and layout in ("c", "transposed", "sliced") and os.path.isdir("/proc/self"):
        assert isinstance(dump.tensors[0]._reader, FileRows)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(arrays(dump)["data"].reshape(bits.shape), bits)


def test_ragged_lists_read_by_rows(tmp_path: Path) -> None:
    rows = [torch.randn(count, 3) for count in (2, 0, 5, 1)]
    dump = opened(saved(tmp_path / "a.pt", {"v": rows}))
    (tensor,) = dump.tensors
    assert tensor.spec.shape == (4, -1, 3)
    assert tensor.token_counts is not None
    assert tensor.token_counts.tolist() == [2, 0, 5, 1]
    for start in range(5):
        for stop in range(start, 5):
            expected = torch.cat([torch.empty(0, 3), *rows[start:stop]])
            np.testing.assert_array_equal(tensor.read(start, stop), expected.numpy())
    dump.close()


def test_integers_travel_along(tmp_path: Path) -> None:
    state = {"w": X.float(), "steps": torch.tensor(3), "ids": torch.arange(4)[None], "mask": torch.tensor([True])}
    dump = opened(saved(tmp_path / "a.pt", state))
    assert {one.spec.name: one.spec.dtype for one in dump.tensors} == {
        "w": "float32",
        "steps": "int64",
        "ids": "int64",
        "mask": "bool",
    }
    dump.close()


def test_other_values_are_skipped_with_a_warning(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.pt", {"a": X, "epoch": 3, "n": {"name": "x", "c": torch.zeros(2, dtype=torch.complex64)}}
    )
    dump = opened(path)
    assert dump.warnings == [f"{path}: skipped epoch (int), n.name (str), n.c (complex64)"]
    dump.close()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "expected arrays, found none"),
        ([], "expected arrays, found none"),
        (torch.zeros(2, 3, dtype=torch.int64), "type int64"),
        (X.float().to_sparse(), "sparse_coo tensor"),
        (torch.zeros(1, 1).expand(4000, 3000), "expanded view"),
        (torch.zeros(2, 2, device="meta"), "meta"),
        ({"a.b": X, "a": {"b": X}}, "two tensors are called 'a.b'"),
        ({"": X}, "data"),
    ],
)
def test_what_cannot_be_encoded(tmp_path: Path, value: Any, words: str) -> None:
    if words == "data":
        assert list(arrays(opened(saved(tmp_path / "a.pt", value)))) == ["data"]
        return
    with pytest.raises(SourceError) as caught:
        opened(saved(tmp_path / "a.pt", value))
    assert words in caught.value.message


def test_shared_lists_do_not_explode(tmp_path: Path) -> None:
    value: list[Any] = [3]
    for _ in range(30):
        value = [value, value]
    with pytest.raises(SourceError, match="expected at most 1000000 entries"):
        opened(saved(tmp_path / "a.pt", value))


class Evil:
    """Would create a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_objects_are_refused_and_do_not_run(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path / "a.pt", {"a": X, "e": Evil(tmp_path / "ran")}, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(SourceError) as caught:
        opened(path)
    assert caught.value.exit_code == 8
    assert "found pickled objects of " in caught.value.message
    assert "can run code" in (caught.value.hint or "")
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(SourceError, match="found a Python pickle"):
        opened(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0.3, 0.8, 0.99])
@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files(tmp_path: Path, keep: float, legacy: bool) -> None:
    path = saved(tmp_path / "a.pt", {"a": X}, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SourceError, match="truncated"):
        opened(path)


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": X})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with pytest.raises(SourceError, match="is compressed"):
        opened(write_zip(path, members, zipfile.ZIP_DEFLATED))


def test_big_endian_files_are_swapped(tmp_path: Path) -> None:
    values = X.float()
    values[:3] = 0  # so that its first bytes look alike both ways
    buffer = io.BytesIO()
    torch.save({"a": values}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["archive/byteorder"] = b"big"
    members["archive/data/0"] = values.numpy().astype(">f4").tobytes()
    found = arrays(opened(write_zip(tmp_path / "a.pt", members)))
    np.testing.assert_array_equal(found["a"], values.numpy())


def test_torchscript_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pt", {"a/data.pkl": b"x", "a/constants.pkl": b"x"})
    with pytest.raises(SourceError, match="TorchScript"):
        opened(path)
