"""npz files: stored and deflated members, checksums, and zip files made to hurt."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.source import npz
from tests.source.dump_files import FEATURES, RNG, arrays, npy_bytes, opened, write_zip


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_members_by_key(tmp_path: Path, save: object) -> None:
    other = np.asfortranarray(RNG.standard_normal((5, 3)).astype(">f4"))
    ids = np.arange(9)
    save(tmp_path / "a.npz", features=FEATURES, other=other, ids=ids)  # type: ignore[operator]
    dump = opened(tmp_path / "a.npz")
    assert [(one.spec.name, one.spec.dtype, one.spec.shape) for one in dump.tensors] == [
        ("features", "float16", FEATURES.shape),
        ("other", "float32", (5, 3)),
        ("ids", "int64", (9,)),
    ]
    found = arrays(dump)
    np.testing.assert_array_equal(found["features"], FEATURES)
    np.testing.assert_array_equal(found["other"], other)
    np.testing.assert_array_equal(found["ids"][0], ids)


def test_nested_paths_are_names(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.npz", {"v/1.npy": npy_bytes(FEATURES), "v/2.npy": npy_bytes(FEATURES[:2])})
    assert list(arrays(opened(path))) == ["v/1", "v/2"]


def test_other_members_are_skipped_with_a_warning(tmp_path: Path) -> None:
    members = {"a.npy": npy_bytes(FEATURES), "README": b"x", "names.npy": npy_bytes(np.array(["x"]))}
    dump = opened(write_zip(tmp_path / "a.npz", members))
    assert [tensor.spec.name for tensor in dump.tensors] == ["a"]
    assert dump.warnings == [f"{tmp_path / 'a.npz'}: skipped README, names (str32)"]
    dump.close()


def test_a_key_inflates_only_its_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=FEATURES, b=FEATURES)
    inflated: list[str] = []
    inflate = npz.Scratch.inflate
    monkeypatch.setattr(
        npz.Scratch, "inflate", lambda self, where, member: inflated.append(where) or inflate(self, where, member)
    )
    np.testing.assert_array_equal(arrays(opened(tmp_path / "a.npz", key="b"))["b"], FEATURES)
    assert inflated == [f"{tmp_path / 'a.npz'}: b"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_is_noticed(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(FEATURES)}, method)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("a.npy")
    data[30 + len("a.npy") + info.compress_size // 2 + 40] ^= 4
    path.write_bytes(data)
    with pytest.raises(SourceError, match="corrupt"):
        opened(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(FEATURES)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match="truncated or damaged zip file"):
        opened(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_member_longer_or_shorter_than_its_array(tmp_path: Path, method: int, change: int) -> None:
    data = npy_bytes(FEATURES)
    data = data[:change] if change < 0 else data + b"x"
    path = write_zip(tmp_path / "a.npz", {"a.npy": data}, method)
    with pytest.raises(SourceError, match=f"needs {len(npy_bytes(FEATURES))} bytes, found {len(data)}"):
        opened(path)


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((1 << 18, 4), np.float32))
    monkeypatch.setattr(npz, "BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(npz.Scratch, "inflate", lambda *_: pytest.fail("inflated"))
    with pytest.raises(SourceError, match=r"inflate to 4194432, expected at most 200 times"):
        opened(tmp_path / "a.npz")


def test_inflated_members_are_bounded(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=FEATURES, b=FEATURES)
    size = len(npy_bytes(FEATURES))
    opened(tmp_path / "a.npz", spool_max=2 * size).close()
    with pytest.raises(ResourceError, match=f"more than {2 * size - 1} bytes") as caught:
        opened(tmp_path / "a.npz", spool_max=2 * size - 1)
    assert caught.value.exit_code == 9


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(FEATURES), "a2npy": b""})
    data = path.read_bytes()
    # the second directory entry is made to name the first member's bytes
    second = data.rindex(b"PK\x01\x02")
    first = data.index(b"PK\x01\x02")
    entry = bytearray(data[first:second])
    end = data.index(b"PK\x05\x06")
    forged = data[:second] + bytes(entry) + data[end:]
    size = len(entry) * 2
    tail = forged.index(b"PK\x05\x06")
    forged = forged[: tail + 12] + struct.pack("<I", size) + forged[tail + 16 :]
    path.write_bytes(forged)
    with pytest.raises(SourceError, match="overlaps another member"):
        opened(path)


@pytest.mark.parametrize(
    ("packed", "plain", "words"),
    [(1 << 20, 1 << 20, "truncated, a.npy ends at byte"), (100, 200, "stored as 100 bytes, declared 200")],
)
def test_sizes_that_lie(tmp_path: Path, packed: int, plain: int, words: str) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(FEATURES)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<II", data, data.index(b"PK\x01\x02") + 20, packed, plain)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=words):
        opened(path)


def test_a_local_header_that_disagrees_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(FEATURES)})
    path.write_bytes(path.read_bytes().replace(b"a.npy", b"b.npy", 1))
    with pytest.raises(SourceError, match="expected its local header at byte 0"):
        opened(path)


def test_encryption_and_strange_methods_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(FEATURES)}, zipfile.ZIP_BZIP2)
    with pytest.raises(SourceError, match="compression method 12"):
        opened(path)
    path = write_zip(tmp_path / "b.npz", {"a.npy": npy_bytes(FEATURES)})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="encrypted"):
        opened(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy_bytes(FEATURES))
        archive.writestr("a.npy", npy_bytes(FEATURES))
    with pytest.raises(SourceError, match="two tensors are called 'a'"):
        opened(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "", "a\nb"])
def test_names_that_are_no_paths_are_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "a.npz", {f"{name}.npy": npy_bytes(FEATURES)})
    with pytest.raises(SourceError, match="expected a printable path"):
        opened(path)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([None, {}]))
    with pytest.raises(SourceError, match="a has type object"):
        opened(tmp_path / "a.npz")


def test_an_empty_zip_holds_no_arrays(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected arrays, found none"):
        opened(write_zip(tmp_path / "a.npz", {}))
