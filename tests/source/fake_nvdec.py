"""A stand-in for PyNvVideoCodec 2.2.4: the same names, shapes, call order and traps, with PyAV behind them.

Surfaces come late and lie in a pool that the next call overwrites; a picture of another size is scaled to that of the
first one; what cannot be decoded is concealed, and the C library prints that.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

_NAMES = {"H264": "h264", "HEVC": "hevc", "VP9": "vp9", "AV1": "libdav1d"}

_LATENCY = 4


class FakeException(Exception):
    """Both of the library's, which share no base of their own."""


class FakeUnsupported(Exception):
    pass


class PacketData:
    __slots__ = ("bsl", "bsl_data", "decode_flag", "dts", "duration", "key", "pts")


class Surface:
    def __init__(self, array: np.ndarray, stamp: int) -> None:
        self._array, self._stamp = array, stamp
        self.shape = array.shape

    def getPTS(self) -> int:  # noqa: N802 - the library's name
        return self._stamp

    def __dlpack__(self, stream: Any = None) -> Any:
        return self._array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class FakeDecoder:
    def __init__(self, library: FakeLibrary, options: dict[str, Any]) -> None:
        self._library = library
        self._codec = _NAMES[options["codec"]]
        self._largest = (options["maxwidth"], options["maxheight"])
        self._size: tuple[int, int] | None = None
        self._wanted: tuple[int, int] | None = None
        self._kind: str | None = None
        self._pool: list[np.ndarray] = []
        self._late: list[av.VideoFrame] = []
        self.reconfigured: list[tuple[int, int]] = []
        self._open()

    def _open(self) -> None:
        self._context = av.CodecContext.create(self._codec, "r")
        self._context.thread_count = 1

    def setReconfigParams(self, width: int, height: int) -> None:  # noqa: N802
        if width > self._largest[0] or height > self._largest[1]:
            raise RuntimeError("Resize dimensions must be lower than max width and height, please recreate decoder")
        self.reconfigured.append((width, height))
        self._wanted = (width, height)

    def Decode(self, packet: PacketData) -> list[Surface]:  # noqa: N802
        self._library.calls += 1
        if self._library.calls in self._library.fails:
            raise FakeException("CUDA_ERROR_UNKNOWN\nat line 1 in file nowhere")
        for used in self._pool:
            used.fill(77)
        try:
            if packet.bsl == 0:
                frames = self._context.decode(None)
                self._open()
            else:
                data = av.Packet(ctypes.string_at(packet.bsl_data, packet.bsl))
                data.pts = packet.pts
                frames = self._context.decode(data)
        except av.FFmpegError:
            self._complain()
            return []
        frames = [*self._late, *frames]
        self._late = [] if packet.bsl == 0 else frames[-_LATENCY:]
        frames = frames[: len(frames) - len(self._late)]
        if any(frame.is_corrupt for frame in frames):
            self._complain()
        kept = [frame for frame in frames if self._library.gives(frame.pts)]
        self._pool = [self._surface(frame) for frame in kept]
        return [Surface(array, frame.pts) for array, frame in zip(self._pool, kept, strict=True)]

    def _complain(self) -> None:
        if self._library.reports:
            ctypes.CDLL(None).printf(b"Decode Error occurred for picture %d\n", 3)

    def _surface(self, frame: av.VideoFrame) -> np.ndarray:
        if self._kind not in (None, frame.format.name):
            raise FakeException("Reconfigure Not supported for bit depth change")
        self._kind = frame.format.name
        if self._wanted is not None:
            self._size, self._wanted = self._wanted, None
        width, height = self._size = self._size or (frame.width, frame.height)
        if (frame.width, frame.height) != self._size:
            frame = frame.reformat(width, height)
        bits = int(frame.format.components[0].bits)
        kind = np.uint8 if bits == 8 else np.uint16
        planes = [np.frombuffer(one, kind).reshape(one.height, -1)[:, : one.width] for one in frame.planes]
        if self._library.wrong_chroma:
            planes[1:] = planes[:0:-1]
        if planes[1].shape[0] < height:
            planes[1:] = [np.stack(planes[1:], axis=-1).reshape(height // 2, width)]
        return np.concatenate(planes) << (0 if bits == 8 else 16 - bits)


class FakeLibrary(ModuleType):
    """calls: to Decode, of all decoders; fails: those, counted from 1, that fail. gives: whether the picture of a
    stamp comes out. reports: whether concealed errors are printed.
    """

    __version__ = "2.2.4"
    PyNvVCException = FakeException
    PyNvVCExceptionUnsupported = FakeUnsupported
    PacketData = PacketData
    cudaVideoCodec = SimpleNamespace(**{name: name for name in _NAMES})  # noqa: N815
    cudaVideoChromaFormat = SimpleNamespace(**{"420": "420", "444": "444"})  # noqa: N815

    def __init__(self) -> None:
        super().__init__("PyNvVideoCodec")
        self.capabilities: dict[str, int] = {}
        self.decoders: list[FakeDecoder] = []
        self.calls = 0
        self.fails: set[int] = set()
        self.gives: Callable[[int], bool] = lambda stamp: True
        self.reports = True
        self.wrong_chroma = False
        self.refuses = ""

    def GetDecoderCaps(self, gpuid: int, codec: str, chromaformat: str, bitdepth: int) -> dict[str, int]:  # noqa: N802
        assert chromaformat in ("420", "444")
        assert bitdepth in (8, 10, 12)
        usual = {"num_decoder_engines": 1, "width_min": 16, "width_max": 8192, "height_min": 16, "height_max": 8192}
        return usual | {"mb_num_max": 262144} | self.capabilities

    def CreateDecoder(self, **options: Any) -> FakeDecoder:  # noqa: N802
        assert options["usedevicememory"]
        assert options["cudastream"] == 0
        if self.refuses:
            raise FakeUnsupported(self.refuses)
        self.decoders.append(FakeDecoder(self, options))
        return self.decoders[-1]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """The stand-in in place of the library."""
    from embdc_cli.source import nvdec

    made = FakeLibrary()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", made)
    monkeypatch.setattr(nvdec, "_idle", [])
    return made
