"""Reading through the Python API: lazy slices, times, several items, other processes, cut files."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli.archive import Archive
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.options import EncodeOptions
from embdc_cli.pipeline import encode
from embdc_cli.values import ArrayTensor, Dump, StreamSpec, Timeline
from tests.synthetic import embeddings

ROWS = 45


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("archive") / "a.embdc")
    embdc.encode(embeddings(ROWS), out, chunk_frames=8, target_nmse=0.05)
    return out


@pytest.fixture(scope="module")
def whole(path: str) -> torch.Tensor:
    return embdc.open(path)["data"][:]


@settings(deadline=None, max_examples=60)
@given(start=st.integers(-60, 60), stop=st.integers(-60, 60), step=st.integers(1, 9))
def test_a_slice_equals_that_slice_of_the_whole(
    path: str, whole: torch.Tensor, start: int, stop: int, step: int
) -> None:
    with embdc.open(path) as archive:
        assert torch.equal(archive["data"][start:stop:step], whole[start:stop:step])


@pytest.mark.parametrize("row", [0, 7, 8, 44, -1, -45])
def test_single_rows(path: str, whole: torch.Tensor, row: int) -> None:
    with embdc.open(path) as archive:
        assert torch.equal(archive["data"][row], whole[row])


def test_rows_that_are_not_there(path: str) -> None:
    with embdc.open(path) as archive:
        with pytest.raises(IndexError):
            archive["data"][ROWS]
        with pytest.raises(embdc.UsageError, match="is not in the archive"):
            archive["patch"]


@pytest.mark.parametrize(
    "index",
    [ROWS, -ROWS - 1, 1.5, True, None, ..., "3", [1, 2], (0, 1), np.arange(2), np.True_, slice(0.5, 3), slice(0, 9, 0),
     slice(9, 0, -1)],
    ids=repr,
)  # fmt: skip
def test_an_index_that_is_none(path: str, index: Any) -> None:
    with embdc.open(path) as archive, pytest.raises(embdc.WrongIndex, match=r"^stream 'data': ") as failure:
        archive["data"][index]
    assert isinstance(failure.value, IndexError)
    assert failure.value.exit_code == 2


@pytest.mark.parametrize("row", [np.int32(7), np.uint64(7), np.array(7), torch.tensor(7)], ids=repr)
def test_whole_numbers_of_libraries_are_rows(path: str, whole: torch.Tensor, row: Any) -> None:
    with embdc.open(path) as archive:
        assert torch.equal(archive["data"][row], whole[7])


def test_a_stream_can_be_iterated(path: str, whole: torch.Tensor) -> None:
    with embdc.open(path) as archive:
        assert torch.equal(torch.stack(list(archive["data"])), whole)  # type: ignore[arg-type]  # by __getitem__ alone


@pytest.mark.parametrize(
    ("device", "kind"), [("bogus", embdc.UsageError), ("auto:1", embdc.UsageError), ("cuda:77", embdc.ResourceError)]
)
def test_a_device_that_is_none(path: str, device: str, kind: type[embdc.EmbdcError]) -> None:
    with pytest.raises(kind, match=r"^--device"):
        embdc.open(path, device=device)


def test_the_device_is_chosen_here(path: str, whole: torch.Tensor) -> None:
    with embdc.open(path, device="auto") as archive:
        assert archive["data"][3].is_cuda == torch.cuda.is_available()
        assert torch.equal(archive["data"][3].cpu(), whole[3])


def test_a_slice_reads_only_the_chunks_it_needs(path: str) -> None:
    size = Path(path).stat().st_size
    with embdc.open(path) as archive:
        opened = archive.reader.bytes_read
        archive["data"][20:22]
        assert archive.reader.reads <= 3
        chunk = max(entry["bytes"] for entry in embdc.inspect(path, chunks=True)["chunks"])
        models = embdc.inspect(path)["parts"]["models"]
        assert archive.reader.bytes_read - opened <= chunk + models + 200
        before = archive.reader.reads
        archive["data"][20:22]
        assert archive.reader.reads == before, "the last chunks are cached"
    assert size > 2000


def test_writing_into_a_slice_does_not_change_the_next(path: str, whole: torch.Tensor) -> None:
    with embdc.open(path) as archive:
        archive["data"][3:5].zero_()
        assert torch.equal(archive["data"][3:5], whole[3:5])


def test_a_pickled_archive_opens_again(path: str, whole: torch.Tensor) -> None:
    with embdc.open(path) as archive:
        again: Archive = pickle.loads(pickle.dumps(archive))
    assert torch.equal(again["data"][10:12], whole[10:12])


def _first_value(archive: Archive, queue: multiprocessing.Queue[float]) -> None:
    queue.put(float(archive["data"][30].float().sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_other_processes_read_what_this_one_reads(path: str, whole: torch.Tensor, method: str) -> None:
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    with embdc.open(path) as archive:
        archive["data"][0]
        worker = context.Process(target=_first_value, args=(archive, queue))
        worker.start()
        assert queue.get(timeout=60) == float(whole[30].float().sum())
        worker.join()


def test_threads_of_a_forked_child_share_a_reader_of_their_own(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they find the archive: opened by another process, which may be reading."""
    with embdc.open(path) as archive:
        parents = archive.reader
        opened = []
        original = ArchiveReader.open

        def slowly(where: str) -> ArchiveReader:
            time.sleep(0.05)
            opened.append(original(where))
            return opened[-1]

        monkeypatch.setattr(ArchiveReader, "open", slowly)
        archive._pid = -1
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: archive.reader, range(4)))
        assert len(opened) == 1
        assert found == opened * 4
        parents.close()


