"""Repaired archives: flipped bits put right, every usable row in its place, what is lost declared and never read."""

from __future__ import annotations

import io
import json
import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import flipped, spliced

import embdc_cli as embdc
from embdc_cli.archive import Archive
from embdc_cli.cli.app import main
from embdc_cli.container import spec
from embdc_cli.container.correction import flipped_bit
from embdc_cli.container.storage import open_storage
from embdc_cli.errors import CorruptArchive, EmbdcError
from tests.synthetic import embeddings
from tests.test_faults import ROWS, Case, case, lost_rows


def repaired(folder: Path, data: bytes) -> tuple[dict[str, Any], bytes]:
    """(document, bytes) of the repair of `data`."""
    (folder / "damaged.embdc").write_bytes(data)
    document = embdc.repair(folder / "damaged.embdc", folder / "repaired.embdc", force=True)
    return document, (folder / "repaired.embdc").read_bytes()


def declared(document: dict[str, Any]) -> dict[str, set[int]]:
    """The rows by stream that a document says are lost."""
    rows: dict[str, set[int]] = {}
    for loss in document["lost"]:
        rows.setdefault(loss["stream"], set()).update(range(*loss["rows"]))
    return rows


def check(folder: Path, one: Case, damaged: bytes, allowed: dict[str, set[int]]) -> dict[str, Any]:
    """Repair `damaged` and look at all of the result: rows are the right ones in their places, or declared as lost."""
    document, data = repaired(folder, damaged)
    before, _ = lost_rows(one, damaged)
    after, _ = lost_rows(one, data)
    expected = {name: rows for name, rows in before.items() if rows}
    assert {name: rows for name, rows in after.items() if rows} == declared(document)
    assert all(rows <= allowed[name] for name, rows in after.items())
    assert all(rows <= expected.get(name, set()) for name, rows in after.items())
    assert document["exit"] == (3 if document["lost"] or document["lost_times"] else 0)
    for deep in (False, True):
        verified = embdc.verify(folder / "repaired.embdc", deep=deep)
        assert verified["complete"]
        assert verified["exit"] in (0, 3)
        assert verified["ok"] == (verified["problems"] == [])
    again, same = repaired(folder, data)
    assert same == data
    assert again["exit"] == 0
    return document


@pytest.mark.parametrize("codec", ["transform", "lossless", "hevc"])
def test_any_single_flipped_bit_is_put_right(codec: str, tmp_path: Path) -> None:
    one = case(codec)
    for bit in random.Random(codec).sample(range(8 * len(one.data)), 60):
        document, data = repaired(tmp_path, flipped(one.data, bit))
        assert data == one.data
        assert document["exit"] == 0


@pytest.mark.slow
def test_every_single_flipped_bit_is_put_right(tmp_path: Path) -> None:
    one = case("transform")
    for bit in range(8 * len(one.data)):
        assert repaired(tmp_path, flipped(one.data, bit))[1] == one.data


def test_a_flipped_bit_in_each_of_several_chunks_is_put_right(tmp_path: Path) -> None:
    one = case("lossless")
    data = one.data
    for chunk in one.chunks:
        data = flipped(data, 8 * (chunk.start + 45) if chunk.start else 3)
    document, found = repaired(tmp_path, data)
    assert found == one.data
    places = [
        chunk.start + 45 for chunk in one.chunks if chunk.kind in (spec.HEAD, spec.DATA, spec.TIMES, spec.SUMMARY)
    ]
    assert set(document["corrected"]) >= set(places[1:])


def zeroed(data: bytes, start: int, stop: int) -> bytes:
    return data[:start] + bytes(stop - start) + data[stop:]


@pytest.mark.parametrize("codec", ["transform", "lossless"])
def test_chunks_that_are_gone_cost_their_rows_and_no_others(codec: str, tmp_path: Path) -> None:
    one = case(codec)
    for chunk in one.chunks[2:]:
        document = check(
            tmp_path, one, zeroed(one.data, chunk.start + 4, chunk.stop - 4), one.costs(chunk.start, chunk.stop)
        )
        assert declared(document) == {name: rows for name, rows in chunk.costs.items() if rows}
        assert document["summary"] == (chunk.kind != b"sUMM")
        assert bool(document["lost_times"]) == (chunk.kind == spec.TIMES)
        for loss in document["lost"]:
            start, stop = loss["rows"]
            assert loss["seconds"] == (None if loss["stream"] == "timestamps" else (start / 25, stop / 25))


@pytest.mark.parametrize("codec", ["transform", "lossless"])
def test_a_cut_archive_ends_where_its_last_row_does(codec: str, tmp_path: Path) -> None:
    one = case(codec)
    for size in range(one.chunks[1].stop, len(one.data), 211):
        document = check(tmp_path, one, one.data[:size], one.costs(size, len(one.data)))
        assert declared(document) == {name: rows for name, rows in one.costs(size, len(one.data)).items() if rows}


