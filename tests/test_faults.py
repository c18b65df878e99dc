"""Damaged archives of every codec: no value is ever silently wrong, and whatever lies outside the damage comes back."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from damage import flipped, spliced

import embdc_cli as embdc
from embdc_cli.archive import Archive
from embdc_cli.cli.app import main
from embdc_cli.container import spec
from embdc_cli.container.contents import Entry
from embdc_cli.container.framing import chunk_bytes
from embdc_cli.errors import CorruptArchive, EmbdcError
from embdc_cli.stream_view import StreamView
from tests.synthetic import embeddings

ROWS, CHUNK_ROWS = 24, 6
OPTIONS: dict[str, dict[str, Any]] = {
    "lossless": {"lossless": True},
    "transform": {"target_nmse": 0.05},
    "vq": {"codec": "vq", "target_nmse": 0.2},
    "h264": {"codec": "h264", "target_nmse": 0.2},
    "hevc": {"codec": "hevc", "target_nmse": 0.2},
    "av1": {"codec": "av1", "target_nmse": 0.2},
}
SAMPLED = 150  # flips of each archive in the ordinary run


@dataclass(frozen=True)
class Chunk:
    """A chunk of the good archive. costs: the rows by stream that cannot be had when it is damaged."""

    kind: bytes
    start: int
    stop: int
    costs: dict[str, set[int]]


@dataclass(frozen=True)
class Case:
    """A good archive: its bytes, chunks and values; coded: (record, payload, models) by stream and first row."""

    data: bytes
    chunks: list[Chunk]
    values: dict[str, np.ndarray]
    coded: dict[tuple[str, int], tuple[object, ...]]

    def costs(self, start: int, stop: int) -> dict[str, set[int]]:
        """The rows by stream that damage to bytes [start, stop) may cost."""
        lost: dict[str, set[int]] = {name: set() for name in self.values}
        for chunk in self.chunks:
            if chunk.start < stop and start < chunk.stop:
                for name, rows in chunk.costs.items():
                    lost[name] |= rows
        return lost


@functools.cache
def case(codec: str) -> Case:
    """An archive of 3 to 6 kB with times and two streams."""
    with TemporaryDirectory() as folder:
        out = f"{folder}/a.embdc"
        tokens = 9 if "codec" in OPTIONS[codec] else 4  # with fewer the exact form of video codecs is smaller
        patch, cls = embeddings(ROWS, tokens, 12), embeddings(ROWS, 1, 12, seed=2)[:, 0]
        np.savez(f"{folder}/x.npz", patch=patch, cls=cls, timestamps=np.arange(ROWS) / 25)
        embdc.encode(f"{folder}/x.npz", out, chunk_frames=CHUNK_ROWS, **OPTIONS[codec])
        data = Path(out).read_bytes()
    archive = Archive(io.BytesIO(data))
    views = [archive[name] for name in archive]
    assert views[0].stream.entries[0].record.kind == (codec != "lossless")
    values = {view.name: view.numpy(range(view.spec.known_rows)) for view in views}
    coded = {(view.name, entry.row0): coding(archive, view, entry) for view in views for entry in view.stream.entries}
    table = archive.reader.parts[0].table
    everything = {name: set(range(len(rows))) for name, rows in values.items()}
    chunks = [Chunk(b"sig", 0, spec.SIGNATURE_BYTES, {})]
    for place, (code, start, content) in enumerate(table.chunks[["code", "offset", "content"]].tolist()):
        costs = {}
        if code == spec.TYPE_CODES[spec.HEAD]:
            costs = everything
        for records in (table.data, table.models):
            for record in records[records["chunk"] == place]:
                name = views[record["stream"]].name
                found = table.data[table.data["stream"] == record["stream"]]
                if records is table.data:
                    found = found[found["chunk"] == place]
                costs[name] = {row for one in found for row in range(one["row0"], one["row0"] + one["rows"])}
        kind = next(kind for kind, known in spec.TYPE_CODES.items() if known == code)
        chunks.append(Chunk(kind, start, start + chunk_bytes(content), costs))
    return Case(data, chunks, values, coded)


def coding(archive: Archive, view: StreamView, entry: Entry) -> tuple[object, ...]:
    """What the values of a chunk are made of."""
    ((found, payload),) = archive.reader.fetch([entry])
    return found.record, payload, archive.reader.models(view.stream, entry.record.segment)


def lost_rows(one: Case, data: bytes) -> tuple[dict[str, set[int]], bool]:
    """The rows by stream that cannot be had, and whether anything was said. Values that are had are the right ones."""
    lost = {name: set(range(len(rows))) for name, rows in one.values.items()}
    try:
        archive = Archive(io.BytesIO(data))
    except EmbdcError:
        return lost, True
    said = not archive.complete or bool(archive.reader.damage)
    for view in map(archive.__getitem__, archive):
        name = view.spec.name  # a header that is there twice begins a part twice
        for entry, wanted in view.pieces(range(view.spec.known_rows)):
            if entry is None:
                continue
            try:
                # equal bytes are equal values, so only others need decoding
                if coding(archive, view, entry) != one.coded.get((name, entry.row0)):
                    rows = archive.rows(view, entry, wanted)
                    assert rows.tobytes() == one.values[name][wanted.start : wanted.stop].tobytes()
            except CorruptArchive:
                said = True
                continue
            lost[name] -= set(wanted)
    return lost, said


def check(one: Case, changed: bytes, allowed: dict[str, set[int]], what: str) -> None:
    """No wrong value, nothing lost but `allowed`, and nothing lost in silence."""
    lost, said = lost_rows(one, changed)
    assert all(lost[name] <= allowed[name] for name in lost), f"{what} costs {lost}"
    assert said or not any(lost.values()), f"{what} costs {lost}, and nothing is said"


def check_flip(one: Case, bit: int) -> None:
    check(one, flipped(one.data, bit), one.costs(bit // 8, bit // 8 + 1), f"bit {bit}")


@pytest.mark.parametrize("codec", OPTIONS)
def test_a_flipped_bit_costs_its_chunk_at_most(codec: str) -> None:
    one = case(codec)
    for bit in random.Random(codec).sample(range(8 * len(one.data)), SAMPLED):
        check_flip(one, bit)


@pytest.mark.slow
@pytest.mark.parametrize("codec", OPTIONS)
def test_every_flipped_bit_costs_its_chunk_at_most(codec: str) -> None:
    one = case(codec)
    for bit in range(8 * len(one.data)):
        check_flip(one, bit)


@pytest.mark.parametrize("codec", OPTIONS)
@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cut_costs_what_is_behind_it(codec: str, every: int) -> None:
    one = case(codec)
    for size in range(0, len(one.data), every):
        check(one, one.data[:size], one.costs(size, len(one.data)), f"cut at {size}")


@pytest.mark.parametrize("codec", OPTIONS)
def test_a_splice_costs_the_chunks_it_touches(codec: str) -> None:
    one = case(codec)
    rng = random.Random(codec)
    for _ in range(100):
        changed, start, stop = spliced(one.data, rng)
        check(one, changed, one.costs(start, stop), f"bytes {start} to {stop}")


@pytest.mark.parametrize("codec", OPTIONS)
def test_chunks_that_are_there_twice_or_not_in_order(codec: str) -> None:
    """What comes too late in a stream is not taken; what is there once and in order is."""
    one = case(codec)
    pieces = [one.data[chunk.start : chunk.stop] for chunk in one.chunks]
    for at in range(1, len(pieces)):
        twice = b"".join([*pieces[: at + 1], *pieces[at:]])
        check(one, twice, one.costs(0, 0), f"chunk {at} twice")
        exchanged = [*pieces[: at - 1], pieces[at], pieces[at - 1], *pieces[at + 1 :]]
        start, stop = one.chunks[at - 1].start, one.chunks[at].stop
        check(one, b"".join(exchanged), one.costs(start, stop), f"chunk {at} before {at - 1}")


def test_a_foreign_archive_inside_a_chunk_is_never_read_in_its_place(tmp_path: Path) -> None:
    """Exact chunks may hold the bytes of another archive as they are."""
    inner = case("transform").data
    rows = np.frombuffer(inner + bytes(-len(inner) % 64), np.float16).reshape(-1, 32)
    out = tmp_path / "a.embdc"
    embdc.encode(rows, str(out), lossless=True, chunk_frames=16)
    data = out.read_bytes()
    archive = Archive(io.BytesIO(data))
    view = archive["data"]
    assert view.numpy(range(len(rows))).tobytes() == rows.tobytes()
    for place in range(0, len(data), 13):
        try:
            found = Archive(io.BytesIO(flipped(data, 8 * place + place % 8)))
        except CorruptArchive:
            continue
        assert found.streams == ["data"]
        for _, wanted in found["data"].pieces(range(len(found["data"]))):
            with contextlib.suppress(CorruptArchive):
                assert found["data"].numpy(wanted).tobytes() == rows[wanted.start : wanted.stop].tobytes()


def decoded(folder: Path, data: bytes, on_damage: str, capsys: pytest.CaptureFixture[str]) -> tuple[Any, ...]:
    """(exit code, JSON document, standard error, arrays) of `embdc decode`; no arrays where nothing was written."""
    (folder / "a.embdc").write_bytes(data)
    out = folder / "x.npz"
    out.unlink(missing_ok=True)
    code = main(["decode", str(folder / "a.embdc"), "-o", str(out), "--on-damage", on_damage, "--json"])
    document, words = capsys.readouterr()
    if not out.exists():
        return code, json.loads(document), words, None
    with np.load(out) as arrays:
        return code, json.loads(document), words, dict(arrays)


@pytest.mark.parametrize("on_damage", ["skip", "nan", "fail"])
@pytest.mark.parametrize("codec", ["transform", "lossless"])
def test_decode_says_what_is_lost_and_gives_the_rest(
    codec: str, on_damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = case(codec)
    for chunk in one.chunks[::2] if codec == "lossless" else one.chunks:
        data = flipped(one.data, 4 * (chunk.start + chunk.stop))
        code, document, words, arrays = decoded(tmp_path, data, on_damage, capsys)
        if chunk.kind == spec.HEAD or (on_damage == "fail" and chunk.costs):
            assert (code, document["exit"], arrays) == (5, 5, None)
            continue
        assert code == document["exit"] == (3 if chunk.costs or chunk.kind == spec.TAIL else 0)
        said: dict[str, set[int]] = {}
        for loss in document["lost"]:
            start, stop = loss["rows"]
            said[loss["stream"]] = said.get(loss["stream"], set()) | set(range(start, stop))
            assert f"stream {loss['stream']!r}: rows {start} to {stop} lost" in words
            if loss["stream"] != "timestamps":
                assert loss["seconds"] == pytest.approx([start / 25, stop / 25])
                assert f"({start / 25:.3f} s to {stop / 25:.3f} s)" in words
        assert said == chunk.costs
        for name, good in one.values.items():
            check_array(arrays.get(name), good, sorted(said.get(name, ())), on_damage)


def check_array(found: np.ndarray | None, good: np.ndarray, lost: list[int], on_damage: str) -> None:
    if len(good) == 1:  # without rows: all or nothing
        if lost and on_damage == "skip":
            assert found is None
            return
        assert found is not None
        found = found[None]
    assert found is not None
    expected = np.delete(good, lost, 0)
    if on_damage == "nan":
        assert np.isnan(found[lost]).all()
        found = np.delete(found, lost, 0)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_decode_says_what_a_cut_has_cost(share: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = case("transform")
    size = int(len(one.data) * share)
    costs = one.costs(size, len(one.data))
    code, document, words, arrays = decoded(tmp_path, one.data[:size], "fail", capsys)
    assert code == 3
    assert {loss["stream"]: set(range(*loss["rows"])) for loss in document["lost"]} == {
        name: rows for name, rows in costs.items() if rows
    }
    for name, good in one.values.items():
        kept = np.delete(good, sorted(costs[name]), 0)
        assert (f"stream {name!r}: rows {len(kept)} to {len(good)} lost" in words) == bool(costs[name])
        if name == "timestamps":
            assert (name in arrays) == bool(len(kept))
        else:
            assert arrays[name].tobytes() == kept.tobytes()


def test_lost_times_do_not_cost_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are lost and with them the times that would say when; the others come back all the same."""
    np.savez(tmp_path / "x.npz", clip=embeddings(ROWS, 4, 12), timestamps=np.arange(ROWS) ** 1.5)
    embdc.encode(tmp_path / "x.npz", tmp_path / "a.embdc", chunk_frames=CHUNK_ROWS)
    data = (tmp_path / "a.embdc").read_bytes()
    archive = Archive(io.BytesIO(data))
    good = archive["clip"].numpy(range(ROWS))
    part = archive.reader.parts[0]
    times = part.table.chunks["offset"][part.table.times["chunk"]]
    places = [int(times[1]) + 50, archive["clip"].stream.entries[2].offset + 50]
    for place in places:
        data = flipped(data, 8 * place)
    code, document, _, arrays = decoded(tmp_path, data, "skip", capsys)
    assert code == 3
    assert document["lost"] == [{"stream": "clip", "rows": [12, 18], "seconds": None}]
    assert arrays["clip"].tobytes() == np.delete(good, range(12, 18), 0).tobytes()
