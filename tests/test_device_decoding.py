"""Slices of archives decoded on a device: torch on the CPU stands for it, and a GPU where there is one."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import embdc_cli as embdc
from embdc_cli import device_decoding
from embdc_cli.archive import Archive
from embdc_cli.codec.device import codec as device_codec
from embdc_cli.codec.device import coders, plane_coders
from embdc_cli.codec.device.beside import Upload
from embdc_cli.codec.device.staging import Staging
from embdc_cli.device_decoding import DeviceDecoder
from embdc_cli.device_slices import Asked, Decoded, Piece, Slice, empty_rows
from embdc_cli.errors import CorruptArchive
from tests.codec.device.device_cases import DEVICES
from tests.synthetic import embeddings

ROWS = 45
on_devices = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("device") / "a.embdc")
    embdc.encode(embeddings(ROWS), out, chunk_frames=8, target_nmse=0.05)
    return out


def on(device: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What to open an archive with for slices to be decoded by torch on `device`."""
    if device != "cpu":
        return device
    # no word of --device, so that torch is used; archives that are opened without one stay as they are
    monkeypatch.setattr("embdc_cli.archive.computing_device", lambda word: "cpu:0" if word == "auto" else word)
    return "auto"


def near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for the last bit of float16."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    return torch.allclose(found.cpu().float(), expected.float(), rtol=2.0**-9, atol=1e-3)


