"""Streams beside a video, each with rows and times of its own, sliced together by the clock of the video."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli import item_streams
from embdc_cli.cli.app import main
from embdc_cli.container import spec
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.errors import CorruptArchive, EmbdcError, SourceError, UsageError
from embdc_cli.source.beside import Addition, with_paths
from tests.synthetic import embeddings

FRAMES, AUDIO, WORDS = 120, 1000, 7
BEGIN = 3.25
"""Where the times of the frames begin, as those of a video may."""
SPOKEN = np.array([[0.5, 0.9], [1.0, 1.2], [1.2, 2.0], [4.0, 4.4], [4.4, 5.0], [9.0, 9.5], [19.8, 20.5]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside")
    np.savez(folder / "video.npz", patch=embeddings(FRAMES, 4, 8), timestamps=BEGIN + np.arange(FRAMES) / 6)
    np.save(folder / "audio.npy", embeddings(AUDIO, 1, 6, seed=2)[:, 0])
    np.save(folder / "text.npy", embeddings(WORDS, 1, 16, seed=3)[:, 0])
    np.save(folder / "words.npy", SPOKEN)
    return folder


def encode(folder: Path, out: Path, *adds: str, **options: Any) -> Path:
    added = [one.replace("=", f"={folder}/", 1) for one in adds]
    added = [one.replace("@words", f"@{folder}/words") for one in added]
    embdc.encode(folder / "video.npz", out, key="patch", add=added, **{"effort": 0, **options})
    return out


BOTH = ("audio=audio.npy@50hz", "text=text.npy@words.npy")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return encode(folder, folder / "whole.embdc", *BOTH, lossless=True)


def expected(folder: Path, start: float, stop: float) -> dict[str, np.ndarray]:
    """By the definitions alone."""
    frames, audio = np.arange(FRAMES) / 6, np.arange(AUDIO) / 50
    times = {"patch": frames, "audio": audio, "text": SPOKEN[:, 0]}
    rows = {
        "patch": np.load(folder / "video.npz")["patch"],
        "audio": np.load(folder / "audio.npy"),
        "text": np.load(folder / "text.npy"),
    }
    return {name: rows[name][(times[name] >= start - 1e-9) & (times[name] < stop - 1e-9)] for name in rows}


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (4, 5), (4.01, 4.02), (1.2, 1.2), (19, 30), (50, 60), (0, 0.02)])
@pytest.mark.parametrize("one_pass", [False, True])
def test_a_span_gives_the_rows_of_every_stream(
    folder: Path, tmp_path: Path, whole: Path, start: float, stop: float, *, one_pass: bool
) -> None:
    path = encode(folder, tmp_path / "a.embdc", *BOTH, lossless=True, one_pass=True) if one_pass else whole
    with embdc.open(path) as archive:
        assert archive.streams == ["patch", "audio", "text"]
        found = archive.between(start, stop)
        wanted = expected(folder, start, stop)
        assert {name: found[name].numpy().tolist() for name in found} == {
            name: wanted[name].tolist() for name in wanted
        }
    if all(len(rows) for rows in wanted.values()):
        embdc.decode(path, tmp_path / "out.npz", time=f"{start}s..{stop}s")
        with np.load(tmp_path / "out.npz") as out:
            assert {name: out[name].tolist() for name in out} == {name: wanted[name].tolist() for name in wanted}


def test_rows_by_time_of_each_stream(whole: Path) -> None:
    with embdc.open(whole) as archive:
        assert [archive.at(seconds) for seconds in (0, 1.0, 19.9)] == [0, 6, 119]
        assert [archive.at(seconds, "audio") for seconds in (0, 1.0, 19.99)] == [0, 50, 999]
        assert [archive.at(seconds, "text") for seconds in (0, 0.5, 1.1, 100)] == [0, 0, 1, 6]
        timeline = archive["text"].timeline
        assert timeline is not None
        absolute = np.stack([timeline.starts, timeline.ends], axis=1) * float(timeline.timebase)
        assert np.allclose(absolute, SPOKEN + BEGIN, atol=1e-6)  # on the clock of the source, as the frames are
        assert timeline.seconds(0) == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b.npy@50hz", Addition("a", "b.npy", Fraction(50))),
        ("a=b@c=d.npy@25FPS", Addition("a", "b@c=d.npy", Fraction(25))),
        ("a=b.npy@30000/1001fps", Addition("a", "b.npy", Fraction(30000, 1001))),
        ("a=b.npy@12.5hz+1m0.5s", Addition("a", "b.npy", Fraction(25, 2), Fraction(121, 2))),
        ("a=b.npy@50hz-20ms", Addition("a", "b.npy", Fraction(50), Fraction(-1, 50))),
        ("a=b.npy@t.npy", Addition("a", "b.npy", times="t.npy")),
        ("a.b-c_1=b.npz", Addition("a.b-c_1", "b.npz")),
        ("a=b@c.npy", Addition("a", "b@c.npy")),
        ("a=@b.npy", Addition("a", "@b.npy")),
        ("a=b@c.npy@50hz", Addition("a", "b@c.npy", Fraction(50))),
        ("a=b.npy@50hz@25fps", Addition("a", "b.npy@50hz", Fraction(25))),
        ("a=b@50hz", Addition("a", "b", Fraction(50))),
        ("a=b@50hz.npy", Addition("a", "b@50hz.npy")),
        ("a=b@50hz-c.npy", Addition("a", "b@50hz-c.npy")),
        ("a=b@c.npy@t.npy", Addition("a", "b@c.npy", times="t.npy")),
        ("a=b.npy@t@u.npy", Addition("a", "b.npy", times="t@u.npy")),
        ("a=b.npy@c.npy@t.npy", Addition("a", "b.npy@c.npy", times="t.npy")),
        ("a=s3://user@host/x.npy", Addition("a", "s3://user@host/x.npy")),
        ("a=s3://user@host/x.npy@50hz", Addition("a", "s3://user@host/x.npy", Fraction(50))),
        ("a=s3://user@host/x.H5@t.npy", Addition("a", "s3://user@host/x.H5", times="t.npy")),
        ("a=x.npy@s3://user@host/t.NPY", Addition("a", "x.npy", times="s3://user@host/t.NPY")),
        ("a=https://u@h/x.npy?v=1@50hz", Addition("a", "https://u@h/x.npy?v=1", Fraction(50))),
        ("a=https://u@h/x.npy?v=1@t.npy", Addition("a", "https://u@h/x.npy?v=1", times="t.npy")),
        ("a=s3://bucket/x@y.h5", Addition("a", "s3://bucket/x@y.h5")),
    ],
)
def test_grammar(text: str, expected: Addition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Addition.parse(text) == expected
    assert Addition.parse(with_paths(text, lambda path: path)) == expected


@pytest.mark.parametrize(
    ("there", "text", "expected"),
    [
        ("b@c", "a=b@c", Addition("a", "b@c")),
        ("b.npy@t.npy", "a=b.npy@t.npy", Addition("a", "b.npy@t.npy")),
        ("b.npy@50", "a=b.npy@50", Addition("a", "b.npy@50")),
        ("b.npy@50", "a=b.npy@50@50hz", Addition("a", "b.npy@50", Fraction(50))),
        ("b", "a=b@t.npy", Addition("a", "b", times="t.npy")),
        ("b@50hz", "a=b@50hz", Addition("a", "b", Fraction(50))),
    ],
)
def test_a_name_with_an_at_in_it_is_known_where_there_is_such_a_file(
    there: str, text: str, expected: Addition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(there).touch()
    assert Addition.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a=", "=b.npy@50hz", "a b=c.npy@50hz", "a/b=c.npy@50hz", "a=@50hz", "a=b.npy@", "a=b.npy@hz"),
        *("a=b.npy@0hz", "a=b.npy@-5hz", "a=b.npy@50", "a=b.npy@50hz+", "a=b.npy@50hz+soon", "a=b.npy@1/0hz"),
        *("a=b.npy@50hz*2", "a=b.npy@c.h5", "a=s3://user@host/x.npy@50", "a=b@50", "a=b@"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error_before_any_work(folder: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="--add: "):
        embdc.encode(folder / "video.npz", tmp_path / "a.embdc", add=[text])
    assert not list(tmp_path.iterdir())


def test_times_with_an_offset_and_a_rate_that_is_no_whole_number_of_microseconds(folder: Path, tmp_path: Path) -> None:
    adds = ("audio=audio.npy@30000/1001fps-0.5s", "text=text.npy@2hz+1.25s")
    with embdc.open(encode(folder, tmp_path / "a.embdc", *adds)) as archive:
        audio, text = archive["audio"].timeline, archive["text"].timeline
        assert audio is not None
        assert text is not None
        assert [text.seconds(row) for row in range(WORDS)] == [1.25 + row / 2 for row in range(WORDS)]
        found = np.array([audio.seconds(row) for row in range(AUDIO)])
        assert np.abs(found - (np.arange(AUDIO) * 1001 / 30000 - 0.5)).max() < 1e-6
        assert archive.between(-1, 0)["audio"].shape[0] == 15
        assert archive.at(0, "text") == 0  # none has started by then: the first


def bad_times(folder: Path, seconds: np.ndarray) -> str:
    np.save(folder / "bad.npy", seconds)
    return f"text={folder}/text.npy@{folder}/bad.npy"


def test_dump_and_times_behind_urls(folder: Path, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name in ("text.npy", "words.npy"):
        store.pipe_file(f"/beside/{name}", (folder / name).read_bytes())
    local = encode(folder, tmp_path / "local.embdc", BOTH[1], lossless=True)
    add = "text=memory://beside/text.npy@memory://beside/words.npy"
    embdc.encode(folder / "video.npz", tmp_path / "far.embdc", key="patch", add=add, effort=0, lossless=True)
    assert (tmp_path / "far.embdc").read_bytes() == local.read_bytes()


def make_two(folder: Path) -> str:
    np.savez(folder / "two.npz", a=embeddings(4, 2, 4), b=embeddings(4, 2, 4))
    return f"x={folder}/two.npz@5hz"


@pytest.mark.parametrize(
    ("add", "kind", "words"),
    [
        (lambda folder: f"audio={folder}/none.npy@50hz", SourceError, "none.npy"),
        (lambda folder: f"text={folder}/text.npy@{folder}/none.npy", SourceError, "none.npy: no such file"),
        (lambda folder: bad_times(folder, SPOKEN[:-1]), SourceError, "7 starts or starts and ends"),
        (lambda folder: bad_times(folder, SPOKEN[::-1].copy()), SourceError, "expected increasing seconds"),
        (lambda folder: bad_times(folder, SPOKEN[:, 0] * np.nan), SourceError, "expected increasing seconds"),
        (lambda folder: f"audio={folder}/audio.npy", UsageError, "has no times of its rows"),
        (make_two, UsageError, "expected one tensor with rows, found 2"),
        (lambda folder: f"patch={folder}/audio.npy@50hz", UsageError, "the input has a stream of that name"),
        (lambda folder: f"audio={folder}/audio.npy@2000000hz", UsageError, "rows a second"),
    ],
)
@pytest.mark.parametrize("one_pass", [False, True])
def test_what_does_not_fit(
    folder: Path, tmp_path: Path, add: Any, kind: type[EmbdcError], words: str, *, one_pass: bool
) -> None:
    with pytest.raises(kind, match=words):
        embdc.encode(folder / "video.npz", tmp_path / "a.embdc", key="patch", add=[add(folder)], one_pass=one_pass)
    assert not list(tmp_path.iterdir())


def test_the_input_must_keep_times_and_names_be_unlike(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the input keeps no times"):
        embdc.encode(folder / "audio.npy", tmp_path / "a.embdc", add=[f"text={folder}/text.npy@2hz"])
    with pytest.raises(UsageError, match="two streams are called 'a'"):
        embdc.encode(folder / "video.npz", tmp_path / "a.embdc", add=["a=b.npy@1hz", "a=c.npy@1hz"])
    with pytest.raises(UsageError, match="--add: not with --residual-out"):
        embdc.encode(folder / "video.npz", tmp_path / "a.embdc", add=["a=b.npy@1hz"], residual_out=tmp_path / "r.npz")


def test_targets_hold_for_each_stream_and_lossless_can_be_asked_for(folder: Path, tmp_path: Path) -> None:
    path = encode(folder, tmp_path / "a.embdc", *BOTH, target_cosine=0.9, keep_lossless=("text",))
    with embdc.open(path) as archive:
        for name, file in (("patch", "video.npz"), ("audio", "audio.npy")):
            x = np.load(folder / file)
            x = (x["patch"] if file.endswith("z") else x).reshape(-1, archive[name].spec.channels).astype(np.float64)
            y = archive[name][:].numpy().reshape(x.shape).astype(np.float64)
            cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
            assert 0.9 <= cosine.mean() < 0.999
        assert np.array_equal(archive["text"][:].numpy(), np.load(folder / "text.npy"))
    assert embdc.verify(path, deep=True)["ok"]


def seconds_of(path: Path) -> dict[str, np.ndarray]:
    with embdc.open(path) as archive:
        found = {}
        for name in archive:
            timeline = archive[name].timeline
            assert timeline is not None
            found[name] = np.array([timeline.seconds(row) for row in range(len(timeline))])
        return found


def test_parts_of_a_split_join_to_the_same_streams(folder: Path, tmp_path: Path) -> None:
    path = encode(folder, tmp_path / "a.embdc", *BOTH, lossless=True, chunk_frames=16)
    parts = [one["output"] for one in embdc.split(path, every="6s")["outputs"]]
    assert len(parts) > 2
    assert all(embdc.verify(part, deep=True)["ok"] for part in parts)
    embdc.cat(parts, tmp_path / "again.embdc")
    before, after = seconds_of(path), seconds_of(tmp_path / "again.embdc")
    assert {name: times.tolist() for name, times in before.items()} == {n: times.tolist() for n, times in after.items()}
    with embdc.open(path) as one, embdc.open(tmp_path / "again.embdc") as other:
        for name in one:
            assert np.array_equal(one[name][:].numpy(), other[name][:].numpy())


def test_parts_begin_at_times_of_the_clock_that_all_go_by(folder: Path, tmp_path: Path) -> None:
    path = encode(folder, tmp_path / "a.embdc", BOTH[1], lossless=True, chunk_frames=1)
    for number, part in enumerate(embdc.split(path, every="4s")["outputs"]):
        with embdc.open(part["output"]) as archive:
            inside = SPOKEN[(SPOKEN[:, 0] >= 4 * number) & (SPOKEN[:, 0] < 4 * number + 4), 0]
            timeline = archive["text"].timeline
            assert timeline is not None
            assert np.allclose(timeline.starts * float(timeline.timebase) - BEGIN, inside, atol=1e-6)
            assert archive["patch"].shape[0] == 24


def test_joined_videos_keep_their_streams_together(folder: Path, tmp_path: Path) -> None:
    first = encode(folder, tmp_path / "a.embdc", *BOTH)
    second = tmp_path / "b.embdc"
    np.savez(tmp_path / "other.npz", patch=embeddings(60, 4, 8, seed=9), timestamps=100 + np.arange(60) / 6)
    adds = [f"audio={folder}/audio.npy@100hz", f"text={folder}/text.npy@{folder}/words.npy"]
    embdc.encode(tmp_path / "other.npz", second, key="patch", add=[adds[0], adds[1]], effort=0)
    with pytest.raises(UsageError, match="recipe"):  # another rate of the sound is another recipe
        embdc.cat([first, second], tmp_path / "c.embdc")
    embdc.encode(tmp_path / "other.npz", second, key="patch", force=True, effort=0,
                 add=[f"audio={folder}/audio.npy@50hz", adds[1]])  # fmt: skip
    embdc.cat([first, second], tmp_path / "c.embdc")
    one, two, both = seconds_of(first), seconds_of(second), seconds_of(tmp_path / "c.embdc")
    begin = both["patch"][FRAMES]
    assert begin >= 20.5  # behind the last word, which is spoken on after the last frame
    for name in both:
        assert np.allclose(both[name][: len(one[name])], one[name])
        assert np.allclose(both[name][len(one[name]) :], begin + two[name], atol=2e-6)
        assert (np.diff(both[name]) > 0).all()
    embdc.cat([first, second], tmp_path / "d.embdc", join="items")
    (tmp_path / "e.embdc").write_bytes(first.read_bytes() + second.read_bytes())
    for path in (tmp_path / "d.embdc", tmp_path / "e.embdc"):
        with embdc.open(path) as archive:
            assert archive.streams == ["0/patch", "0/audio", "0/text", "3/patch", "3/audio", "3/text"]
            assert archive.at(1.0, "3/audio") == 50
        embdc.decode(path, tmp_path / "out.npz", item="3", force=True)
        with np.load(tmp_path / "out.npz") as out:
            assert sorted(out) == ["3/audio", "3/patch", "3/text"]


def test_the_same_inputs_are_skipped_and_another_addition_is_not(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.embdc"
    np.save(tmp_path / "t.npy", embeddings(WORDS, 1, 16, seed=3)[:, 0])
    options: dict[str, Any] = {"key": "patch", "add": [f"t={tmp_path}/t.npy@2hz"], "effort": 0, "skip_existing": True}
    statuses = [embdc.encode(folder / "video.npz", out, **options)["status"] for _ in range(2)]
    np.save(tmp_path / "t.npy", embeddings(WORDS, 1, 16, seed=4)[:, 0])
    statuses.append(embdc.encode(folder / "video.npz", out, force=True, **options)["status"])
    assert statuses == ["done", "skipped", "done"]


def test_follow_counts_from_the_first_frame(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "two.embdc").write_bytes(whole.read_bytes() * 2)
    arrived = list(embdc.follow(tmp_path / "two.embdc", appends=True, idle_timeout=0.1))
    begun = {(one.item, one.stream): one.seconds[0] for one in reversed(arrived) if one.seconds is not None}
    names = ("patch", "audio", "text")
    assert begun == {(item, name): 0.5 if name == "text" else 0.0 for item in (0, 3) for name in names}


def test_a_clock_that_cannot_be_is_refused(whole: Path) -> None:
    with ArchiveReader.open(whole) as reader:
        header = reader.header
    assert [item.clock for item in header.items] == [None, 0, 0]
    main, audio, text = header.items
    for items in (
        (main, replace(audio, clock=1), text),
        (main, replace(audio, clock=2), text),
        (main, audio, replace(text, clock=1)),
        (replace(main, clock=0), audio, text),
        (replace(main, timebase=None), audio, text),
        (main, replace(audio, timebase=None), text),
    ):
        with pytest.raises(CorruptArchive, match="cannot go by the clock"):
            type(header).from_payload(replace(header, items=items).to_payload())


def test_the_default_output_holds_an_item_and_what_lies_beside_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with_sound = encode(folder, tmp_path / "a.embdc", "audio=audio.npy@50hz", record_name=True)
    without = tmp_path / "b.embdc"
    embdc.encode(folder / "audio.npy", without, effort=0, record_name=True)
    Path("both.embdc").write_bytes(with_sound.read_bytes() + without.read_bytes())
    for item in ("0", "video"):
        assert main(["decode", "both.embdc", "--item", item, "-f"]) == 0
        assert Path("both.safetensors").exists()
        Path("both.safetensors").unlink()
    for item in ("2", "audio"):
        assert main(["decode", "both.embdc", "--item", item, "-f"]) == 0
        assert len(np.load("both.npy")) == AUDIO
        Path("both.npy").unlink()


@pytest.fixture(scope="module")
def several(folder: Path, whole: Path) -> Path:
    """Three items, of which the second has two streams beside it, and the others one."""
    one = encode(folder, folder / "one.embdc", BOTH[0], record_name=True)
    path = folder / "several.embdc"
    path.write_bytes(one.read_bytes() + whole.read_bytes() + one.read_bytes())
    return path


ITEMS = {0: ("video", ["patch", "audio"]), 2: ("2", ["patch", "audio", "text"]), 5: ("video", ["patch", "audio"])}
NAMES = ("video/patch", "video/audio", "2/patch", "2/audio", "2/text", "5/patch", "5/audio")


def test_every_command_says_that_a_stream_beside_an_item_is_of_that_item(several: Path, tmp_path: Path) -> None:
    seen = embdc.inspect(several, chunks=True, stats=True, planes=True)
    listed = embdc.ls(several)
    assert [(one["name"], one["streams"]) for one in seen["items"]] == list(ITEMS.values())
    assert {row["item"]: [one["name"] for one in row["streams"]] for row in listed["items"]} == {
        number: streams for number, (_, streams) in ITEMS.items()
    }
    pairs = [(number, name) for number, (_, streams) in ITEMS.items() for name in streams]
    for field, name in (("streams", "name"), ("stats", "name"), ("planes", "name"), ("chunks", "stream")):
        assert list(dict.fromkeys((one["item"], one[name]) for one in seen[field])) == pairs
    assert sorted({(one.item, one.stream) for one in embdc.follow(several, appends=True, idle_timeout=0.1)}) == sorted(
        pairs
    )
    with embdc.open(several) as archive:
        assert archive.streams == list(NAMES)
    for number in ITEMS:
        out = tmp_path / f"{number}.npz"
        embdc.decode(several, out, item=str(number))
        with np.load(out) as found:
            assert sorted(found) == sorted(name for name, pair in zip(NAMES, pairs, strict=True) if pair[0] == number)
    with pytest.raises(UsageError, match="'1' is not in the archive") as refusal:
        embdc.decode(several, tmp_path / "x.npz", item="1")
    assert refusal.value.hint == "items: video, 2"
    hits = embdc.search(several, query=np.ones(6, np.float32), stream="audio", k=3 * AUDIO, pooled=True)["hits"]
    assert {one["item"] for one in hits} == set(ITEMS)


def test_an_item_is_as_large_as_its_streams_and_those_beside_it(whole: Path) -> None:
    (row,) = embdc.ls(whole)["items"]
    assert row["seconds"] == 20.0  # the last word ends later
    with ArchiveReader.open(whole) as reader:
        chunks = reader.parts[0].table.chunks
    sizes = np.diff(np.append(chunks["offset"], whole.stat().st_size))
    codes = [spec.TYPE_CODES[kind] for kind in (spec.DATA, spec.MODELS, spec.TIMES)]
    assert row["item_bytes"] == sizes[np.isin(chunks["code"], codes)].sum()


@pytest.mark.parametrize("stream", ["audio", "text"])
def test_damage_beside_an_item_is_told_of_that_item_and_by_its_clock(
    several: Path, tmp_path: Path, stream: str
) -> None:
    chunks = embdc.inspect(several, chunks=True)["chunks"]
    place = [one for one in chunks if (one["item"], one["stream"]) == (2, stream)][-1]
    data = bytearray(several.read_bytes())
    data[place["offset"] + 30 : place["offset"] + 60] = bytes(30)
    damaged, repaired = tmp_path / "a.embdc", tmp_path / "b.embdc"
    damaged.write_bytes(data)
    (known,) = embdc.decode(damaged, tmp_path / "a.npz", item="2", on_damage="skip")["lost"]
    expected = {"item": 2, "stream": stream, "rows": place["rows"], "seconds": pytest.approx(known["seconds"])}
    assert (known["stream"], known["rows"]) == (f"2/{stream}", place["rows"])
    assert [lost for one in embdc.verify(damaged)["problems"] for lost in one["lost"]] == [expected]
    assert embdc.repair(damaged, repaired)["lost"] == [expected]
    assert [lost for one in embdc.inspect(repaired)["damage"] for lost in one["lost"]] == [expected]


def test_times_that_are_lost_beside_an_item_are_told_of_its_stream(several: Path, tmp_path: Path) -> None:
    with ArchiveReader.open(several) as reader:
        part, text = reader.parts[1], reader.items[4]
        (place,) = part.table.times["chunk"][part.table.times["item"] == text.local]
        start = part.offset + int(part.table.chunks["offset"][place])
    data = bytearray(several.read_bytes())
    data[start + 30 : start + 40] = bytes(10)
    (tmp_path / "a.embdc").write_bytes(data)
    lost = embdc.repair(tmp_path / "a.embdc", tmp_path / "b.embdc")["lost_times"]
    assert lost == [{"item": 2, "streams": ["text"], "rows": [0, WORDS]}]


def test_cat_counts_the_items_that_other_commands_tell(whole: Path, tmp_path: Path) -> None:
    for join, items in (("items", 2), ("time", 1)):
        document = embdc.cat([whole, whole], tmp_path / f"{join}.embdc", join=join)
        assert document["items"] == len(embdc.inspect(document["output"])["items"]) == items


def test_items_whose_names_are_numbers_of_others_keep_all_their_streams(tmp_path: Path) -> None:
    for name in ("1", "x"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.npy", embeddings(5, 2, 4))
        embdc.encode(tmp_path / name / "1.npy", tmp_path / f"{name}.embdc", effort=0, record_name=True)
    (tmp_path / "both.embdc").write_bytes((tmp_path / "1.embdc").read_bytes() + (tmp_path / "x.embdc").read_bytes())
    with embdc.open(tmp_path / "both.embdc") as archive:
        assert archive.streams == ["1/data", "1-2/data"]
        assert [archive[name].item.number for name in archive] == [0, 1]


def test_names_that_are_made_to_collide_are_told_apart_in_a_try_or_two_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty items that have the numbers of twenty others for names, and these, which are all called x."""
    np.save(tmp_path / "x.npy", embeddings(2, 1, 4))
    embdc.encode(tmp_path / "x.npy", tmp_path / "x.embdc", effort=0, record_name=True)
    with ArchiveReader.open(tmp_path / "x.embdc") as reader:
        (item,) = reader.items
    names = [*(str(number) for number in range(20, 40)), *["x"] * 20]
    items = []
    for number, name in enumerate(names):
        streams = tuple(replace(stream, item=number) for stream in item.streams)
        items.append(
            replace(item, number=number, local=number, header=replace(item.header, name=name), streams=streams)
        )
    tries: list[int] = []

    def counted(start: int) -> Iterator[int]:
        for number in itertools.count(start):
            tries.append(number)
            yield number

    monkeypatch.setattr(item_streams, "count", counted)
    found = item_streams.stream_names(items)
    assert list(found) == [f"{name}/data" for name in [*names[:21], *(f"x-{number}" for number in range(2, 21))]]
    assert len(tries) == 19
