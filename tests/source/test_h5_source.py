"""HDF5 files: the layouts people write, what leads out of the file, and damage."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from embdc_cli.errors import SourceError
from embdc_cli.source import h5
from tests.source.dump_files import FEATURES, RNG, arrays, opened


def test_one_dataset_per_video(tmp_path: Path) -> None:
    videos = {f"v_{number}": RNG.standard_normal((number + 1, 5)).astype(np.float32) for number in range(3)}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in videos.items():
            file[name] = values
    found = arrays(opened(tmp_path / "a.h5"))
    assert list(found) == list(videos)
    for name, values in videos.items():
        np.testing.assert_array_equal(found[name], values)


def test_groups_per_video_have_full_paths(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v_a/c3d_features"] = FEATURES
        file["v_b/deep/er"] = FEATURES[:3]
    assert list(arrays(opened(tmp_path / "a.h5"))) == ["v_a/c3d_features", "v_b/deep/er"]
    for key in ("v_b/deep/er", "/v_b/deep/er"):
        np.testing.assert_array_equal(arrays(opened(tmp_path / "a.h5", key=key))["v_b/deep/er"], FEATURES[:3])


def test_one_big_array_with_ids(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = FEATURES
        file["ids"] = np.arange(9, dtype=np.int32)
        file["names"] = ["a"] * 9
        file["empty"] = h5py.Empty("f4")
    dump = opened(tmp_path / "a.h5")
    assert {one.spec.name: (one.spec.dtype, one.spec.axes) for one in dump.tensors} == {
        "features": ("float16", "t,n,c"),
        "ids": ("int32", "c"),
    }
    assert dump.warnings == [f"{tmp_path / 'a.h5'}: skipped empty (no values), names (object)"]
    dump.close()


def test_features_with_timestamps(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = FEATURES
        file["timestamps"] = np.arange(9) * 0.5
    dump = opened(tmp_path / "a.h5")
    assert dump.timeline is not None
    assert dump.timeline.seconds(3) == 1.5
    assert dump.timed_streams == {"feats"}
    dump.close()


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "V2", "?"])
@pytest.mark.parametrize("shape", [(9, 4, 3), (0, 4), (5,), ()])
def test_types_and_shapes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    values = RNG.integers(0, 2, (*shape, 2), np.uint8).view("<u2").reshape(shape)
    values = values.view(dtype) if dtype == "V2" else values.astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values)
        file["main"] = FEATURES
    dump = opened(tmp_path / "a.h5")
    spec = next(one.spec for one in dump.tensors if one.spec.name == "x")
    main = len(shape) >= 2
    assert spec.shape == shape
    wanted = {
        "<f2": "float16",
        ">f4": "float32",
        "<f8": "float32" if main else "float64",
        "V2": "bfloat16",
        "?": "bool",
    }
    assert spec.dtype == wanted[dtype]
    found = arrays(dump)["x"].reshape(shape)
    np.testing.assert_array_equal(found, values.view("<u2") if dtype == "V2" else values)


@pytest.mark.parametrize("chunks", [(4, 2, 3), (9, 4, 3), (1, 1, 1)])
def test_compressed_chunks_by_rows(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=FEATURES, chunks=chunks, compression="gzip", shuffle=True, fletcher32=True)
    dump = opened(tmp_path / "a.h5")
    for start in range(9):
        np.testing.assert_array_equal(dump.tensors[0].read(start, start + 1), FEATURES[start : start + 1])
    dump.close()


def test_many_datasets_do_not_stay_open(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(20):
            file[f"v{number:02}"] = np.full((2, 2), number, np.float32)
    dump = opened(tmp_path / "a.h5")
    for _ in range(2):
        assert [tensor.read(0, 2)[0, 0] for tensor in dump.tensors] == list(range(20))
    assert len(dump.tensors[0]._reader._datasets._open) == h5._MAX_OPEN  # type: ignore[attr-defined]
    dump.close()


def outside(folder: Path) -> Path:
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = FEATURES
    return folder / "other.h5"


def external_link(file: h5py.File) -> None:
    file["out"] = h5py.ExternalLink("other.h5", "/x")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("out", (4, 2), "f4", external=[("passwd", 0, 32)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((9, 4, 3), "f2")
    layout[:] = h5py.VirtualSource("other.h5", "x", (9, 4, 3))
    file.create_virtual_dataset("out", layout)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (external_link, "out links to /x in another file, other.h5"),
        (external_storage, "out has its values in another file, passwd"),
        (virtual_dataset, "out is a virtual dataset"),
    ],
)
def test_what_leads_out_of_the_file_is_refused(tmp_path: Path, make: object, words: str) -> None:
    outside(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["in"] = FEATURES
        make(file)  # type: ignore[operator]
    for options in ({}, {"key": "out"}, {"key": "out/x"}):
        with pytest.raises(SourceError, match=words) as caught:
            opened(tmp_path / "a.h5", **options)
        assert caught.value.exit_code == 8
    assert list(arrays(opened(tmp_path / "a.h5", key="in"))) == ["in"]


def test_soft_links_and_loops_do_not_repeat_data(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = FEATURES
        file["soft"] = h5py.SoftLink("/g/x")
        file["g/loop"] = file["g"]
        file["hard"] = file["g/x"]
    dump = opened(tmp_path / "a.h5")
    assert [tensor.spec.name for tensor in dump.tensors] == ["g/x", "hard"]
    assert dump.warnings == [f"{tmp_path / 'a.h5'}: skipped soft (a link to /g/x)"]
    dump.close()


def test_unwritten_values_are_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("never", (4, 2), "f4")
        file.create_dataset("partly", (6, 2), "f4", chunks=(2, 2))[:2] = 1
    dump = opened(tmp_path / "a.h5")
    assert dump.warnings == [
        f"{tmp_path / 'a.h5'}: never: was never written and read as fill values",
        f"{tmp_path / 'a.h5'}: partly: 2 of 3 chunks were never written and read as fill values",
    ]
    dump.close()


def test_a_filter_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=FEATURES, compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: False)
    with pytest.raises(SourceError, match=r"HDF5 filter 1 .* not installed"):
        opened(tmp_path / "a.h5")


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, keep: float) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = FEATURES
    data = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SourceError, match="truncated or damaged HDF5 file"):
        opened(tmp_path / "a.h5")


def test_a_damaged_chunk_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=FEATURES, chunks=(3, 4, 3), fletcher32=True)
        offset = file["x"].id.get_chunk_info(1).byte_offset
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[offset] ^= 1
    (tmp_path / "a.h5").write_bytes(data)
    dump = opened(tmp_path / "a.h5")
    np.testing.assert_array_equal(dump.tensors[0].read(0, 3), FEATURES[:3])
    with pytest.raises(SourceError, match="x: damaged at rows 3 to 6"):
        dump.tensors[0].read(3, 6)
    dump.close()


def test_only_integers_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["codes"] = np.zeros((4, 2), np.uint8)
        file["lengths"] = np.zeros(4, np.float64)
    with pytest.raises(SourceError, match="codes has type uint8"):
        opened(tmp_path / "a.h5")


def test_rows_larger_than_anything_stored_are_refused(tmp_path: Path) -> None:
    """A few hundred bytes that declare sixteen gigabytes a row, never written."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(2, 1 << 33), dtype=np.float16)
    with pytest.raises(SourceError, match="declares rows of 17179869184 bytes, 0 are stored"):
        arrays(opened(tmp_path / "a.h5"))
