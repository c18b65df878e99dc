"""Dumps that arrive on a pipe, a byte at a time if need be, are the dumps that lie in a file."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save as safetensors_bytes

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source import detect_format, open_stdin, stream_feed
from embdc_cli.source.pipe import Pipe
from embdc_cli.source.spool import spool
from embdc_cli.values import Dump, Feed
from tests.source.dump_files import FEATURES, RNG, arrays, npy_bytes, opened


class Trickle(io.RawIOBase):
    """A stream whose reads give at most `step` bytes."""

    def __init__(self, data: bytes, step: int = 1) -> None:
        self._data, self._step = io.BytesIO(data), step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # RawIOBase.read gives a bytearray
        return self._data.readinto(view[: self._step])


def piped(data: bytes, step: int = 1, **options: object) -> Dump | Feed:
    return open_stdin(Trickle(data, step), EncodeOptions(**options))  # type: ignore[arg-type]


def as_dump(found: Dump | Feed) -> Dump:
    return spool(found, 1 << 30) if isinstance(found, Feed) else found


def file_bytes(form: str, array: np.ndarray) -> bytes:
    out = io.BytesIO()
    if form == "npz":
        np.savez_compressed(out, a=array)
    elif form == "h5":
        with h5py.File(out, "w") as file:
            file["a"] = array
    elif form == "pt":
        torch.save({"a": torch.from_numpy(array)}, out)
    elif form == "safetensors":
        return safetensors_bytes({"a": array})
    else:
        return npy_bytes(array)
    return out.getvalue()


@pytest.mark.parametrize("form", ["npy", "npz", "safetensors", "h5", "pt"])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_pipe_gives_what_the_file_gives(tmp_path: Path, form: str, step: int) -> None:
    data = file_bytes(form, FEATURES)
    (tmp_path / "a").write_bytes(data)
    of_file, of_pipe = opened(tmp_path / "a"), as_dump(piped(data, step))
    assert of_pipe.source == of_file.source
    assert of_pipe.source["kind"] == form
    assert [one.spec for one in of_pipe.tensors] == [one.spec for one in of_file.tensors]
    first, second = arrays(of_file), arrays(of_pipe)
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(9, 4, 3), (0, 3), (3, 0), (7,), ()])
def test_npy_of_every_layout(shape: tuple[int, ...], dtype: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(RNG.standard_normal(shape).astype(dtype), order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    of_file, of_pipe = opened(tmp_path / "a.npy"), as_dump(piped(npy_bytes(array), 100))
    assert of_pipe.source == of_file.source
    assert of_pipe.tensors[0].spec == of_file.tensors[0].spec
    assert [text.partition(": ")[2] for text in of_pipe.warnings] == [
        text.partition(": ")[2] for text in of_file.warnings
    ]
    np.testing.assert_array_equal(arrays(of_pipe)["data"], arrays(of_file)["data"])


def test_npy_and_raw_are_feeds_of_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_feed, "_BLOCK_BYTES", 4 * FEATURES[0].nbytes)
    for data, options, rows in [
        (npy_bytes(FEATURES), {}, 9),
        (FEATURES.tobytes(), {"raw": "dtype=f16,shape=?x4x3"}, None),
        (FEATURES.tobytes(), {"raw": "dtype=f16,shape=9x4x3"}, 9),
    ]:
        feed = piped(data, **options)
        assert isinstance(feed, Feed)
        assert feed.specs[0].rows == rows
        blocks = [block.arrays["data"] for block in feed.blocks]
        assert [len(block) for block in blocks] == [4, 4, 1]
        np.testing.assert_array_equal(np.concatenate(blocks), FEATURES)


def test_raw_of_one_number_per_row(tmp_path: Path) -> None:
    data = np.arange(5, dtype="<f4").tobytes()
    (tmp_path / "a").write_bytes(data)
    of_file, of_pipe = opened(tmp_path / "a", raw="dtype=f32,shape=?"), as_dump(piped(data, raw="dtype=f32,shape=?"))
    assert of_pipe.tensors[0].spec == of_file.tensors[0].spec
    assert of_pipe.source == of_file.source
    of_file.close()
    of_pipe.close()


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (b"", {}, "stdin: empty, 0 bytes"),
        (b"", {"input_format": "h5"}, "stdin: empty, 0 bytes"),
        (b"hello", {}, "stdin: expected a dump or a video, found text"),
        (npy_bytes(FEATURES)[:-1], {}, "stdin: truncated, shape (9, 4, 3) of float16 needs 344 bytes, found 343"),
        (npy_bytes(FEATURES)[:40], {}, "stdin: truncated inside the npy header"),
        (npy_bytes(np.asfortranarray(FEATURES))[:-1], {}, "stdin: truncated, shape"),
        (npy_bytes(np.zeros((2, 2), int)), {}, "stdin: data has type int64"),
        (bytes(17), {"raw": "dtype=f16,shape=?x4"}, "expected a multiple of 8 bytes, found 17"),
        (bytes(23), {"raw": "dtype=f16,shape=3x4"}, "expected 24 bytes, found 23"),
        (bytes(25), {"raw": "dtype=f16,shape=3x4"}, "expected 24 bytes, found 25"),
        (file_bytes("npz", FEATURES)[:-1], {}, "stdin: truncated or damaged zip file"),
        (npy_bytes(FEATURES), {"key": "x"}, "no tensor called 'x'"),
    ],
)
def test_bad_streams_are_named(data: bytes, options: dict[str, str], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        as_dump(piped(data, **options))
    assert words in caught.value.message


def test_bytes_after_an_array_are_told(tmp_path: Path) -> None:
    data = npy_bytes(FEATURES) + b"xyz"
    (tmp_path / "a.npy").write_bytes(data)
    dump, of_file = as_dump(piped(data)), opened(tmp_path / "a.npy")
    assert dump.warnings == ["stdin: 3 bytes after the array are ignored"]
    assert dump.source == of_file.source
    dump.close()
    of_file.close()


def test_what_must_be_spooled_is_bounded() -> None:
    with pytest.raises(ResourceError, match="more than 100 bytes to spool") as caught:
        piped(file_bytes("h5", FEATURES), spool_max=100)
    assert "--spool-max" in (caught.value.hint or "")


def test_a_pipe_can_be_looked_at_first() -> None:
    data = npy_bytes(FEATURES)
    pipe = Pipe(Trickle(data))
    assert detect_format(pipe.head()) == "npy"
    assert pipe.head(6) == data[:6]
    found = arrays(as_dump(open_stdin(pipe, EncodeOptions())))
    np.testing.assert_array_equal(found["data"], FEATURES)


def test_a_pipe_reads_as_a_file() -> None:
    pipe = Pipe(Trickle(bytes(range(256)), 7))
    pipe.head(10)
    assert pipe.read(20) == bytes(range(20))
    assert pipe.read() == bytes(range(20, 256))
    assert pipe.read(1) == b""
    assert pipe.facts()["size_bytes"] == 256


def test_a_float64_beyond_float32_is_named_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.zeros((9, 2, 3))
    value[7, 1, 2] = 1e39
    monkeypatch.setattr(stream_feed, "_BLOCK_BYTES", 100)
    found = piped(npy_bytes(value), step=1000)
    assert isinstance(found, Feed)
    with pytest.raises(SourceError, match=r"1e\+39 at \[7, 1, 2\], expected at most"):
        list(found.blocks)
