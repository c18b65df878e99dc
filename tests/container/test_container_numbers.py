"""The numbers of the format: fields wide enough for the limits, and embdc(5) says the same as the program."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embdc_cli.container import index, spec, table, times, varint
from embdc_cli.container.framing import is_critical, signature_of
from embdc_cli.container.packed_json import DICTIONARY
from embdc_cli.errors import CorruptArchive

PAGE = Path(__file__).parents[2] / "man" / "embdc.5"

LAYOUTS = {
    "SIGNATURE": (spec.SIGNATURE_FORMAT, spec.SIGNATURE_BYTES),
    "Chunk header": (spec.CHUNK_FORMAT + "I", spec.CHUNK_BYTES),
    "DATA": (spec.DATA_FORMAT, spec.DATA_BYTES),
    "MODL": (spec.MODELS_FORMAT, spec.MODELS_BYTES),
    "CBOK": (spec.CODEBOOK_FORMAT, spec.CODEBOOK_BYTES),
    "pTS_": (spec.TIMES_FORMAT, spec.TIMES_BYTES),
    "iNDX": (spec.INDEX_FORMAT, spec.INDEX_BYTES),
    "tAIL": (spec.TAIL_FORMAT, spec.TAIL_BYTES),
}


def section(title: str) -> str:
    """The lines of embdc(5) under one heading."""
    found = re.search(rf"^\.S[hs] {title}\n(.*?)(?=^\.S[hs] |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


@pytest.mark.parametrize("title", LAYOUTS)
def test_documented_fields_are_those_of_the_program(title: str) -> None:
    layout, size = LAYOUTS[title]
    fields = re.findall(r"^\.It (\d+) Ta (\d+) Ta Va \w+", section(title), re.MULTILINE)
    codes = re.findall(r"\d*s|[a-zA-Z]", layout)
    sizes = [struct.calcsize("<" + code) for code in codes]
    assert [int(width) for _, width in fields] == sizes
    assert [int(offset) for offset, _ in fields] == np.cumsum([0, *sizes[:-1]]).tolist()
    assert sum(sizes) == size


def test_documented_constants_are_those_of_the_program() -> None:
    assert bytes.fromhex(re.search(r"Va magic Ta ([0-9a-f ]+)", section("SIGNATURE"))[1]) == spec.MAGIC  # type: ignore[index]  # found
    assert bytes.fromhex(re.search(r"Va sync Ta ([0-9a-f ]+)", section("Chunk header"))[1]) == spec.SYNC  # type: ignore[index]  # found
    types = re.findall(r"^\.It Li (\S+) Ta (\d+) Ta (yes|no) ", section("Types"), re.MULTILINE)
    assert {name.encode(): int(code) for name, code, _ in types} == spec.TYPE_CODES
    assert all(is_critical(name.encode()) == (critical == "yes") for name, _, critical in types)
    assert f"{spec.CHUNK_BYTES + spec.TAIL_BYTES} bytes of a file are its tail" in section("OPENING")
    assert len(re.findall(r"^\.It$", section("iNDX"), re.MULTILINE)) == index._COLUMNS


def test_documented_limits_are_those_of_the_program() -> None:
    documented = {
        name: int(value) for name, value in re.findall(r"^\.It Dv (\w+) Ta (\d+) ", section("LIMITS"), re.MULTILINE)
    }
    names = [name for name in vars(spec) if re.match(r"MAX_|CAP_|FREE_|DEFAULT_|OPENING_|CHECKPOINT_", name)]
    assert documented == {name: getattr(spec, name) for name in names}


def test_the_documented_dictionary_is_that_of_the_program() -> None:
    text = section("Packed JSON")
    lines = re.search(r"^The dictionary .*^\.Bd -literal\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL)
    assert lines
    assert lines[1].replace("\n", "").replace("\\-", "-").encode() == DICTIONARY
    assert f"\n{len(DICTIONARY)} bytes with the SHA-256\n.Li {hashlib.sha256(DICTIONARY).hexdigest()} :\n" in text
    assert f"Va form Ta {spec.PACKED_JSON};" in text


def test_the_dictionary_can_be_copied_from_the_formatted_page() -> None:
    program = shutil.which("mandoc")
    if program is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run([program, "-Tutf8", PAGE], capture_output=True, text=True, check=True)
    shown = re.sub(r".\x08", "", done.stdout).split("SHA-256\n")[1]
    assert "".join(shown.split()).partition(":")[2].encode().startswith(DICTIONARY + b"HEAD")


def test_mandoc_has_no_warning() -> None:
    program = shutil.which("mandoc")
    if program is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run([program, "-Tlint", "-W", "warning", PAGE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_fields_hold_the_limits() -> None:
    widths = {name: np.iinfo(dtype[0]).max for name, dtype in (table.DATA.fields or {}).items()}
    assert widths["stream"] >= spec.MAX_STREAMS - 1
    assert widths["segment"] >= spec.MAX_SEGMENTS - 1
    assert widths["row0"] >= spec.MAX_ROWS
    assert widths["rows"] >= spec.CAP_CHUNK_ROWS
    assert max(spec.CAP_CHUNK_ROWS, spec.MAX_TIMES_ROWS, spec.MAX_ITEMS) < 1 << 32  # rows, item: 4 bytes
    assert spec.MAX_STREAMS < 1 << 16
    assert spec.MAX_SEGMENTS <= 1 << 32
    assert spec.CAP_CHUNK_ROWS <= spec.CAP_CHUNK_VALUES
    assert spec.MAX_TIMES_ROWS <= spec.MAX_TIMELINE_ROWS <= spec.MAX_ROWS
    assert spec.DEFAULT_CHUNK_BYTES <= spec.MAX_PAYLOAD_BYTES < 1 << 29  # CRC-32 distance 3 up to 2^32 bits
    assert spec.MAX_JSON_BYTES <= spec.MAX_PAYLOAD_BYTES
    assert struct.calcsize(spec.CHUNK_FORMAT) + 4 == spec.CHUNK_BYTES
    assert spec.CHUNK_BYTES % spec.ALIGNMENT == spec.SIGNATURE_BYTES % spec.ALIGNMENT == 0


@pytest.mark.parametrize("marker", [spec.SYNC, spec.MAGIC])
def test_markers_have_no_border_and_do_not_overlap_each_other(marker: bytes) -> None:
    for other in (spec.SYNC, spec.MAGIC):
        for size in range(1, min(len(marker), len(other))):
            assert marker[-size:] != other[:size]
    assert signature_of(spec.MAJOR).startswith(spec.MAGIC)
    assert len(signature_of(spec.MAJOR)) == spec.SIGNATURE_BYTES


def test_the_container_needs_no_torch() -> None:
    modules = sorted(path.stem for path in Path(spec.__file__).parent.glob("*.py") if path.stem != "__init__")
    code = (
        "import sys\n"
        + "".join(f"import embdc_cli.container.{name}\n" for name in modules)
        + "print(sorted({'torch', 'fsspec', 'av', 'h5py', 'numba', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


int64 = st.one_of(st.just(0), st.integers(-300, 300), st.integers(-(1 << 63), (1 << 63) - 1))


@settings(max_examples=200, deadline=None)
@given(st.lists(int64, max_size=30))
def test_columns_come_back(values: list[int]) -> None:
    array = np.array(values, np.int64)
    assert varint.unpack(varint.pack(array), len(array), "test").tolist() == values
    assert varint.unpack_differences(varint.pack_differences(array), len(array), "test").tolist() == values
    unsigned = array.view(np.uint64)
    assert varint.decode(varint.encode(unsigned), "test").tolist() == unsigned.tolist()


columns = st.one_of(
    st.binary(max_size=24),  # any bytes, and some of which more are columns
    st.lists(st.sampled_from([b"\0\1", b"\0\3", b"\2", b"\x81\1", b"\xff" * 9 + b"\1", b"\x80\0"])).map(b"".join),
)


@settings(max_examples=500, deadline=None)
@given(columns, st.integers(0, varint._FEW))
@example(b"\0\0", 1)
@example(b"\xff" * 9 + b"\2", 1)
@example(b"\xff" * 9 + b"\x80", 1)
@example(b"\2\x80", 1)
@example(b"\0\1\0\1", 2)
def test_few_values_are_those_of_many(column: bytes, count: int) -> None:
    def outcome(few: int) -> list[int] | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(varint, "_FEW", few)
            try:
                return varint.unpack(column, count, "test").tolist()
            except CorruptArchive:
                return None

    assert outcome(count) == outcome(-1)


def test_columns_have_the_documented_bytes() -> None:
    assert varint.encode(np.array([0, 1, 127, 128, 300, (1 << 64) - 1], np.uint64)).hex() == (
        "00017f8001ac02ffffffffffffffffff01"
    )
    assert varint.pack(np.array([0, 0, 0, 5, -5, 0])).hex() == "00030a090001"
    assert varint.pack_differences(np.array([7, 7, 7, 8])).hex() == "0e000202"
    assert varint.pack(np.empty(0, np.int64)) == b""


tick_times = st.lists(st.tuples(int64, int64), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(tick_times)
@example([(-(1 << 63), (1 << 63) - 1)])
def test_any_times_come_back(ticks: list[tuple[int, int]]) -> None:
    starts, ends = np.array(ticks, np.int64).T
    record, found_starts, found_ends = times.from_content(times.to_content(3, 5, starts, ends), "test")
    assert (record.item, record.row0, record.rows) == (3, 5, len(ticks))
    assert np.array_equal(found_starts, starts)
    assert np.array_equal(found_ends, ends)


def test_a_constant_rate_costs_40_bytes_and_a_wobbling_one_a_byte_per_row() -> None:
    edges = np.arange(100_001) * 3003
    assert len(times.to_content(0, 0, edges[:-1], edges[1:])) == spec.TIMES_BYTES
    wobbling = np.round(np.arange(100_001) * 1000 / 29.97).astype(np.int64)  # 29.97 Hz in milliseconds
    assert len(times.to_content(0, 0, wobbling[:-1], wobbling[1:])) < 1.3 * 100_000
