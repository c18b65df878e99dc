"""The hardware backend: what it hands to the library and takes from it, here one of our own, on a GPU the real one."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from embdc_cli.codec.video import nvidia, software
from embdc_cli.codec.video.stream import DEPTHS, STANDARDS, Coding
from embdc_cli.errors import CorruptArchive, ResourceError

FRAMES = np.random.default_rng(9).integers(0, 256, (5, 64, 80)).astype(np.uint16)


class Unsupported(Exception):
    """Shares no base with the library's other exception."""


class Engine(ModuleType):
    """Stands in for PyNvVideoCodec: the same calls, with PyAV behind them."""

    PyNvVCException = ValueError
    PyNvVCExceptionUnsupported = Unsupported

    def __init__(self, **capabilities: int) -> None:
        super().__init__("PyNvVideoCodec")
        usual = {"num_encoder_engines": 1, "support_10bit_encode": 1, "width_max": 4096, "height_max": 4096}
        self.capabilities = usual | capabilities
        self.standard = "hevc"
        self.prints = b""
        self.refuses = ""

    def GetEncoderCaps(self, codec: str) -> dict[str, int]:  # noqa: N802 - the library's name
        return self.capabilities

    def CreateEncoder(self, width: int, height: int, surface: str, on_host: bool, **options: str) -> Any:  # noqa: N802
        assert on_host
        assert options["rc"] == "constqp"
        return Encoder(width, height, surface, options)

    def CreateDemuxer(self, read: Any) -> Iterator[bytes]:  # noqa: N802
        return Demuxer(read)

    def CreateDecoder(self, **options: Any) -> Any:  # noqa: N802
        assert not options["usedevicememory"]
        if self.refuses:
            raise Unsupported(self.refuses)
        return Decoder(self)