def test_splices_are_repaired(tmp_path: Path) -> None:
    one = case("transform")
    rng = random.Random(5)
    for _ in range(40):
        damaged, start, stop = spliced(one.data, rng)
        try:
            check(tmp_path, one, damaged, one.costs(start, stop))
        except CorruptArchive:
            assert start < one.chunks[1].stop


def test_lost_rows_are_never_read_as_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = case("transform")
    chunk = next(chunk for chunk in one.chunks if chunk.kind == spec.DATA and min(chunk.costs.get("patch", {0})) == 6)
    repaired(tmp_path, zeroed(one.data, chunk.start, chunk.stop))
    path = tmp_path / "repaired.embdc"
    with embdc.open(path) as archive:
        assert archive.complete
        assert archive["patch"].shape[0] == ROWS
        with pytest.raises(CorruptArchive, match="rows 6 to 8 are lost"):
            archive["patch"][5:8]
        assert archive["patch"][12:].numpy().tobytes() == one.values["patch"][12:].tobytes()
        assert archive.at(0.25) == 6
    for on_damage, code in (("fail", 5), ("skip", 3), ("nan", 3)):
        out = tmp_path / f"{on_damage}.npz"
        assert main(["decode", str(path), "-o", str(out), "--on-damage", on_damage, "--json"]) == code
        document = json.loads(capsys.readouterr().out)
        if code == 3:
            assert document["lost"] == [{"stream": "patch", "rows": [6, 12], "seconds": [0.24, 0.48]}]
    inspected = embdc.inspect(path)
    assert [loss["rows"] for damage in inspected["damage"] for loss in damage["lost"]] == [[6, 12]]
    with pytest.raises(EmbdcError, match="lost rows"):
        embdc.cat([path, path], tmp_path / "c.embdc")
    embdc.encode(embeddings(8), path, append=True)
    assert embdc.open(path).streams == ["0/patch", "0/cls", "0/timestamps", "1/data"]


