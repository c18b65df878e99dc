"""Video and dumps that go on and on through a pipe: memory stays what it is early on, and rows come out meanwhile."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

import embdc_cli as embdc
from tests.embedder.test_exported import Patches, export
from tests.source.video_files import picture
from tests.synthetic import embeddings

HOUR = 3600
CLIP_SECONDS = 600
GROWTH_MIB = 12
"""What memory may grow by from the third hour to the last: 1 MiB or so is the table of chunks; 8.0 were seen."""
SMALL_WINDOWS = """
import sys
from embdc_cli.encoding import causal
causal.WINDOW_BYTES = {bytes}
from embdc_cli.cli.app import main
sys.exit(main(sys.argv[1:]))
"""
"""The program, with windows so small that a test fills many: what one window takes is no matter here."""


class Encoder:
    """`embdc encode - --one-pass -o -` in a process of its own: fed by hand, its output read by a thread."""

    def __init__(self, window_bytes: int, *options: str) -> None:
        code = SMALL_WINDOWS.format(bytes=window_bytes)
        command = [sys.executable, "-c", code, "encode", "-", "--one-pass", "-o", "-", "-q", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.archive = bytearray()
        self.come = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._watched = psutil.Process(self.process.pid)
        self.peak_mib = 0.0

    def _read(self) -> None:
        assert self.process.stdout is not None
        while piece := self.process.stdout.read1(1 << 16):
            self.archive += piece
            self.come.set()

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def look(self) -> None:
        """Take the memory that the process has now into its peak."""
        self.peak_mib = max(self.peak_mib, self._watched.memory_info().rss / (1 << 20))

    def finish(self) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        words = self.process.stderr.read().decode()
        self._reader.join()
        assert self.process.wait() == 0, words
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return bytes(self.archive)


class Pipe(io.RawIOBase):
    """What a muxer writes to."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # PyAV writes bytes alone
        self._encoder.write(data)
        return len(data)


def clip(seconds: int, noise: int) -> io.BytesIO:
    """A picture a second, of 64 x 32, with a keyframe each minute; noise makes packets large."""
    out = io.BytesIO()
    rng = np.random.default_rng(0)
    with av.open(out, "w", format="matroska") as output:
        stream = output.add_stream(
            "libx264", rate=1, options={"threads": "1", "g": "60", "bf": "0", "qp": "1" if noise else "23"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for number in range(seconds):
            pixels = picture(number % 256, 64, 32) ^ rng.integers(0, noise + 1, (32, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            for packet in stream.encode(frame.reformat(format="yuv420p")):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    out.seek(0)
    return out


def stream_video(encoder: Encoder, seconds: int, container: str, noise: int = 0) -> Iterator[int]:
    """The packets of a clip again and again, a second each, into a live container; yields each second written."""
    with av.open(clip(min(seconds, CLIP_SECONDS), noise)) as given:
        video = given.streams.video[0]
        packets = [(bytes(one), one.is_keyframe) for one in given.demux(video) if one.size]  # the last flushes
        with av.open(Pipe(encoder), "w", format=container, options={"flush_packets": "1"}) as output:
            copy = output.add_stream_from_template(video)
            for second in range(seconds):
                data, is_keyframe = packets[second % len(packets)]
                packet = av.Packet(data)
                packet.stream, packet.is_keyframe = copy, is_keyframe
                packet.pts = packet.dts = second
                packet.duration, packet.time_base = 1, Fraction(1)
                output.mux(packet)
                yield second + 1


@pytest.mark.slow
@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_a_day_of_video_takes_no_more_memory_than_three_hours(container: str, tmp_path: Path) -> None:
    """86,400 pictures in 48 windows of half an hour; a network of a few numbers, since its size is no matter here."""
    model = export(tmp_path / "m.pt2", Patches(3), batch=8)
    encoder = Encoder(1800 * 144, "--encoder", str(model), "--fps", "1", "--preset", "fast", "--device", "cpu")
    seen: dict[int, float] = {}
    for second in stream_video(encoder, 24 * HOUR, container):
        if second % 60 == 0:
            encoder.look()
        if second in (HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR):
            seen[second // HOUR] = round(encoder.peak_mib, 1)
    (tmp_path / "a.embdc").write_bytes(encoder.finish())
    print(f"{container}: peak MiB by hours {seen}")
    with embdc.open(tmp_path / "a.embdc") as archive:
        assert archive.complete
        assert len(archive["patch"]) == 24 * HOUR
        assert archive.at(23.5 * HOUR) == 23.5 * HOUR
        timeline = archive["patch"].timeline
        assert timeline is not None
        assert (np.diff(timeline.starts) * timeline.timebase == 1).all()
    assert seen[24] < seen[3] + GROWTH_MIB


def test_a_dump_takes_no_more_memory_late_than_early() -> None:
    """2000 windows of 16 rows: what is kept of each is a line of the table of chunks."""
    rows = embeddings(16, 4, 8)
    encoder = Encoder(rows.nbytes, "--raw", "dtype=f16,shape=?x4x8", "--lossless", "--chunk-frames", "4")
    seen = []
    for number in range(2000):
        encoder.write(rows.tobytes() * 64 if number % 64 == 0 else b"")
        if number % 64 == 63:
            encoder.look()
            seen.append(encoder.peak_mib)
    archive = encoder.finish()
    assert max(seen) < seen[len(seen) // 4] + GROWTH_MIB
    assert len(archive) > 32_000


@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_rows_are_in_the_output_while_the_video_goes_on(container: str, tmp_path: Path) -> None:
    encoder = Encoder(8 * 196 * 384 * 2, "--fps", "1", "--preset", "fast", "--chunk-frames", "8")
    for second in stream_video(encoder, 40, container, noise=127):
        if second == 39:
            assert encoder.come.wait(120)  # the input is still open
    (tmp_path / "a.embdc").write_bytes(encoder.finish())
    assert embdc.verify(tmp_path / "a.embdc", deep=True)["ok"]
    with embdc.open(tmp_path / "a.embdc") as archive:
        assert len(archive["patch"]) == 40
        assert [archive.at(second) for second in (0, 7, 39)] == [0, 7, 39]
    assert [one.rows for one in embdc.follow(tmp_path / "a.embdc")] == [8] * 5