def test_bfloat16_comes_back_as_bfloat16(tmp_path: Path) -> None:
    x = torch.from_numpy(embeddings(6).astype(np.float32)).bfloat16()
    out = str(tmp_path / "b.embdc")
    embdc.encode(x, out, lossless=True)
    y = embdc.open(out)["data"][:]
    assert y.dtype == torch.bfloat16
    assert torch.equal(x, y)


def timed_dump(starts: list[int]) -> Dump:
    x = embeddings(len(starts), 2, 4)
    clock = np.array(starts, np.int64)
    timeline = Timeline(clock, np.append(clock[1:], clock[-1] + 40), Fraction(1, 1000))
    spec = StreamSpec("patch", "float16", "t,n,c", x.shape[1:], len(x))
    return Dump([ArrayTensor(spec, x)], timeline=timeline, timed_streams=frozenset({"patch"}))


def test_rows_by_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embdc_cli import pipeline

    starts = [500, 540, 580, 700, 701, 900]  # variable frame rate, first frame not at zero
    monkeypatch.setattr(pipeline, "open_input", lambda *_: timed_dump(starts))
    out = str(tmp_path / "t.embdc")
    encode("ignored", out, EncodeOptions(chunk_frames=2))
    archive = embdc.open(out)
    times = [0.0, 0.039, 0.04, 0.1, 0.2, 0.2005, 0.201, 0.39, 0.4, 99.0]
    assert [archive.at(seconds) for seconds in times] == [0, 0, 1, 2, 3, 3, 4, 4, 5, 5]
    with pytest.raises(embdc.UsageError, match="from 0"):
        archive.at(-0.1)
    timeline = archive["patch"].timeline
    assert timeline is not None
    np.testing.assert_array_equal(timeline.starts, starts)
    document = embdc.decode(out, str(tmp_path / "t.npy"), time="0.04s..0.2s")
    assert document["streams"][0]["shape"] == [2, 2, 4]


@pytest.mark.parametrize("one_pass", [False, True])
def test_streams_of_one_clock_may_have_chunks_of_different_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_pass: bool
) -> None:
    from embdc_cli import pipeline

    dump = timed_dump([7 * row + row % 3 for row in range(50)])
    vectors = embeddings(50, 1, 4)[:, 0]
    spec = StreamSpec("cls", "float16", "t,c", (4,), 50)
    dump.tensors = [*dump.tensors, ArrayTensor(spec, vectors)]
    dump.timed_streams = frozenset({"patch", "cls"})
    monkeypatch.setattr("embdc_cli.tokens.CHUNK_VALUES", 8 * 9)  # 9 rows of patch, 18 of cls
    monkeypatch.setattr(pipeline, "open_input", lambda *_: dump)
    out = str(tmp_path / "t.embdc")
    encode("ignored", out, EncodeOptions(one_pass=one_pass, lossless=True))
    archive = embdc.open(out)
    np.testing.assert_array_equal(archive["cls"][:].numpy(), vectors)
    assert archive.at(0.1, "cls") == archive.at(0.1, "patch") == 14
    assert embdc.verify(out)["ok"]