def test_what_is_repaired_is_not_skipped_as_current(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", embeddings(ROWS))
    archive = tmp_path / "a.embdc"
    embdc.encode(tmp_path / "x.npy", archive, chunk_frames=6)
    data = archive.read_bytes()
    chunk = embdc.inspect(archive, chunks=True)["chunks"][1]
    _, found = repaired(tmp_path, zeroed(data, chunk["offset"], chunk["offset"] + 100))
    archive.write_bytes(found)
    assert embdc.encode(tmp_path / "x.npy", archive, chunk_frames=6, skip_existing=True, force=True)["status"] == "done"
    assert archive.read_bytes() == data


def test_only_damaged_parts_are_written_anew(tmp_path: Path) -> None:
    one, other = case("transform"), case("lossless")
    gone = one.chunks[5]
    damaged = b"garbage " * 3 + other.data + b"between" + zeroed(one.data, gone.start, gone.stop) + other.data
    document, data = repaired(tmp_path, damaged)
    assert data.startswith(other.data)
    assert data.endswith(other.data)
    assert document["parts"] == 3
    assert {loss["item"] for loss in document["lost"]} == {1}
    archive = Archive(io.BytesIO(data))
    assert archive.streams[3:6] == ["1/patch", "1/cls", "1/timestamps"]
    assert embdc.verify(tmp_path / "repaired.embdc")["exit"] == 3


@pytest.mark.parametrize("size", [64, 5000])
def test_a_lost_header_comes_from_its_copy(size: int, tmp_path: Path) -> None:
    """Archives larger than the opening read have it twice."""
    rows = np.random.default_rng(0).standard_normal((size, 32)).astype(np.float16)
    embdc.encode(rows, tmp_path / "a.embdc", lossless=True, chunk_frames=1024)
    data = (tmp_path / "a.embdc").read_bytes()
    damaged = zeroed(data, 20, 150)
    if size == 64:
        with pytest.raises(CorruptArchive):
            repaired(tmp_path, damaged)
        assert not (tmp_path / "repaired.embdc").exists()
        return
    document, found = repaired(tmp_path, damaged)
    assert found == data
    assert document["lost"] == []
    (problem,) = embdc.verify(tmp_path / "damaged.embdc")["problems"]
    assert problem["offset"] == 16
    assert problem["bytes"] < 1000
    assert problem["lost"] == []


def test_verify_names_the_rows_of_lost_models(tmp_path: Path) -> None:
    one = case("transform")
    chunk = next(chunk for chunk in one.chunks if chunk.kind == spec.MODELS)
    (tmp_path / "a.embdc").write_bytes(flipped(one.data, 8 * chunk.start + 500))
    problem, *rest = embdc.verify(tmp_path / "a.embdc")["problems"]
    assert problem["offset"] == chunk.start
    assert all("made with other models" in other["what"] for other in rest)
    assert {row for loss in problem["lost"] for row in range(*loss["rows"])} == set(range(ROWS))
    assert {loss["stream"] for loss in problem["lost"]} == {"patch"}


def test_verify_deep_finds_what_checksums_do_not(tmp_path: Path) -> None:
    """A chunk changed by somebody who made its checksums right again."""
    one = case("lossless")
    path = tmp_path / "a.embdc"
    chunk = next(chunk for chunk in one.chunks if chunk.kind == spec.DATA)
    payload = bytearray(one.data[chunk.start + spec.CHUNK_BYTES : chunk.stop])
    payload[20] ^= 1  # the checksum of the integers
    changed = resealed(one.data[chunk.start : chunk.stop], bytes(payload))
    path.write_bytes(one.data[: chunk.start] + changed + one.data[chunk.stop :])
    assert embdc.verify(path)["ok"]
    document = embdc.verify(path, deep=True)
    assert document["exit"] == 5
    assert any("checksum" in problem["what"] for problem in document["problems"])
    assert any("digests" in problem["what"] for problem in document["problems"])


def resealed(chunk: bytes, payload: bytes) -> bytes:
    """`chunk` with another payload, and both checksums computed anew."""
    header = bytearray(chunk[: spec.CHUNK_BYTES])
    header[32:36] = zlib.crc32(payload).to_bytes(4, "little")
    header[36:40] = zlib.crc32(header[:36]).to_bytes(4, "little")
    return bytes(header) + payload


@pytest.mark.parametrize("size", [1, 8, 4095, 4096, 4097, 20_000])
def test_a_checksum_names_the_flipped_bit(size: int) -> None:
    data = random.Random(size).randbytes(size)
    for bit in {0, 7, 8 * size - 1, 4 * size, *random.Random(1).sample(range(8 * size), min(8 * size, 20))}:
        assert flipped_bit(size, zlib.crc32(data) ^ zlib.crc32(flipped(data, bit))) == bit
    two = flipped(flipped(data, 0), 8 * size - 1)
    assert flipped_bit(size, zlib.crc32(data) ^ zlib.crc32(two)) is None


def test_a_repair_of_what_is_no_archive_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.embdc").write_bytes(b"hello" * 100)
    with pytest.raises(CorruptArchive, match="expected an embdc signature"):
        embdc.repair(tmp_path / "a.embdc", tmp_path / "b.embdc")
    assert not (tmp_path / "b.embdc").exists()
    with pytest.raises(embdc.UsageError, match="also the input"):
        embdc.repair(tmp_path / "a.embdc", tmp_path / "a.embdc", force=True)
    assert open_storage(tmp_path / "a.embdc").size == 500


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_lost_tensors_without_rows_keep_their_place(dtype: type, tmp_path: Path) -> None:
    tensors = {"a": np.arange(6, dtype=np.float32), "b": np.arange(9).astype(dtype), "c": embeddings(9)}
    np.savez(tmp_path / "x.npz", **tensors)
    embdc.encode(tmp_path / "x.npz", tmp_path / "a.embdc", target_nmse=0.05)
    data = (tmp_path / "a.embdc").read_bytes()
    chunk = next(one for one in embdc.inspect(tmp_path / "a.embdc", chunks=True)["chunks"] if one["stream"] == "b")
    document, _ = repaired(tmp_path, zeroed(data, chunk["offset"], chunk["offset"] + chunk["bytes"]))
    assert [loss["stream"] for loss in document["lost"]] == ["b"]
    with embdc.open(tmp_path / "repaired.embdc") as archive:
        assert archive["a"][:].tolist() == list(range(6))
        with pytest.raises(CorruptArchive, match="lost"):
            archive["b"][:]


def test_ragged_rows_that_are_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((count, 8)).astype(np.float32) for count in (3, 1, 4, 1, 5, 9, 2, 6)]
    embdc.encode(rows, tmp_path / "a.embdc", chunk_frames=2)
    data = (tmp_path / "a.embdc").read_bytes()
    with embdc.open(tmp_path / "a.embdc") as archive:
        good = [archive["data"][at].numpy() for at in range(8)]
    chunk = embdc.inspect(tmp_path / "a.embdc", chunks=True)["chunks"][1]
    document, _ = repaired(tmp_path, zeroed(data, chunk["offset"], chunk["offset"] + 60))
    assert [loss["rows"] for loss in document["lost"]] == [[2, 4]]
    with embdc.open(tmp_path / "repaired.embdc") as archive:
        for at in (0, 1, 4, 5, 6, 7):
            assert archive["data"][at].numpy().tobytes() == good[at].tobytes()
        with pytest.raises(CorruptArchive):
            archive["data"][2]


def test_rows_lost_without_end_are_beyond_repair(tmp_path: Path) -> None:
    """Somebody has given a chunk a row far away, and right checksums."""
    one = case("lossless")
    chunk = [chunk for chunk in one.chunks if chunk.kind == spec.DATA][-1]
    payload = bytearray(one.data[chunk.start + spec.CHUNK_BYTES : chunk.stop])
    payload[8:16] = (1 << 60).to_bytes(8, "little")
    cut = one.data[: chunk.start] + resealed(one.data[chunk.start : chunk.stop], bytes(payload))
    with pytest.raises(CorruptArchive, match="beyond repair"):
        repaired(tmp_path, cut)
    assert not (tmp_path / "repaired.embdc").exists()
