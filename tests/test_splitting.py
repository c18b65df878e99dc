"""Cutting in time: chunks as they were, parts that open alone, and `cat` gives everything back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.encoding import causal
from embdc_cli.errors import EmbdcError, IncompleteError, OutputExists, UsageError
from tests.container.container_cases import Plan, header_of, times_of
from tests.synthetic import embeddings

ROWS = 200


def times(kind: str) -> np.ndarray:
    if kind == "steady":
        return np.arange(ROWS) / 25
    starts = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.2, ROWS))
    if kind == "gap":
        starts[120:] += 7.5
    return np.stack([starts, starts + 0.01], axis=1)


def made(path: Path, kind: str = "steady", **options: Any) -> Path:
    np.savez(path.with_suffix(".npz"), data=embeddings(ROWS, 4, 8), timestamps=times(kind))
    options = {"effort": 0, **options}
    embdc.encode(path.with_suffix(".npz"), path, chunk_frames=8, key="data", force=True, **options)
    return path


def values(path: Path, stream: str = "data") -> np.ndarray:
    with embdc.open(path) as archive:
        return archive[stream].numpy(range(len(archive[stream])))


def seconds(path: Path) -> np.ndarray:
    """(rows, 2) absolute starts and ends."""
    with embdc.open(path) as archive:
        timeline = archive["data"].timeline
        assert timeline is not None
        return np.stack([timeline.starts, timeline.ends], axis=1) * float(timeline.timebase)


def payloads(path: Path) -> list[bytes]:
    with ArchiveReader.open(path) as reader:
        (data,) = [stream for stream in reader.streams if stream.name == "data"]
        return [payload for _, payload in reader.fetch(data.entries)]


def summary(path: Path | str) -> dict[str, Any]:
    with ArchiveReader.open(path) as reader:
        assert reader.parts[0].summary is not None
        return reader.parts[0].summary


@pytest.mark.parametrize("kind", ["steady", "variable", "gap"])
@pytest.mark.parametrize("every", ["1.1s", "100s", "10ms"])
def test_parts_open_alone_and_join_to_the_whole(tmp_path: Path, kind: str, every: str) -> None:
    whole = made(tmp_path / "a.embdc", kind)
    document = embdc.split(whole, every=every)
    parts = [Path(part["output"]) for part in document["outputs"]]
    assert parts == sorted(tmp_path.glob("a-*.embdc"))
    everything, clock = values(whole), seconds(whole)
    done = 0
    for path, told in zip(parts, document["outputs"], strict=True):
        assert embdc.verify(path, deep=True)["ok"]
        rows = told["rows"]
        assert np.array_equal(values(path), everything[done : done + rows])
        assert np.array_equal(seconds(path), clock[done : done + rows])
        assert told["seconds"] == pytest.approx([clock[done, 0] - clock[0, 0], clock[done + rows - 1, 1] - clock[0, 0]])
        assert told["file_bytes"] == path.stat().st_size
        assert summary(path)["duration_seconds"] == pytest.approx(told["seconds"][1] - told["seconds"][0])
        done += rows
    assert done == ROWS
    embdc.cat(parts, tmp_path / "again.embdc")
    assert np.array_equal(values(tmp_path / "again.embdc"), everything)
    assert np.array_equal(seconds(tmp_path / "again.embdc"), clock)
    assert payloads(tmp_path / "again.embdc") == payloads(whole)
    lasts = clock[-1, 1] - clock[0, 0]  # also where rows leave time between parts
    assert summary(tmp_path / "again.embdc")["duration_seconds"] == pytest.approx(lasts)
    assert embdc.ls([str(tmp_path / "again.embdc")])["items"][0]["seconds"] == pytest.approx(lasts)
    assert embdc.verify(tmp_path / "again.embdc", deep=True, against=tmp_path / "a.npz")["exit"] in (0, 4)


@pytest.mark.parametrize("kind", ["steady", "variable", "gap"])
def test_each_part_begins_at_the_first_chunk_boundary_at_or_after_its_time(tmp_path: Path, kind: str) -> None:
    whole = made(tmp_path / "a.embdc", kind)
    starts = seconds(whole)[:, 0]
    starts -= starts[0]
    every = Fraction("1.7")
    boundaries = range(0, ROWS, 8)
    expected = {0}
    for number in range(1, 100):
        expected |= {min((row for row in boundaries if starts[row] >= float(number * every) - 1e-9), default=ROWS)}
    document = embdc.split(whole, every="1.7s")
    rows = np.cumsum([0] + [part["rows"] for part in document["outputs"]])
    assert set(rows.tolist()) == expected | {ROWS}


def test_streams_of_one_clock_are_cut_where_both_have_boundaries(tmp_path: Path) -> None:
    """Of parts written by hand: chunks of 3 and of 2 rows, the common boundaries each 6."""
    plan = Plan(rows=20, chunk_rows=3, bias=False, variable_rate=False)
    starts, ends = times_of(plan)
    with (tmp_path / "a.embdc").open("wb") as out:
        writer = ArchiveWriter(out, header_of(plan))
        writer.times(0, 0, starts, ends)
        for stream, size in ((0, 3), (1, 2)):
            for row0 in range(0, 20, size):
                rows = min(size, 20 - row0)
                counts = (3,) * rows if stream else None
                record = DataRecord(stream, 0, row0, rows, 0, 0, token_counts=counts, pts0=int(starts[row0]))
                writer.data(replace(record, pts1=int(ends[row0 + rows - 1])), bytes([row0]))
        writer.finish({})
    parts = embdc.split(tmp_path / "a.embdc", every=0.033)["outputs"]
    assert [part["rows"] for part in parts] == [6, 6, 6, 2]
    for number, part in enumerate(parts):
        sums = [entry["sums"] for entry in summary(part["output"])["streams"]]
        assert [(one["values"], one["tokens"]) for one in sums] == [
            (part["rows"] * 8, part["rows"] * 2),
            (part["rows"] * 12, part["rows"] * 3),
        ]
        with ArchiveReader.open(part["output"]) as reader:
            assert reader.verify() == ()
            assert [stream.rows for stream in reader.streams] == [part["rows"]] * 2
            assert [payload[0] for _, payload in reader.fetch(reader.streams[1].entries)] == list(
                range(6 * number, min(20, 6 * number + 6), 2)
            )


def test_a_dataset_of_times_cannot_be_cut_and_need_not_be_kept(tmp_path: Path) -> None:
    made(tmp_path / "a.embdc")
    embdc.encode(tmp_path / "a.npz", tmp_path / "b.embdc")
    with pytest.raises(UsageError, match="stream 'timestamps' keeps no times") as caught:
        embdc.split(tmp_path / "b.embdc", every="1s")
    assert "--key" in str(caught.value.hint)
    with embdc.open(tmp_path / "a.embdc") as one, embdc.open(tmp_path / "b.embdc") as other:
        assert one.streams == ["data"]
        assert one.at(3.2) == other.at(3.2) == 80


@pytest.mark.parametrize("embed", ["yes", "no"])
def test_codebooks_are_in_every_part_as_they_were_in_the_whole(tmp_path: Path, embed: str) -> None:
    np.save(tmp_path / "c.npy", embeddings(ROWS, 4, 8))
    embdc.train_codebook([tmp_path / "c.npy"], tmp_path / "c.embdcb", holdout=0)
    whole = made(tmp_path / "a.embdc", codebook=tmp_path / "c.embdcb", embed_codebook=embed)
    everything = values(whole)
    parts = [part["output"] for part in embdc.split(whole, every="4s")["outputs"]]
    assert len(parts) == 2
    if embed == "yes":
        (tmp_path / "c.embdcb").unlink()
    assert np.array_equal(np.concatenate([values(Path(part)) for part in parts]), everything)
    assert {embdc.inspect(part)["codebooks"][0]["embedded"] for part in parts} == {embed == "yes"}


@pytest.mark.parametrize("options", [{"lossless": True}, {"codec": "vq", "target_nmse": 0.1}, {"one_pass": True}])
def test_any_codec(tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "WINDOW_BYTES", 40 * 4 * 8 * 2)  # of which one pass makes segments
    whole = made(tmp_path / "a.embdc", **options)
    parts = [part["output"] for part in embdc.split(whole, every="3s")["outputs"]]
    assert np.array_equal(np.concatenate([values(Path(part)) for part in parts]), values(whole))
    (known,) = summary(whole)["streams"]
    sums = [entry["sums"] for part in parts for entry in summary(part)["streams"]]
    for name in sums[0]:
        assert sum(one[name] for one in sums) == pytest.approx(known["sums"][name], rel=0.001)
    for part in parts:
        assert [entry["codec"] for entry in summary(part)["streams"]] == [known["codec"]]
        assert embdc.verify(part, deep=True)["ok"]
        segments = [chunk["segment"] for chunk in embdc.inspect(part, chunks=True)["chunks"]]
        assert sorted(set(segments)) == list(range(max(segments) + 1))  # counted from 0


def test_what_a_part_says_of_itself(tmp_path: Path) -> None:
    whole = made(tmp_path / "a.embdc")
    first, second = [part["output"] for part in embdc.split(whole, every="4s")["outputs"]]
    told = embdc.inspect(second)
    assert told["source"] == embdc.inspect(whole)["source"] | {"rows": [104, ROWS]}
    assert told["target"] == embdc.inspect(whole)["target"]
    assert told["achieved"]["nmse"] is None  # the energy of a part is not in the archive
    (again,) = embdc.split(second, str(tmp_path / "x{n}.embdc"), every="100s")["outputs"]
    assert embdc.inspect(again["output"])["source"]["rows"] == [104, ROWS]
    rows = np.load(tmp_path / "a.npz")["data"]
    np.savez(tmp_path / "second.npz", data=rows[104:], timestamps=times("steady")[104:])
    assert embdc.verify(second, against=tmp_path / "second.npz")["exit"] == 0
    np.savez(tmp_path / "second.npz", data=rows[103:-1], timestamps=times("steady")[103:-1])
    assert embdc.verify(second, against=tmp_path / "second.npz")["exit"] == 4
    del first


def test_names(tmp_path: Path) -> None:
    whole = made(tmp_path / "a.embdc")
    (tmp_path / "to").mkdir()
    names = [Path(part["output"]).name for part in embdc.split(whole, tmp_path / "to/p{n}.e", every="320ms")["outputs"]]
    assert names == [f"p{number:02d}.e" for number in range(25)]
    with pytest.raises(OutputExists, match=r"p00\.e exists"):
        embdc.split(whole, tmp_path / "to/p{n}.e", every="320ms")
    (tmp_path / "to/p00.e").rename(tmp_path / "kept")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "to").iterdir()}
    with pytest.raises(OutputExists):
        embdc.split(whole, tmp_path / "to/p{n}.e", every="320ms")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "to").iterdir()} == before
    assert len(embdc.split(whole, tmp_path / "to/p{n}.e", every=0.32, force=True)["outputs"]) == 25
    tenths = embdc.split(whole, tmp_path / "t{n}", every="800ms")["outputs"]
    assert [Path(part["output"]).name for part in tenths] == [f"t{number}" for number in range(10)]
    with pytest.raises(UsageError, match="is also the input"):
        embdc.split(whole.rename(tmp_path / "a0"), tmp_path / "a{n}", every="800ms", force=True)


def no_times(path: Path) -> None:
    embdc.encode(embeddings(16, 4, 8), path)


def cut_off(path: Path) -> None:
    made(path)
    path.write_bytes(path.read_bytes()[:-10])


def repaired(path: Path) -> None:
    made(path)
    entry = embdc.inspect(path, chunks=True)["chunks"][3]
    data = bytearray(path.read_bytes())
    start = entry["offset"] + entry["bytes"] // 2
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    embdc.repair(path, path.with_name("repaired"))
    path.with_name("repaired").replace(path)


def two_parts(path: Path) -> None:
    made(path)
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize(
    ("make", "options", "kind", "words"),
    [
        (no_times, {"every": "1s"}, UsageError, "keeps no times to cut by"),
        (cut_off, {"every": "1s"}, IncompleteError, "is incomplete"),
        (repaired, {"every": "1s"}, IncompleteError, "has lost rows"),
        (two_parts, {"every": "1s"}, UsageError, "expected one part, found 2"),
        (made, {"every": "0s"}, UsageError, "--every: expected a time above 0"),
        (made, {"every": "soon"}, UsageError, "--every: expected a time"),
        (made, {"every": "1s", "out": "{n}/a.embdc"}, UsageError, "expected {n} in the file name"),
    ],
)
def test_what_cannot_be_split(
    tmp_path: Path, make: Any, options: dict[str, Any], kind: type[EmbdcError], words: str
) -> None:
    make(tmp_path / "a.embdc")
    with pytest.raises(kind, match=words):
        embdc.split(tmp_path / "a.embdc", **options)
    assert not list(tmp_path.glob("a-*"))


def test_an_archive_of_no_rows_is_one_part(tmp_path: Path) -> None:
    with (tmp_path / "a.embdc").open("wb") as out:
        ArchiveWriter(out, header_of(Plan(rows=0, bias=False))).finish({})
    (part,) = embdc.split(tmp_path / "a.embdc", every="1s")["outputs"]
    assert (part["rows"], part["seconds"]) == (0, [0.0, 0.0])
    assert embdc.verify(part["output"], deep=True)["ok"]


def test_a_span_across_the_joint(tmp_path: Path) -> None:
    """Of two inputs: the second goes on where the first ends, and slices by time know nothing of the joint."""
    first, second = made(tmp_path / "a.embdc", lossless=True), tmp_path / "b.embdc"
    np.savez(tmp_path / "b.npz", data=embeddings(40, 4, 8, seed=5), timestamps=90 + np.arange(40) / 10)
    embdc.encode(tmp_path / "b.npz", second, chunk_frames=8, key="data", lossless=True, effort=0)
    embdc.cat([first, second], tmp_path / "c.embdc")
    both = np.concatenate([values(first), values(second)])
    starts = np.concatenate([np.arange(ROWS) / 25, 8 + np.arange(40) / 10])
    with embdc.open(tmp_path / "c.embdc") as archive:
        for seconds in (0, 7.97, 8, 8.05, 8.1, 11.9, 20):
            assert archive.at(seconds) == int(np.flatnonzero(starts <= seconds + 1e-9)[-1])
    embdc.decode(tmp_path / "c.embdc", tmp_path / "out.npy", time="7.9s..8.25s")
    wanted = both[(starts >= 7.9) & (starts < 8.25)]
    assert len(wanted) == 2 + 3
    assert np.array_equal(np.load(tmp_path / "out.npy"), wanted)