@on_devices
def test_slices_of_an_archive_land_on_the_device(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = embdc.open(path)["data"][:]
    with embdc.open(path, device=on(device, monkeypatch)) as archive:
        view = archive["data"]
        assert archive.device_decoder is not None
        for index in (slice(None), slice(3, 30, 4), slice(5, 5), 7, -1):
            assert view[index].device.type == device
            assert near(view[index], expected[index])


@on_devices
def test_slices_have_the_bits_of_the_whole(path: str, device: str) -> None:
    """Whatever was asked for before, and however many chunks at once."""
    with embdc.open(path) as archive:
        view, decoder = archive["data"], DeviceDecoder(device)
        whole = decoder.rows(archive, view, range(ROWS))

        @settings(deadline=None, max_examples=40)
        @given(start=st.integers(0, ROWS), stop=st.integers(0, ROWS), step=st.integers(1, 9), fresh=st.booleans())
        def check(start: int, stop: int, step: int, fresh: bool) -> None:
            rows = range(start, max(start, stop), step)
            asked = DeviceDecoder(device) if fresh else decoder
            assert torch.equal(asked.rows(archive, view, rows), whole[rows.start : rows.stop : rows.step])

        check()


@on_devices
def test_rows_are_the_callers_own(path: str, device: str) -> None:
    """What is written into them is not found in the next slice."""
    with embdc.open(path) as archive:
        view, decoder = archive["data"], DeviceDecoder(device)
        for rows in (range(2, 5), range(8)):
            first = decoder.rows(archive, view, rows)
            kept = first.clone()
            first.zero_()
            assert torch.equal(decoder.rows(archive, view, rows), kept)


@on_devices
def test_a_chunk_that_gives_a_part_is_decoded_once(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    original = device_codec.OnDevice.take

    def counted(self: device_codec.OnDevice, payload: bytes, rows: int, counts: object) -> object:
        decoded.append(rows)
        return original(self, payload, rows, counts)  # type: ignore[arg-type]

    monkeypatch.setattr(device_codec.OnDevice, "take", counted)
    with embdc.open(path) as archive:
        view, decoder = archive["data"], DeviceDecoder(device)
        for row in range(8, 16):
            decoder.rows(archive, view, range(row, row + 1))
        assert decoded == [8]
        decoder.rows(archive, view, range(ROWS))
        assert len(decoded) == 6


@on_devices
def test_threads_that_ask_at_once_decode_a_chunk_once(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And share one decoder, which is slow to make."""
    decoded, made = [], []
    take, begin = device_codec.OnDevice.take, DeviceDecoder.__init__

    def slow_take(self: device_codec.OnDevice, payload: bytes, rows: int, counts: object) -> object:
        decoded.append(rows)
        time.sleep(0.02)
        return take(self, payload, rows, counts)  # type: ignore[arg-type]

    def slow_begin(self: DeviceDecoder, device: str) -> None:
        made.append(device)
        time.sleep(0.02)
        begin(self, device)

    expected = embdc.open(path)["data"][:]
    monkeypatch.setattr(device_codec.OnDevice, "take", slow_take)
    monkeypatch.setattr(DeviceDecoder, "__init__", slow_begin)

    async def ask(archive: Archive, starts: range) -> list[torch.Tensor]:
        return await asyncio.gather(*(archive["data"].load(slice(start, start + 2)) for start in starts))

    with embdc.open(path, device=on(device, monkeypatch)) as archive:
        starts = range(8, 22, 2)
        for start, found in zip(starts, asyncio.run(ask(archive, starts)), strict=True):
            assert near(found, expected[start : start + 2])
    assert (decoded, len(made)) == ([8, 8], 1)


@on_devices
@pytest.mark.parametrize("ragged", [False, True])
def test_a_chunk_that_several_wait_for_is_decoded_once(
    ragged: bool, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, as ever long slices are; and each has rows of its own."""
    rows: Any = np.split(embeddings(1, 90, 6)[0], ROWS) if ragged else embeddings(ROWS)
    embdc.encode(rows, tmp_path / "a.embdc", chunk_frames=8, target_nmse=0.05)
    expected = embdc.open(tmp_path / "a.embdc")["data"]
    decoded, original = [], device_codec.OnDevice.decode
    callers = [slice(None), slice(8, 24), slice(None), slice(2, 40, 3), slice(16, 17)]
    all_wait = threading.Event()

    def waited(self: device_codec.OnDevice, chunks: Any, outs: Any, staging: Staging) -> Any:
        assert all_wait.wait(20)
        decoded.extend(outs)
        return original(self, chunks, outs, staging)

    monkeypatch.setattr(device_codec.OnDevice, "decode", waited)
    with embdc.open(tmp_path / "a.embdc", device=on(device, monkeypatch)) as archive, ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(archive["data"].__getitem__, part) for part in callers]
        decoder = archive.device_decoder
        assert decoder is not None
        while len(decoder._asked._slices) < len(callers):
            time.sleep(0.001)
        all_wait.set()
        for part, one in zip(callers, asked, strict=True):
            found = one.result(timeout=20)
            assert near(found, expected[part])
            found.zero_()
    assert len(decoded) == 6
    assert not decoder._asked._slices


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_rows_of_those_that_wait_stay_within_the_budget(path: str, budget: int) -> None:
    with embdc.open(path) as archive:
        view = archive["data"]
        entry = view.stream.entries[0]
        asked = Asked(budget)
        pieces = [Piece(entry, range(entry.row0, entry.stop), 0)]
        first, other = (Slice(view.spec, pieces, torch.device("cpu")) for _ in range(2))
        with asked.listed(first), asked.listed(other):
            rows = empty_rows(view.spec, entry.stop, torch.device("cpu"))
            asked.give(first, pieces[0].key, Decoded(entry, rows, torch.zeros(())))
            assert not first.missing
            assert bool(other.missing) == (budget == 0)
            assert asked.nbytes == rows.nbytes * (1 if budget == 0 else 2)


@on_devices
def test_damage_is_told_to_every_thread(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one finds on the device it asks the CPU about, and the next can go on."""
    original = device_codec.write_rows
    monkeypatch.setattr(device_codec, "write_rows", lambda *given: original(*given) * float("nan"))
    with embdc.open(path, device=on(device, monkeypatch)) as archive, ThreadPoolExecutor(3) as pool:
        for asked in [pool.submit(archive["data"].__getitem__, row) for row in (8, 9, 20)]:
            with pytest.raises(CorruptArchive, match="finds them corrupt"):
                asked.result(timeout=20)


@pytest.mark.parametrize("ragged", [False, True])
def test_all_work_on_a_device_is_on_one_stream(ragged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in threads too; joining precedes the check, which waits for that stream; then the caller's waits."""
    rows: Any = np.split(embeddings(1, 40, 6)[0], 10) if ragged else embeddings(30)
    embdc.encode(rows, tmp_path / "a.embdc", chunk_frames=4, target_nmse=0.05)
    current, events = threading.local(), []

    @contextmanager
    def stream(wanted: object) -> Iterator[None]:
        before, current.name = getattr(current, "name", "caller"), wanted
        yield
        current.name = before

    def noted(name: str) -> None:
        holder: Any
        holder, attribute = {
            "upload": (Upload, "__call__"),
            "decode": (device_codec.OnDevice, "decode"),
            "copy": (Staging, "copied"),
            "join": (Slice, "joined"),
            "check": (DeviceDecoder, "_check"),
        }[name]
        original = getattr(holder, attribute)

        def told(*given: Any) -> Any:
            events.append((name, getattr(current, "name", "caller")))
            return original(*given)

        monkeypatch.setattr(holder, attribute, told)

    caller = SimpleNamespace(wait_stream=lambda other: events.append(("wait", other)))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: caller)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, other: events.append(("record", other)))
    for name in ("upload", "decode", "copy", "join", "check"):
        noted(name)
    with embdc.open(tmp_path / "a.embdc") as archive:
        decoder = DeviceDecoder("cpu")
        decoder._stream = "own"  # type: ignore[assignment]
        decoder.rows(archive, archive["data"], range(1, 9))
    assert {name for name, _ in events} == {"upload", "decode", "copy", "join", "check", "wait", "record"}
    assert {stream for name, stream in events if name != "record"} == {"own"}
    assert events[-4:] == [("join", "own"), ("check", "own"), ("wait", "own"), ("record", caller)]


def test_tables_that_others_may_drop_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[object] = []

    def tensor() -> Any:
        return SimpleNamespace(is_cuda=True, device="cuda:1", record_stream=recorded.append)

    coder = SimpleNamespace(slots=tensor(), packed=tensor(), cost=tensor())
    tables: Any = SimpleNamespace(coder=coder, rows=tensor(), shifts=tensor(), orders=tensor(), direct=tensor())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"current of {device}")
    assert plane_coders.used_here(tables) is tables
    assert recorded == ["current of cuda:1"] * 7


