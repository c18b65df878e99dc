"""How many frames at once: chosen within free memory, halved where it runs out, the same again with --resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.embedder import network
from embdc_cli.embedder.batches import ANY_SIZE, Batches, Network, fitting_batch, found_batch, memory_of
from embdc_cli.embedder.open import open_embedder
from embdc_cli.encoding.writing import NullOutput
from embdc_cli.errors import ResourceError
from embdc_cli.options import EncodeOptions
from tests.embedder.encoder_folders import FRAME_SIZE, build, some_frames

CPU = torch.device("cpu")
SHAPES = Path(__file__).parents[2] / "samples" / "shapes.mp4"
MB = 1 << 20


@pytest.mark.parametrize(
    ("free", "fewest", "more", "sizes", "size"),
    [
        (1000, 100, 120, ANY_SIZE, 32),  # 80 + 20 B <= 800: 36
        (1000, 20, 40, ANY_SIZE, 32),  # 20 B <= 800: 40
        (1000, 20, 21, ANY_SIZE, 64),  # 781 would fit
        (1000, 400, 800, ANY_SIZE, 2),
        (1000, 700, 1400, ANY_SIZE, 1),
        (1000, 5000, 9000, ANY_SIZE, 1),  # what is too much even so is found out when it runs
        (1000, 50, 50, ANY_SIZE, 64),  # too small to be seen
        (1000, 50, 40, ANY_SIZE, 64),
        (0, 10, 20, ANY_SIZE, 1),
        (1000, 20, 40, range(1, 13), 8),
        (1000, 60, 80, range(3, 100), 32),  # 60 is of three
        (100, 60, 80, range(3, 100), 4),
        (10, 60, 80, range(3, 100), 3),
    ],
)
def test_a_batch_takes_four_fifths_of_the_free_memory(
    free: int, fewest: int, more: int, sizes: range, size: int
) -> None:
    assert fitting_batch(free, fewest, more, sizes) == size


class Scarce:
    """A device with `free` MB on which a frame takes 10 MB and the network 5 MB."""

    def __init__(self, free: int) -> None:
        self.free, self.asked = free, [0]

    def free_bytes(self) -> int:
        return self.free * MB

    def peak_bytes(self, run: Callable[[], object]) -> int:
        run()
        peak = (5 + 10 * self.asked[-1]) * MB
        if peak > self.free * MB:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return peak


@pytest.mark.parametrize(("free", "sizes", "found"), [(420, ANY_SIZE, 32), (20, ANY_SIZE, 1), (9, range(8, 9), 8)])
def test_two_runs_tell_what_a_frame_takes(free: int, sizes: range, found: int) -> None:
    memory = Scarce(free)
    assert found_batch(memory.asked.append, memory, sizes) == found
    assert memory.asked == ([0] if len(sizes) == 1 else [0, 1, 2])


def test_what_a_device_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run takes beyond what is there already; what torch keeps for later is given back before free is asked."""
    asked: list[str] = []
    answers = {"memory_allocated": 100, "max_memory_allocated": 700, "mem_get_info": (5000, 9000)}
    for name in ("empty_cache", "reset_peak_memory_stats", *answers):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: asked.append(name) or answers.get(name))
    memory = memory_of(torch.device("cuda:0"))
    assert memory is not None
    assert memory.peak_bytes(lambda: asked.append("run")) == 600
    assert asked[-3:] == ["reset_peak_memory_stats", "run", "max_memory_allocated"]
    assert memory.free_bytes() == 5000
    assert asked[-2:] == ["empty_cache", "mem_get_info"]


def test_what_goes_wrong_otherwise_while_it_is_measured_is_told() -> None:
    def fail(count: int) -> None:
        raise RuntimeError(f"no kernel for {count}")

    with pytest.raises(RuntimeError, match="no kernel"):
        found_batch(fail, Scarce(100), ANY_SIZE)


Failure = type[BaseException] | BaseException


