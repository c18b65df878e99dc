"""Small files that promise much: what reading takes is bounded by their bytes, not by what their headers allow."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

import embdc_cli as embdc
from embdc_cli.codebook import file as codebook_file
from embdc_cli.codebook.sections import checked, pack_integers, section
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.mixture.cutting import adapted
from embdc_cli.container import admission, index, spec, varint
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.header import Limits, StreamHeader
from embdc_cli.container.packed_json import pack
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, EmbdcError, UsageError
from embdc_cli.tokens import CHUNK_VALUES, MAX_CHUNK_ROWS, cut_rows
from embdc_cli.values import ArrayTensor, StreamSpec
from tests.container.container_cases import Plan, dumped, forged, header_of, parse, split
from tests.synthetic import embeddings

CAPS = {
    "max_chunk_bytes": spec.MAX_PAYLOAD_BYTES,
    "max_chunk_rows": spec.CAP_CHUNK_ROWS,
    "max_chunk_values": spec.CAP_CHUNK_VALUES,
    "max_rank": spec.CAP_RANK,
    "max_modes": spec.CAP_MODES,
    "max_group": spec.CAP_GROUP,
}
MOST_BYTES = 48 << 20
"""What anything of a refused file may take: tables of the decoders, read-ahead."""
FREE_BYTES = 32 * spec.FREE_CHUNK_VALUES
"""What the largest chunk may take that needs no bytes for its values."""
TIMES_BYTES = 96 * spec.MAX_TIMES_ROWS
"""What the largest chunk of times may take while it is decoded and written again, however many there are."""
ZEROS = b"\0" + varint.encode(np.array([1 << 24], np.uint64))
"""A column of 2^24 zeros."""
RANS = b"\5\1\xff\xff\xff\xff" + bytes(20)
"""A blob of levels that goes on for as long as there are words."""


@functools.cache
def archive(codec: str) -> bytes:
    """A good archive of a single chunk."""
    rows = {
        "constant": np.full((4, 3, 8), 2.5, np.float32),
        "single rows": np.random.default_rng(0).standard_normal((96, 24)).astype(np.float32),
        "sparse": np.maximum(embeddings(16, 16, 12).astype(np.float32) - 1, 0).astype(np.float16),
        "ragged": [embeddings(1, 3, 8)[0]] * 4,
    }.get(codec, embeddings(16, 9, 12))
    options: dict[str, Any] = {
        "lossless": {"lossless": True},
        "ragged": {"lossless": True},
        "hevc": {"codec": "hevc", "target_nmse": 0.2},
        "vq": {"codec": "vq", "target_nmse": 0.05},
        "single rows": {"effort": 1},
        "sparse": {"effort": 2, "target_nmse": 0.02},
    }.get(codec, {"effort": 0, "target_nmse": 0.05})
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(rows, list):
            np.savez(f"{folder}/a.npz", data=np.concatenate(rows))
        embdc.encode(rows, f"{folder}/a.embdc", **options)
        return Path(f"{folder}/a.embdc").read_bytes()


def stretched(
    codec: str,
    rows: int,
    row_shape: Sequence[int],
    *,
    models: bytes | None = None,
    payload: bytes | None = None,
    tokens: bytes = b"",
    sealed: bool = True,
) -> bytes:
    """An archive whose chunk says that it has so many rows, under the largest limits; all its checksums are right."""
    out: list[tuple[bytes, bytes]] = []
    for kind, content in split(archive(codec)):
        changed = bytearray(content)
        if kind == spec.HEAD:
            head = parse(content)
            head["limits"] = CAPS
            head["streams"][0].pop("rows", None)
            head["streams"][0]["row_shape"] = list(row_shape)
            changed = bytearray(pack(dumped(head)))
        elif kind == spec.MODELS and models is not None:
            changed[spec.MODELS_BYTES :] = models
        elif kind == spec.DATA:
            if tokens:
                old = struct.unpack_from("<I", changed, 48)[0]
                changed[spec.DATA_BYTES : spec.DATA_BYTES + old] = tokens
                struct.pack_into("<I", changed, 48, len(tokens))
            struct.pack_into("<I", changed, 16, rows)
            if payload is not None:
                changed[spec.DATA_BYTES + len(tokens) :] = payload
            if models is not None:
                struct.pack_into("<I", changed, 52, zlib.crc32(models))
        elif kind == spec.INDEX:
            found = index.from_content(content, 1 << 40, "test")
            found.table.data["rows"][0] = rows
            found.table.chunks["content"] = [len(one) for _, one in out]
            changed = bytearray(index.to_content(found.table, full=True))
        out.append((kind, bytes(changed)))
        if kind == spec.DATA and not sealed:
            break
    return forged(out, seal=sealed)


def begun(stages: Sequence[StageId], fold: int) -> FieldWriter:
    """Models of one token group up to the parameters of its stages."""
    out = FieldWriter()
    out.byte(len(stages))
    for stage in stages:
        out.varint(int(stage))
        out.varint(1)
    out.varint(fold)
    for byte in (0, 0, 1, len(stages), *range(len(stages))):  # exponent, flags, group length, the stages in order
        out.byte(byte)
    return out


def large_basis(stage: StageId) -> bytes:
    """Models with 8192 vectors of 8192 channels, in a few bytes."""
    out = begun([stage, StageId.DEAD_ZONE, StageId.PLANES], 8192)
    out.varint(8192)
    out.signed_byte(-2)
    out.byte(0)
    out.blob(RANS)
    return out.bytes()


def many_modes() -> bytes:
    """4 modes of 8192 vectors each."""
    out = begun([StageId.MIXTURE, StageId.RATE_ROUNDING, StageId.TRACK_PLANES], 8192)
    out.float64(1.0)
    for symbols in (13, 4):
        out.blob(adapted(np.ones(symbols, np.int64)).to_bytes())
    out.byte(0)
    out.byte(2)
    out.varint(4)
    for _ in range(4):
        out.varint(8192)
        for byte in (0, 1, 4):
            out.byte(byte)
    for _ in range(5):
        out.byte(0)
        out.blob(b"\0")
    out.raw(RANS)
    return out.bytes()


def side(rows: int, tokens: int) -> bytes:
    """A payload of a mixture without tables: its tracks are counted, not listed."""
    inner, group, out = FieldWriter(), FieldWriter(), FieldWriter()
    inner.varint(rows)
    inner.varint(tokens)
    inner.blob(b"")
    group.blob(inner.bytes())
    out.blob(group.bytes() + RANS)
    return out.bytes()


def no_levels() -> bytes:
    """A payload of a vector quantiser that has no token go on."""
    out = FieldWriter()
    out.blob(b"\0" + struct.pack("<I", zlib.crc32(b"\0")))
    return out.bytes()


def run_of_zeros(size: int) -> bytes:
    """zstd of so many zeros, by plain lossless coding."""
    return b"\1" + zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(size))


FORGED: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: stretched("lossless", 1 << 24, [9, 6]),
    "zeros, no index": lambda: stretched("lossless", 1 << 24, [9, 6], sealed=False),
    "rows of one value": lambda: stretched("lossless", 1 << 24, [1, 1]),
    "rows of no values": lambda: stretched("lossless", 1 << 24, [9, 0]),
    "zstd": lambda: stretched("lossless", 1 << 19, [8, 8], payload=run_of_zeros(1 << 26)),
    "ragged rows": lambda: stretched("ragged", 1 << 24, [8], tokens=ZEROS),
    "ragged tokens": lambda: stretched("ragged", 1, [8], tokens=varint.pack_differences(np.array([1 << 27]))),
    "constant": lambda: stretched("constant", 1 << 24, [7, 8]),
    "constant tokens": lambda: stretched("constant", 1 << 12, [1 << 15, 8]),
    "planes": lambda: stretched("transform", 1 << 20, [80, 12]),
    "single rows": lambda: stretched("single rows", 1 << 22, [24], payload=side(1 << 22, 1)),
    "sparse": lambda: stretched("sparse", 1 << 20, [64, 12]),
    "basis": lambda: stretched("transform", 4, [9, 8192], models=large_basis(StageId.REFLECTED_KLT)),
    "free basis": lambda: stretched("transform", 4, [9, 8192], models=large_basis(StageId.FREE_KLT)),
    "modes": lambda: stretched("transform", 4, [9, 8192], models=many_modes()),
    "vq": lambda: stretched("vq", 1 << 20, [80, 12], payload=no_levels()),
    "hevc": lambda: stretched("hevc", 1 << 22, [9, 12]),
}


def peak_of(action: Callable[[], object]) -> int:
    """Bytes that Python and numpy held at once."""
    tracemalloc.start()
    try:
        with suppress(EmbdcError):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def first_row(path: Path) -> None:
    with embdc.open(str(path)) as opened:
        opened["data"].numpy(range(1))


def reads(path: Path) -> dict[str, Callable[[], object]]:
    out = path.with_suffix(".npz")
    return {
        "inspect": lambda: embdc.inspect(path),
        "verify": lambda: embdc.verify(path, deep=True),
        "decode": lambda: embdc.decode(path, out, force=True),
        "slice": lambda: first_row(path),
    }


@pytest.mark.parametrize("name", FORGED)
def test_a_small_file_takes_little_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(FORGED[name]())
    assert path.stat().st_size < 5000
    for read, action in reads(path).items():
        peak = peak_of(action)
        assert peak < MOST_BYTES, f"{read}: {peak} bytes"


def promised_times(chunks: int, steps: Sequence[int]) -> bytes:
    """An archive without values that promises 2^20 rows, with times, in each chunk. steps: of rows, taking turns."""
    rows = spec.MAX_TIMES_ROWS
    out = io.BytesIO()
    stream = StreamHeader(0, "data", "float16", "t,c", (1,), None, "lossless", timed=True)
    header = replace(header_of(Plan()), streams=(stream,), limits=Limits())
    writer = ArchiveWriter(out, header)
    edges = np.concatenate([[0], np.cumsum(np.resize(np.array(steps, np.int64), chunks * rows))])
    for row0 in range(0, chunks * rows, rows):
        starts, ends = edges[row0 : row0 + rows], edges[row0 + 1 : row0 + rows + 1]
        writer.times(0, row0, starts, ends)
        times = {"pts0": int(starts[0]), "pts1": int(ends[-1])}
        writer.data(DataRecord(0, 0, row0, rows, 0, 0, **times), b"")
    writer.finish({})
    return out.getvalue()


def every_way_to_times(path: Path) -> dict[str, Callable[[], object]]:
    out, cut = path.with_suffix(".npz"), path.with_name("cut.embdc")
    cut.write_bytes(path.read_bytes()[:-200])
    query = np.ones(1, np.float32)
    return {
        "verify": lambda: embdc.verify(path),
        "at": lambda: embdc.open(path).at(3e6),
        "time": lambda: embdc.decode(path, out, force=True, time="1s..2s"),
        "damage": lambda: embdc.decode(path, out, force=True, on_damage="skip", frames="0:1"),
        "search": lambda: embdc.search(path, query, on_damage="skip", frames="0:1"),
        "repair": lambda: embdc.repair(path, out, force=True),
        "repair of an archive that was cut": lambda: embdc.repair(cut, out, force=True),
    }


PROMISED = {"constant rate": [3000], "a break in each chunk": [*[3000] * (spec.MAX_TIMES_ROWS - 1), 4000]}


@pytest.mark.parametrize("steps", PROMISED)
def test_promised_times_take_no_memory_by_the_row(steps: str, tmp_path: Path) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(promised_times(4, PROMISED[steps]))
    assert path.stat().st_size < 2000
    with embdc.open(path) as opened:
        assert len(opened["data"]) == 4 * spec.MAX_TIMES_ROWS
    for read, action in every_way_to_times(path).items():
        peak = peak_of(action)
        assert peak < (TIMES_BYTES if "repair" in read else MOST_BYTES), f"{read}: {peak} bytes"


@pytest.mark.parametrize(
    ("codec", "shape", "payload"),
    [
        ("lossless", [1 << 14, 8], None),
        ("constant", [1 << 14, 8], None),
        ("vq", [(1 << 17) // 12, 12], no_levels()),
        ("single rows", [1 << 12, 24], side(64, 1 << 12)),
    ],
)
def test_a_chunk_of_no_bytes_takes_what_the_largest_written_one_does(
    codec: str, shape: list[int], payload: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.embdc"
    path.write_bytes(stretched(codec, 64, shape, payload=payload))
    peak = peak_of(lambda: first_row(path))
    assert 64 * np.prod(shape) // 4 < peak < FREE_BYTES


def test_a_codebook_takes_what_its_bytes_can_say() -> None:
    for classes in (bytes(8192), b"\1" * 8192):
        head = {"channels": 8192, "encoder": None, "kind": "transform", "mean_exponent": 0, "rank": 8192}
        fields = json.dumps(head | {"training": {}}, sort_keys=True, separators=(",", ":")).encode()
        row = pack_integers(np.zeros((1, 8192), np.int32))
        body = checked(struct.pack("<8sHHI", codebook_file.MAGIC, 0, 0, len(fields))) + checked(fields)
        body += b"".join(section(name, row) for name in (b"MEAN", b"EXPO", b"SPEC"))
        body += section(b"BASI", classes + RANS)
        data = body + hashlib.sha256(body).digest()
        assert peak_of(lambda data=data: codebook_file.read(data)) < MOST_BYTES
        with pytest.raises(CorruptArchive, match=r"a row is zero|too few bytes"):
            codebook_file.read(data)


def test_constants_of_any_length_are_written_so_that_they_can_be_read(tmp_path: Path) -> None:
    """Chunks stop where a reader would begin to doubt them, whatever was asked for."""
    x = np.zeros((MAX_CHUNK_ROWS + 5, 1), np.float16)
    for one_pass in (False, True):
        embdc.encode(x, tmp_path / "a.embdc", chunk_frames=1 << 30, force=True, lossless=True, one_pass=one_pass)
        with embdc.open(str(tmp_path / "a.embdc")) as opened:
            assert opened.complete
            assert [entry.record.rows for entry in opened["data"].stream.entries] == [MAX_CHUNK_ROWS, 5]
    large = ArrayTensor(StreamSpec("x", "float16", "t,c", (8,), 1 << 24), np.zeros(0))
    assert max(stop - start for start, stop in cut_rows(large, 1 << 30)) == CHUNK_VALUES // 8
    counts = np.zeros(2 * MAX_CHUNK_ROWS + 1, np.int64)
    ragged = ArrayTensor(StreamSpec("x", "float16", "t,n,c", (8,), len(counts), ragged=True), np.zeros((0, 8)), counts)
    assert max(stop - start for start, stop in cut_rows(ragged, 1 << 30)) == MAX_CHUNK_ROWS


@pytest.mark.parametrize(
    ("rows", "values", "content_bytes", "fits"),
    [
        (1 << 20, 1 << 23, 0, True),
        (1 << 20, (1 << 23) + 1, 0, False),
        (1 << 20, (1 << 23) + 64, 1 + (1 << 17), True),
        ((1 << 20) + 1, 1, 0, False),
        ((1 << 20) + 1, 1, 1 + (1 << 14), True),
        (1 << 20, 1 << 30, 1 << 24, True),
        (1, (1 << 30) + 1, 1 << 28, False),
    ],
)
def test_what_so_many_bytes_may_be(rows: int, values: int, content_bytes: int, fits: bool) -> None:
    assert admission.fits(rows, values, content_bytes, Limits()) == fits


def test_a_writer_keeps_to_it() -> None:
    writer = ArchiveWriter(io.BytesIO(), replace(header_of(Plan()), limits=Limits()))
    with pytest.raises(UsageError, match="chunk of"):
        writer.data(DataRecord(2, 0, 0, (1 << 20) + 1, 0, 0), b"")
