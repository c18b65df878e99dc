"""What an input is, by its content; and inputs that are nothing embdc knows."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save as safetensors_bytes

from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.source import detect_format
from tests.source.dump_files import FEATURES, npy_bytes, opened


def h5_bytes(user_block: int = 0) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w", userblock_size=user_block) as file:
        file["x"] = FEATURES
    return out.getvalue()


def torch_bytes(**options: bool) -> bytes:
    out = io.BytesIO()
    torch.save(torch.from_numpy(FEATURES), out, **options)
    return out.getvalue()


def npz_bytes() -> bytes:
    out = io.BytesIO()
    np.savez(out, FEATURES)
    return out.getvalue()


def zip_bytes(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x")
        archive.writestr("late/a.npy", b"x")
    return out.getvalue()


CONTENTS = [
    ("npy", npy_bytes(FEATURES)),
    ("npz", npz_bytes()),
    ("safetensors", safetensors_bytes({"a": FEATURES})),
    ("h5", h5_bytes()),
    ("h5", h5_bytes(1024)),
    ("pt", torch_bytes()),
    ("pt", torch_bytes(_use_new_zipfile_serialization=False)),
    ("embdc", b"\x89EMBDC\r\n\x1a\n" + bytes(20)),
    ("video", b"\x00\x00\x00\x18ftypmp42" + bytes(20)),
    ("video", b"\x1aE\xdf\xa3" + bytes(20)),
    ("video", b"RIFF\x00\x00\x00\x00AVI LIST"),
    ("video", (b"G" + bytes(187)) * 4),
    ("video", b"YUV4MPEG2 W2 H2\nFRAME\n"),
]


@pytest.mark.parametrize(("form", "data"), CONTENTS)
@pytest.mark.parametrize("name", ["a.npy", "a.mp4", "a"])
def test_content_decides(tmp_path: Path, form: str, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert detect_format(tmp_path / name) == form
    assert detect_format(data[:65536], name=name) == form


def test_the_directory_of_a_zip_file_decides_where_its_start_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_bytes("README"))
    assert detect_format(tmp_path / "a.zip") == "npz"
    assert detect_format(zip_bytes("README"), name="x.npz") == "npz"
    with pytest.raises(SourceError, match="a zip archive without arrays"):
        detect_format(zip_bytes("README"), name="x.bin")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.mp4", b"not a video\n" * 50, "expected a dump or a video, found text"),
        ("a.mp4", "é".encode() * 40_000, "found text"),
        ("a.npy", b"hello, world", "expected npy data, found text"),
        ("a.npz", b"\x00\x01\x02", "expected npz data, found unknown content starting with 00 01 02"),
        ("a.pkl", b"\x80\x04\x95\x00", "found a Python pickle"),
        ("a.parquet", b"PAR1\x15", "found a Parquet file"),
        ("a.npy.gz", b"\x1f\x8b\x08", "found gzip data"),
        ("a.tar", bytes(257) + b"ustar" + bytes(200), "found a tar archive"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "found a JPEG image"),
        ("a.npy", b"", "empty file, 0 bytes"),
    ],
)
def test_other_content_is_named(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    for ask in (detect_format, opened):
        with pytest.raises(SourceError) as caught:
            ask(tmp_path / name)
        assert words in caught.value.message
        assert caught.value.message.startswith(str(tmp_path / name))
        assert caught.value.exit_code == 8


def test_a_video_suffix_counts_for_unknown_binary_content(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\x00\xff" * 100)
    assert detect_format(tmp_path / "a.mp4") == "video"


def test_inputs_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in [
        (tmp_path / "missing.npy", "no such file"),
        (tmp_path, "expected a file, found a folder"),
        (tmp_path / "pipe", "found a pipe or device"),
        (f"{tmp_path}/a\0b", "cannot be read"),
    ]:
        for ask in (detect_format, opened):
            with pytest.raises(SourceError, match=words):
                ask(path)


def test_the_options_overrule_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes(FEATURES))
    assert detect_format(tmp_path / "a.npy", EncodeOptions(raw="dtype=f16,shape=?x3")) == "raw"
    assert detect_format(tmp_path / "a.npy", EncodeOptions(input_format="h5")) == "h5"
    with pytest.raises(SourceError, match="damaged HDF5 file"):
        opened(tmp_path / "a.npy", input_format="h5")


@pytest.mark.parametrize(
    "options", [{"input_format": "xls"}, {"input_format": "raw"}, {"input_format": "npy", "raw": "dtype=f16,shape=?"}]
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, str]) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes(FEATURES))
    with pytest.raises(UsageError):
        opened(tmp_path / "a.npy", **options)


@pytest.mark.parametrize(("data", "found"), [(CONTENTS[7][1], "an embdc archive"), (CONTENTS[8][1], "video")])
def test_archives_and_videos_are_no_dumps(tmp_path: Path, data: bytes, found: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(SourceError, match=f"expected a dump, found {found}"):
        opened(tmp_path / "a")