class Mean:
    """A network that notes how many frames it sees, and fails with more than it has room for."""

    def __init__(self, room: Sequence[int], error: Failure = torch.OutOfMemoryError) -> None:
        self.room, self.error, self.seen = list(room), error, [0][:0]

    def __call__(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        room = self.room.pop(0) if len(self.room) > 1 else self.room[0]
        if len(pixels) > room:
            raise self.error
        self.seen.append(len(pixels))
        return {"mean": pixels.mean((1, 2, 3))}


def frames(count: int) -> list[np.ndarray]:
    return [np.full((3, 2, 2), number, np.float32) for number in range(count)]


NO_MEMORY: list[Failure] = [
    torch.OutOfMemoryError,
    MemoryError,
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: str(error)[:30])
def test_the_batch_is_halved_and_the_same_frames_are_tried_again(error: Any) -> None:
    mean = Mean([8, 8, 3], error)
    batches = Batches(mean, CPU, [(0, 8)])
    out = [batches.run(some, torch.from_numpy)["mean"] for some in (frames(8), frames(21))]
    assert np.concatenate(out).tolist() == [*range(8), *range(21)]
    assert mean.seen == [8, 8, *[2] * 7]  # always full, the last one by repetition
    assert batches.size == 2
    assert batches.schedule == [(0, 8), (16, 2)]


def test_a_schedule_is_repeated() -> None:
    mean = Mean([8])
    batches = Batches(mean, CPU, [(0, 8), (16, 2), (18, 1)])
    assert batches.schedule == [(0, 8)]
    assert batches.run(frames(19), torch.from_numpy)["mean"].tolist() == [*range(19)]
    assert mean.seen == [8, 8, 2, 1]
    assert batches.schedule == [(0, 8), (16, 2), (18, 1)]


def test_a_schedule_that_does_not_fit_any_more_is_left() -> None:
    batches = Batches(Mean([4, 4, 1]), CPU, [(0, 4), (8, 2), (16, 1)])
    batches.run(frames(18), torch.from_numpy)
    assert batches.schedule == [(0, 4), (8, 1)]


@pytest.mark.parametrize(("least", "words"), [(1, "a single frame"), (2, "2 frames, as many as it was exported for,")])
def test_what_cannot_be_halved_is_a_resource_error(least: int, words: str) -> None:
    batches = Batches(Mean([0]), CPU, [(0, 8)], least)
    with pytest.raises(ResourceError, match=f"^encoder: not enough memory on cpu for {words} at once$") as refusal:
        batches.run(frames(3), torch.from_numpy)
    assert refusal.value.exit_code == 9
    assert refusal.value.hint == "use a machine with more memory"


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        Batches(Mean([0], RuntimeError("shapes cannot be multiplied")), CPU, [(0, 8)]).run(frames(1), torch.from_numpy)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("clip", tmp_path_factory.mktemp("clip")).folder


def test_without_a_size_a_tower_takes_what_fits_a_device(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(Scarce):
        def peak_bytes(self, run: Callable[[], object]) -> int:
            self.asked.append(self.asked[-1] + 1)
            return super().peak_bytes(run)

    memory = Counting(230)
    monkeypatch.setattr(network, "memory_of", lambda device: memory)
    opened = {
        asked: open_embedder(EncodeOptions(encoder=str(clip), batch_size=asked)).for_size(*FRAME_SIZE)
        for asked in (None, 3)
    }
    assert {asked: one.batch_size for asked, one in opened.items()} == {None: 16, 3: 3}
    assert memory.asked == [0, 1, 2]
    assert memory_of(CPU) is None


def crowded(monkeypatch: pytest.MonkeyPatch, *room: int) -> None:
    """Let networks run out of memory as `Mean` does."""
    fits = Mean(room)

    class Crowded(Batches):
        def __init__(self, network: Network, *rest: Any) -> None:
            super().__init__(lambda pixels: fits(pixels) and network(pixels), *rest)

    monkeypatch.setattr(network, "Batches", Crowded)


def encoded(clip: Path, out: Path, **options: Any) -> bytes:
    embdc.encode(SHAPES, out, encoder=clip, fps=12, lossless=True, chunk_frames=4, device="cpu", **options)
    return out.read_bytes()


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        pass


def test_a_video_goes_on_with_half_the_frames_and_says_so(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embdc_cli.pipeline import encode

    plain = encoded(clip, tmp_path / "plain.embdc")
    crowded(monkeypatch, 8, 8, 2)
    notes = Notes()
    options = EncodeOptions(encoder=str(clip), fps="12", batch_size=8, lossless=True, device="cpu")
    encode(str(SHAPES), str(tmp_path / "a.embdc"), options, notes)
    assert notes.notes == ["encoder: memory ran out with 8 frames at once, going on with 2"]
    assert embdc.inspect(tmp_path / "plain.embdc")["source"]["batches"] == [[0, 8]]
    assert embdc.inspect(tmp_path / "a.embdc")["source"]["batches"] == [[0, 8], [16, 2]]
    assert len(embdc.open(tmp_path / "a.embdc")["patch"]) == 36
    assert plain != (tmp_path / "a.embdc").read_bytes()
    crowded(monkeypatch, 8, 8, 2)
    encode(str(SHAPES), str(tmp_path / "one.embdc"), EncodeOptions(**{**vars(options), "one_pass": True}))
    assert embdc.inspect(tmp_path / "one.embdc")["source"]["batches"] == [[0, 8], [16, 2]]


@pytest.mark.parametrize("asked", [8, 4])
def test_a_resumed_run_takes_the_batches_of_the_first(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    """Whatever is asked for, and however much memory there is by now."""
    with monkeypatch.context() as patched:
        crowded(patched, 8, 8, 2)
        whole = encoded(clip, tmp_path / "whole.embdc", batch_size=8)
    write = ArchiveWriter._write

    def stopping(self: ArchiveWriter, data: bytes) -> None:
        if not isinstance(self._out, NullOutput) and self.bytes_written > len(whole) // 2:
            raise KeyboardInterrupt
        write(self, data)

    out = tmp_path / "a.embdc"
    with monkeypatch.context() as patched:
        crowded(patched, 8, 8, 2)
        patched.setattr(ArchiveWriter, "_write", stopping)
        with pytest.raises(embdc.Stopped):
            encoded(clip, out, batch_size=8)
    with monkeypatch.context() as patched:
        crowded(patched, 4)  # by now too little for what was done then
        with pytest.raises(embdc.UsageError, match="another input or recipe"):
            encoded(clip, out, batch_size=asked, resume=True)
    assert encoded(clip, out, batch_size=asked, resume=True) == whole


def test_a_device_too_small_for_one_frame_is_exit_9(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded(monkeypatch, 0)
    with pytest.raises(ResourceError, match="not enough memory on cpu for a single frame"):
        encoded(clip, tmp_path / "a.embdc")
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
def test_on_a_device_a_batch_is_found_that_fits(clip: Path) -> None:
    memory = memory_of(torch.device("cuda"))
    assert memory is not None
    embedder = open_embedder(EncodeOptions(encoder=str(clip), device="cuda")).for_size(*FRAME_SIZE)
    size = embedder.batch_size
    assert size == 64  # of a tiny tower
    rows = embedder.embed(some_frames(3))["patch"]
    assert np.array_equal(rows[1:], embedder.embed(some_frames(3)[1:])["patch"])


@pytest.mark.gpu
def test_a_full_device_halves_the_batch(clip: Path) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    wanted, expected = (
        open_embedder(EncodeOptions(encoder=str(clip), encoder_dtype="f32", device="cuda", batch_size=size)).for_size(
            *FRAME_SIZE
        )
        for size in (4096, 8)
    )
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 16 * MB) / total)
        rows = wanted.embed(some_frames(5))["patch"]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert wanted.batch_size < 4096
    assert np.abs(rows - expected.embed(some_frames(5))["patch"]).max() < 0.02