class Encoder:
    def __init__(self, width: int, height: int, surface: str, options: dict[str, str]) -> None:
        self.shape, self.surface, self.options = (height * 3 // 2, width), surface, options
        self.luma: list[np.ndarray] = []

    def Encode(self, frame: np.ndarray) -> list[dict[str, bytes]]:  # noqa: N802
        assert frame.shape == self.shape
        deep = self.surface == "P010"
        assert frame.dtype == (np.uint16 if deep else np.uint8)
        plain = frame >> 6 if deep else frame
        assert (plain[self.shape[0] * 2 // 3 :] == (512 if deep else 128)).all()
        self.luma.append(plain[: self.shape[0] * 2 // 3].astype(np.uint16))
        return []

    def EndEncode(self) -> list[dict[str, bytes]]:  # noqa: N802
        coding = Coding(self.options["codec"], int(self.options["constqp"]), self.options["gop"] != "1", 1)
        return [{"data": software.encode(np.stack(self.luma), coding)}]


class Demuxer:
    def __init__(self, read: Any) -> None:
        self.read = read

    def GetNvCodecId(self) -> int:  # noqa: N802
        return 8

    def __iter__(self) -> Iterator[bytes]:
        data, buffer = bytearray(), bytearray(1000)
        while count := self.read(buffer):
            data += buffer[:count]
        yield bytes(data)


class Picture:
    def __init__(self, luma: np.ndarray, depth: int) -> None:
        chroma = np.full((luma.shape[0] // 2, luma.shape[1]), 1 << (depth - 1), np.uint16)
        both = np.concatenate([luma, chroma])
        self.array = np.ascontiguousarray(both << 6 if depth == 10 else both.astype(np.uint8))

    def GetPtrToPlane(self, number: int) -> int:  # noqa: N802
        return int(self.array.ctypes.data)

    def framesize(self) -> int:
        return self.array.nbytes


class Decoder:
    def __init__(self, engine: Engine) -> None:
        self.standard, self.prints = engine.standard, engine.prints

    def Decode(self, packet: bytes) -> list[Picture]:  # noqa: N802
        if self.standard == "av1":
            packet = unpacked(packet)
        ctypes.CDLL(None).printf(b"%s", self.prints)
        depth = DEPTHS[self.standard]
        return [Picture(luma, depth) for luma in software.decode(packet, self.standard, depth, FRAMES.shape)]


def unpacked(ivf: bytes) -> bytes:
    """The frames in IVF."""
    assert ivf[:4] == b"DKIF"
    out, at = b"", int.from_bytes(ivf[6:8], "little")
    while at < len(ivf):
        size = int.from_bytes(ivf[at : at + 4], "little")
        out += ivf[at + 12 : at + 12 + size]
        at += 12 + size
    return out


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", made)
    return made


@pytest.mark.parametrize("standard", STANDARDS)
def test_frames_go_out_and_come_back_as_in_software(engine: Engine, standard: str) -> None:
    engine.standard = standard
    coding = Coding(standard, 20, inter=True, effort=1)
    data = nvidia.encode(FRAMES, coding)
    shape = (len(FRAMES), *FRAMES.shape[1:])
    decoded = nvidia.decode(data, standard, coding.depth, shape)
    np.testing.assert_array_equal(decoded, software.decode(data, standard, coding.depth, shape))
    with pytest.raises(CorruptArchive):
        nvidia.decode(data, standard, coding.depth, (4, *FRAMES.shape[1:]))
    with pytest.raises(CorruptArchive):
        nvidia.decode(data, standard, coding.depth, (6, *FRAMES.shape[1:]))


@pytest.mark.parametrize(
    ("capabilities", "words"),
    [
        ({"num_encoder_engines": 0}, "no NVENC for hevc"),
        ({"support_10bit_encode": 0}, "in ten bits"),
        ({"width_max": 64}, "frames of 80x64"),
    ],
)
def test_what_an_engine_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, int], words: str
) -> None:
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", Engine(**capabilities))
    with pytest.raises(ResourceError, match=words):
        nvidia.encode(FRAMES, Coding("hevc", 20, inter=True, effort=1))


def decoded_of(engine: Engine) -> np.ndarray:
    coding = Coding(engine.standard, 20, inter=True, effort=1)
    data = software.encode(FRAMES, coding)
    return nvidia.decode(data, engine.standard, coding.depth, (len(FRAMES), *FRAMES.shape[1:]))


def test_damage_that_is_concealed_is_corrupt(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """It is only printed, on standard output, where the decoded rows may go."""
    engine.prints = b"Decode Error occurred for picture 3\n"
    with pytest.raises(CorruptArchive, match="NVDEC reports an error"):
        decoded_of(engine)
    engine.prints = b"other words\n"
    decoded_of(engine)
    assert capfd.readouterr() == ("other words\n", "")


def test_what_the_engine_refuses_is_told_in_a_line(engine: Engine) -> None:
    engine.refuses = "no such codec\nin file nowhere"
    with pytest.raises(ResourceError, match=r"^--backend nvidia: NVDEC for hevc failed: no such codec$"):
        decoded_of(engine)


@pytest.mark.gpu
@pytest.mark.parametrize("standard", STANDARDS)
def test_hardware_decodes_what_software_wrote(standard: str) -> None:
    coding = Coding(standard, 20, inter=True, effort=1)
    frames = np.random.default_rng(4).integers(0, 1 << coding.depth, (9, 128, 192)).astype(np.uint16)
    data = software.encode(frames, coding)
    wanted = software.decode(data, standard, coding.depth, frames.shape)
    try:
        found = nvidia.decode(data, standard, coding.depth, frames.shape)
    except ResourceError as error:
        if os.environ.get("EMBDC_REQUIRE_GPU") or "PyNvVideoCodec cannot be used" not in error.message:
            raise
        pytest.skip(error.message)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("standard", STANDARDS)
def test_software_decodes_what_hardware_wrote(standard: str) -> None:
    coding = Coding(standard, 20, inter=True, effort=1)
    frames = np.random.default_rng(4).integers(0, 1 << coding.depth, (9, 128, 192)).astype(np.uint16)
    try:
        data = nvidia.encode(frames, coding)
    except ResourceError as error:
        pytest.skip(f"no encoder: {error}")
    decoded = software.decode(data, standard, coding.depth, frames.shape)
    np.testing.assert_array_equal(nvidia.decode(data, standard, coding.depth, frames.shape), decoded)
