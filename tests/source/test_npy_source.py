"""npy files: every layout numpy writes, and every way to be broken."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.errors import SourceError
from embdc_cli.source.npy_header import read_npy_header
from tests.source.dump_files import FEATURES, RNG, arrays, npy_bytes, opened


def npy(header: str, version: int = 1, data: bytes = b"") -> bytes:
    """npy bytes with a hand-made header."""
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + data


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7, 5), (6, 4, 3), (5, 2, 3, 4), (1, 3, 4), (5, 1), (0, 3), (3, 0), (2, 1, 1, 3, 2)])
def test_rows_of_every_layout(tmp_path: Path, dtype: str, order: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(RNG.standard_normal(shape).astype(dtype), order=order)  # type: ignore[call-overload]
    path = tmp_path / "a.npy"
    np.save(path, array)
    dump = opened(path)
    (tensor,) = dump.tensors
    assert tensor.spec.shape == shape
    assert tensor.spec.dtype == ("float16" if dtype.endswith("2") else "float32")
    expected = array.astype("<f2" if dtype.endswith("2") else "<f4")
    for start, stop in [(0, shape[0]), (0, 1), (1, 3), (shape[0] - 1, shape[0]), (2, 2)]:
        if 0 <= start <= stop <= shape[0]:
            rows = tensor.read(start, stop)
            assert rows.flags.c_contiguous
            assert rows.dtype == expected.dtype
            np.testing.assert_array_equal(rows, expected[start:stop])
    dump.close()


def test_long_fortran_arrays_read_strips(tmp_path: Path) -> None:
    array = np.asfortranarray(RNG.standard_normal((100, 3, 4)).astype(np.float32))
    path = tmp_path / "a.npy"
    np.save(path, array)
    dump = opened(path)
    np.testing.assert_array_equal(dump.tensors[0].read(40, 43), array[40:43])
    dump.close()


@pytest.mark.parametrize(("shape", "axes", "rows"), [((5,), "c", 1), ((), "", 1), ((4, 5), "t,c", 4)])
def test_arrays_without_rows_are_one_row(tmp_path: Path, shape: tuple[int, ...], axes: str, rows: int) -> None:
    array = RNG.standard_normal(shape).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    dump = opened(tmp_path / "a.npy")
    spec = dump.tensors[0].spec
    assert (spec.axes, spec.rows, spec.shape, spec.name) == (axes, rows, shape, "data")
    np.testing.assert_array_equal(arrays(dump)["data"].reshape(shape), array)


@pytest.mark.parametrize("descr", ["|V2", "<V2"])
def test_two_opaque_bytes_are_bfloat16(tmp_path: Path, descr: str) -> None:
    bits = np.arange(12, dtype="<u2").reshape(3, 4)
    (tmp_path / "a.npy").write_bytes(
        npy(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (3, 4), }}\n", data=bits.tobytes())
    )
    dump = opened(tmp_path / "a.npy")
    assert dump.tensors[0].spec.dtype == "bfloat16"
    np.testing.assert_array_equal(arrays(dump)["data"], bits)


def test_nan_payloads_survive_a_byte_swap(tmp_path: Path) -> None:
    bits = np.array([[0x7F800001, 0xFFC12345, 0x80000000, 0x00000001]], np.uint32)
    np.save(tmp_path / "a.npy", bits.view(np.float32).byteswap().view(">f4"))
    np.testing.assert_array_equal(arrays(opened(tmp_path / "a.npy"))["data"].view(np.uint32), bits)


@pytest.mark.parametrize(("version", "shape"), [(1, "(2, 3)"), (2, "(2, 3)"), (3, "(2, 3)"), (1, "(2L, 3L)")])
def test_header_versions(tmp_path: Path, version: int, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    (tmp_path / "a.npy").write_bytes(npy(header, version, bytes(24)))
    assert arrays(opened(tmp_path / "a.npy"))["data"].shape == (2, 3)


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(GOOD, data=bytes(23)), "truncated, shape (2, 3) of float32 needs 91 bytes, found 90"),
        (npy(GOOD)[:30], "truncated inside the npy header"),
        (npy(GOOD)[:9], "truncated inside the npy header"),
        (npy(GOOD)[:7], "truncated inside the npy header"),
        (npy(GOOD, version=4), "npy version, expected 1, 2 or 3, found 4"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "expected at most 65536 bytes, found 4294967295"),
        (npy("{'descr': '<f4'}"), "expected descr, fortran_order and shape"),
        (npy("[" * 5000), "expected descr, fortran_order and shape"),
        (npy("\x00"), "expected descr, fortran_order and shape"),
        (npy(GOOD.replace("(2, 3)", "(-2, 3)")), "expected a shape"),
        (npy(GOOD.replace("(2, 3)", "(2.0, 3)")), "expected a shape"),
        (npy(GOOD.replace("(2, 3)", "(True, 3)")), "expected a shape"),
        (npy(GOOD.replace("(2, 3)", f"{(1,) * 33}")), "expected a shape"),
        (npy(GOOD.replace("False", "0")), "expected a shape and an order"),
        (npy(GOOD.replace("'<f4'", "'<q9'")), "expected an element type"),
        (npy(GOOD.replace("'<f4'", "None")), "expected an element type"),
        (npy(GOOD.replace("(2, 3)", f"({1 << 40}, {1 << 40})")), "truncated"),
        (npy(GOOD.replace("(2, 3)", f"(0, {1 << 61})")), "larger than any file"),
        (npy_bytes(np.zeros((2, 3), np.int64)), "type int64, expected float16"),
        (npy_bytes(np.zeros((2, 3), bool)), "type bool, expected float16"),
        (npy_bytes(np.zeros((2, 3), np.complex64)), "type complex64, expected float16"),
        (npy_bytes(np.zeros((2, 3), np.longdouble)), "expected float16"),
        (npy_bytes(np.array([["a", "b"]])), "type str32, expected float16"),
        (npy_bytes(np.zeros(3, [("a", "f4")])), "type structured, expected float16"),
        (npy_bytes(np.array([{}, None])), "type object, expected float16"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.npy"
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        opened(path)
    assert caught.value.exit_code == 8
    assert str(path) in caught.value.message
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_object_arrays_say_why(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, None]))
    with pytest.raises(SourceError) as caught:
        opened(tmp_path / "a.npy")
    assert "can run code" in (caught.value.hint or "")


def test_bytes_after_the_array_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(FEATURES) + npy_bytes(FEATURES))
    dump = opened(path)
    assert dump.warnings == [f"{path}: {len(npy_bytes(FEATURES))} bytes after the array are ignored"]
    dump.close()


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, FEATURES)
    dump = opened(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SourceError, match="truncated, expected 24 bytes at offset"):
        dump.tensors[0].read(8, 9)
    dump.close()


@given(st.binary(max_size=300) | st.text(max_size=150).map(lambda text: npy(text)))
def test_any_header_is_parsed_or_refused(data: bytes) -> None:
    with contextlib.suppress(SourceError):
        assert read_npy_header(io.BytesIO(data).read, "x").data_bytes >= 0