def test_a_stream_without_times_says_so(path: str) -> None:
    with embdc.open(path) as archive, pytest.raises(embdc.UsageError, match="keeps no times"):
        archive.at(1.0)


def test_a_cut_archive_gives_every_whole_chunk(path: str, whole: torch.Tensor, tmp_path: Path) -> None:
    data = Path(path).read_bytes()
    cut = tmp_path / "cut.embdc"
    lengths = []
    for size in range(1500, len(data), 211):
        cut.write_bytes(data[:size])
        with embdc.open(str(cut)) as archive:
            assert not archive.complete
            rows = len(archive["data"])
            assert torch.equal(archive["data"][:], whole[:rows])
            lengths.append(rows)
    assert lengths == sorted(lengths)
    assert lengths[-1] == ROWS


def test_damage_inside_raises_on_access(path: str, tmp_path: Path) -> None:
    data = bytearray(Path(path).read_bytes())
    third = embdc.inspect(path, chunks=True)["chunks"][2]
    data[third["offset"] + 150] ^= 4
    broken = tmp_path / "broken.embdc"
    broken.write_bytes(data)
    with embdc.open(str(broken)) as archive:
        archive["data"][:16]
        with pytest.raises(embdc.CorruptArchive) as failure:
            archive["data"][16:17]
        assert failure.value.exit_code == 5


def test_ragged_rows(tmp_path: Path) -> None:
    rows = [embeddings(1, n, 6, seed=n)[0] for n in (3, 7, 5, 0, 9, 4)]
    out = str(tmp_path / "r.embdc")
    embdc.encode(rows, out, chunk_frames=4, lossless=True)
    view = embdc.open(out)["data"]
    assert view.shape == (6, -1, 6)
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(view[number].numpy(), row)
    embdc.encode(rows, out, chunk_frames=4, target_cosine=0.99, force=True)
    assert embdc.open(out)["data"][4].shape == (9, 6)


@pytest.mark.parametrize("options", [{"lossless": True}, {"target_cosine": 0.99}])
def test_ragged_rows_without_any_token(tmp_path: Path, options: dict[str, Any]) -> None:
    out = str(tmp_path / "r.embdc")
    embdc.encode([np.zeros((0, 6), np.float32)] * 5, out, **options)
    assert embdc.open(out)["data"].shape == (5, -1, 6)
    assert [row.shape for row in (embdc.open(out)["data"][number] for number in range(5))] == [(0, 6)] * 5


def test_tensors_without_rows(tmp_path: Path) -> None:
    out = str(tmp_path / "s.embdc")
    dump = {"weight": embeddings(4, 3, 8), "bias": np.arange(5, dtype=np.float32), "scale": np.float32(2.5)}
    embdc.encode(dump, out, lossless=True)
    archive = embdc.open(out)
    assert archive["bias"].shape == (5,)
    assert archive["scale"].shape == ()
    np.testing.assert_array_equal(archive["bias"][1:3].numpy(), [1, 2])
    assert float(archive["scale"][:]) == 2.5
    for name, index in (("bias", 5), ("bias", "x"), ("scale", 0)):
        with pytest.raises(embdc.WrongIndex, match=f"^stream '{name}': "):
            archive[name][index]


def test_coroutines_share_what_is_decoded(path: str, whole: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = Archive.decode

    def counted(self: Archive, stream: Any, entry: Any, payload: bytes) -> np.ndarray:
        decoded.append(entry.offset)
        return decode(self, stream, entry, payload)

    monkeypatch.setattr(Archive, "decode", counted)

    async def serve() -> list[torch.Tensor]:
        with embdc.open(path) as archive:
            view = archive["data"]
            return await asyncio.gather(*(view.load(slice(start, start + 4)) for start in range(ROWS - 4)))

    found = asyncio.run(serve())
    assert all(torch.equal(one, whole[start : start + 4]) for start, one in enumerate(found))
    assert sorted(decoded) == sorted(set(decoded))