@on_devices
def test_a_closed_archive_holds_nothing_there(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = embdc.open(path, device=on(device, monkeypatch))
    archive["data"][3:5]
    decoder = weakref.ref(archive.device_decoder)  # type: ignore[arg-type]
    archive.close()
    gc.collect()
    assert decoder() is None
    assert archive.resident_bytes == 0
    archive.close()


@on_devices
@pytest.mark.parametrize("codec", ["vq", "lossless", "h264"])
def test_other_codecs(codec: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = embeddings(20, 16, 16)
    embdc.encode(x, tmp_path / "a.embdc", codec=codec, chunk_frames=8)
    expected = embdc.open(tmp_path / "a.embdc")["data"][:]
    with embdc.open(tmp_path / "a.embdc", device=on(device, monkeypatch)) as archive:
        found = archive["data"][:]
    assert found.device.type == device
    assert torch.equal(found.cpu(), expected) if codec == "lossless" else near(found, expected)


@on_devices
def test_first_levels_alone(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embdc.encode(embeddings(40, 30, 16), tmp_path / "a.embdc", codec="vq", target_cosine=0.99)
    expected = embdc.open(tmp_path / "a.embdc", levels=1)["data"][:]
    with embdc.open(tmp_path / "a.embdc", levels=1, device=on(device, monkeypatch)) as archive:
        found = archive["data"][:]
    assert near(found, expected)
    assert not near(found, embdc.open(tmp_path / "a.embdc")["data"][:])


@on_devices
def test_ragged_streams(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([3, 0, 5, 2, 4, 1, 0, 6, 2, 3])
    flat = embeddings(1, int(counts.sum()), 6)[0].astype(np.float32)
    rows = np.split(flat, np.cumsum(counts)[:-1])
    embdc.encode(rows, tmp_path / "a.embdc", chunk_frames=4, target_nmse=0.01)
    expected = embdc.open(tmp_path / "a.embdc")["data"]
    with embdc.open(tmp_path / "a.embdc", device=on(device, monkeypatch)) as archive:
        view = archive["data"]
        for part in (slice(None), slice(1, 9, 3), slice(6, 7), slice(4, 4)):
            assert near(view[part], expected[part])
        assert near(view[2], expected[2])


@on_devices
def test_tensors_without_rows(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    tensors = {"weight": rng.standard_normal((40, 24)).astype(np.float32), "bias": np.arange(7, dtype=np.float32)}
    embdc.encode(tensors, tmp_path / "a.embdc", target_nmse=0.01)
    expected = embdc.open(tmp_path / "a.embdc")
    with embdc.open(tmp_path / "a.embdc", device=on(device, monkeypatch)) as archive:
        for name in tensors:
            assert near(archive[name][:], expected[name][:])
            assert near(archive[name][3], expected[name][3])


@on_devices
def test_damage_is_told_as_by_the_cpu(path: str, device: str, tmp_path: Path) -> None:
    with embdc.open(path) as archive:
        entry = archive["data"].stream.entries[2]
    data = bytearray(Path(path).read_bytes())
    data[entry.offset + entry.length // 2] ^= 4
    damaged = tmp_path / "damaged.embdc"
    damaged.write_bytes(data)
    with embdc.open(damaged) as archive:
        view, decoder = archive["data"], DeviceDecoder(device)
        with pytest.raises(CorruptArchive) as told:
            view.numpy(range(ROWS))
        with pytest.raises(CorruptArchive) as found:
            decoder.rows(archive, view, range(ROWS))
        assert str(found.value) == str(told.value)
        assert decoder.rows(archive, view, range(16)).shape[0] == 16


@on_devices
def test_integers_are_checked(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the CPU decodes wherever rows are wanted: of vectors."""
    embdc.encode(embeddings(8, 5, 4), tmp_path / "a.embdc", codec="vq")
    monkeypatch.setattr(coders, "zlib", SimpleNamespace(crc32=lambda data, crc: crc + 1))
    archive = embdc.open(tmp_path / "a.embdc")
    with archive, pytest.raises(CorruptArchive, match="decoded integers have checksum 00000001"):
        DeviceDecoder(device).rows(archive, archive["data"], range(8))


@on_devices
def test_numbers_too_large_are_corrupt(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the device alone finds is asked of the CPU, which says what it is; chunks of it are not kept."""
    original = device_codec.write_rows

    def no_number(*given: object) -> torch.Tensor:
        return original(*given) * float("nan")  # type: ignore[arg-type]

    with embdc.open(path) as archive:
        view, decoder = archive["data"], DeviceDecoder(device)
        monkeypatch.setattr(device_codec, "write_rows", no_number)
        with pytest.raises(CorruptArchive, match=r"rows 8 to 16: .* finds them corrupt"):
            decoder.rows(archive, view, range(8, 9))
        monkeypatch.setattr(device_codec, "write_rows", original)
        assert decoder.rows(archive, view, range(8, 9)).isfinite().all()


def test_nothing_is_resident_without_a_device(path: str) -> None:
    for device in ("cpu", "auto"):
        with pytest.raises(embdc.UsageError, match="resident: expected a CUDA device by name"):
            embdc.open(path, resident=device)
    with embdc.open(path) as archive:
        assert archive.resident_bytes == 0
        with pytest.raises(embdc.ResourceError, match="entropy coders do not run on cpu: cpu is not a CUDA device"):
            DeviceDecoder("cpu").make_resident(archive)


@on_devices
def test_a_chunk_that_is_kept_is_checked_whenever_it_is_used(
    path: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slice that decoded it may have been stopped before its check."""
    original = device_codec.write_rows
    with embdc.open(path) as archive:
        view, decoder = archive["data"], DeviceDecoder(device)
        with monkeypatch.context() as patch:
            patch.setattr(device_codec, "write_rows", lambda *given: original(*given) * float("nan"))
            patch.setattr(DeviceDecoder, "_check", lambda *_: None)
            decoder.rows(archive, view, range(8, 9))
        with pytest.raises(CorruptArchive, match="finds them corrupt"):
            decoder.rows(archive, view, range(9, 10))
        assert decoder.rows(archive, view, range(9, 10)).isfinite().all()


class _Event:
    """Of a device that is done when it is waited for."""

    waited: list[_Event] = []  # noqa: RUF012

    def synchronize(self) -> None:
        _Event.waited.append(self)


@pytest.mark.parametrize(("budget", "waits"), [(1 << 30, []), (900, [0, 1, 2]), (10, [0, 1, 2, 3])])
def test_work_stays_within_the_budget(budget: int, waits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches wait for those before them, oldest first, and only where there is no room."""
    events: list[_Event] = []

    def record(*_: object) -> _Event:
        events.append(_Event())
        return events[-1]

    class Stream:
        record_event = record

    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream())
    _Event.waited = []
    in_work = device_decoding._InWork(torch.device("cuda", 0), budget)
    for _ in range(5):
        in_work.make_room(400)
        in_work.add(400)
    assert _Event.waited == [events[number] for number in waits]


def work(codec: object, size: int) -> Any:
    """What `_batches` looks at."""
    return SimpleNamespace(codec=codec, device_bytes=size)


def test_chunks_are_decoded_together_within_the_budget() -> None:
    """Those of one codec that wants it so; one that is too large is alone."""
    many, other, single = (SimpleNamespace(together=one) for one in (True, True, False))
    asked = [(many, 4), (many, 6), (many, 1), (many, 99), (many, 2), (other, 3), (other, 7), (single, 1), (single, 1)]
    found = device_decoding._batches((work(*one) for one in asked), 10)
    sizes = [[one.device_bytes for one in batch] for batch in found]
    assert sizes == [[4, 6], [1], [99], [2], [3, 7], [1], [1]]


@pytest.mark.gpu
def test_memory_does_not_grow_with_the_slice(tmp_path: Path) -> None:
    used = []
    for rows in (256, 2048):
        embdc.encode(embeddings(rows, 64, 64), tmp_path / f"{rows}.embdc", target_nmse=0.05)
        with embdc.open(tmp_path / f"{rows}.embdc", device="cuda") as archive:
            decoder = archive.device_decoder
            assert decoder is not None
            assert decoder.budget_bytes >= device_decoding.LEAST_BUDGET_BYTES
            decoder.budget_bytes = 4 << 20  # both slices are longer
            archive["data"][:64]
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            out = archive["data"][:]
            used.append(torch.cuda.max_memory_allocated() - before - out.nbytes)
    assert used[1] < 1.5 * used[0]


@on_devices
def test_an_archive_that_is_dropped_is_closed(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.disable()
    try:
        archive = embdc.open(path, device=on(device, monkeypatch))
        archive["data"][:]
        gone = weakref.ref(archive)
        del archive
        assert gone() is None
    finally:
        gc.enable()


@on_devices
def test_another_process_decodes_there_too(path: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with embdc.open(path, device=on(device, monkeypatch)) as archive:
        expected = archive["data"][:]
        with pickle.loads(pickle.dumps(archive)) as copy:
            assert isinstance(copy, Archive)
            assert copy.device_decoder is not archive.device_decoder
            assert torch.equal(copy["data"][:], expected)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_the_cpu_decodes_unless_a_device_is_named(path: str, device: str) -> None:
    with embdc.open(path, device=device) as archive:
        assert archive.device_decoder is None
