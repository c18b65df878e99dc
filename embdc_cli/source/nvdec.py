"""NVDEC through PyNvVideoCodec: packets in, surfaces out as torch tensors of their own on the device.

What an engine takes is asked of it and never assumed. Whatever is missing (the library, the driver, its `video`
capability, a codec) is `NoNvdec`, with words. One decoder is kept between clips and reconfigured: making one takes
longer than decoding a short clip.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import torch.utils.dlpack

from embdc_cli.printed import NVDEC_COMPLAINT, printed_meanwhile

# Names of the library. MPEG-2 and MPEG-4 leave room for rounding, so that no two decoders agree; packets of VP8 need
# not hold a picture.
_CODECS: Final = {"h264": "H264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1"}
_FORMATS: Final = {
    "yuv420p": ("420", 8), "yuvj420p": ("420", 8), "yuv420p10le": ("420", 10), "yuv420p12le": ("420", 12),
    "yuv444p": ("444", 8), "yuvj444p": ("444", 8), "yuv444p10le": ("444", 10), "yuv444p12le": ("444", 12),
}  # fmt: skip
_LEAST_EDGE: Final = 16  # smaller ones, and odd ones, are not worth their own filters
_ALIGNMENT: Final = 64  # largest block of any of these codecs
_UNHEARD: Final = logging.NullHandler()

_idle: list[Session] = []
_idle_lock = threading.Lock()


class NoNvdec(Exception):
    """NVDEC cannot decode this video here; says why."""


class Complaint(Exception):
    """The engine cannot go on."""


class ReportedDamage(Complaint):
    """The engine has concealed an error in the stream."""


@dataclass(frozen=True)
class Kind:
    """What one decoder can be reconfigured within. chroma, depth: of the samples."""

    gpu: int
    codec: str
    chroma: str
    depth: int


class Session:
    """A decoder of the library. Surfaces are (rows, width) uint8 or uint16, laid out as in `device_picture`."""

    def __init__(self, library: Any, kind: Kind, size: tuple[int, int]) -> None:
        """size: width, height of the first clip, and the largest of any clip."""
        self.kind = kind
        self._library = library
        self._size = self._largest = size
        with _words(library):
            self._decoder = library.CreateDecoder(
                gpuid=kind.gpu,
                codec=getattr(library.cudaVideoCodec, _CODECS[kind.codec]),
                cudacontext=0,
                cudastream=0,  # the stream that torch works on: what it reads is complete, what it has read is free
                usedevicememory=True,
                maxwidth=size[0],
                maxheight=size[1],
            )

    def fits(self, kind: Kind, size: tuple[int, int]) -> bool:
        """Whether a clip can be the next one.

        The library crops by the last clip where coded sizes are equal and the sizes shown are not (1080 and 1088).
        """
        inside = all(new <= most for new, most in zip(size, self._largest, strict=True))
        near = all(abs(new - old) < _ALIGNMENT for new, old in zip(size, self._size, strict=True))
        return kind == self.kind and inside and (size == self._size or not near)

    def begin(self, size: tuple[int, int]) -> None:
        """The next packets are another clip's."""
        self._size = size
        with _words(self._library):
            self._decoder.setReconfigParams(*size)

    def decode(self, address: int, size: int, stamp: int) -> list[tuple[int, torch.Tensor]]:
        """Pictures in presentation order with the stamps of their packets; size 0 drains. Raises: Complaint."""
        packet = self._library.PacketData()
        packet.bsl_data, packet.bsl, packet.pts, packet.decode_flag = address, size, stamp, 0
        with _words(self._library):
            with printed_meanwhile(NVDEC_COMPLAINT) as complaints:
                surfaces = self._decoder.Decode(packet)
            # the next call overwrites the surfaces
            pictures = [(int(one.getPTS()), torch.utils.dlpack.from_dlpack(one).clone()) for one in surfaces]
        if complaints:
            raise ReportedDamage("it reports an error in the stream")
        return pictures


def open_session(gpu: int, codec: str, pixel_format: str | None, size: tuple[int, int]) -> Session:
    """A decoder for a clip of `size` (width, height), perhaps one used before. Raises: NoNvdec."""
    library = _library()
    if codec not in _CODECS:
        raise NoNvdec(f"codec {codec} is not for it")
    if pixel_format not in _FORMATS or min(size) < _LEAST_EDGE or size[0] % 2 or size[1] % 2:
        raise NoNvdec(f"pictures of {size[0]}x{size[1]} in {pixel_format} are not for it")
    kind = Kind(gpu, codec, *_FORMATS[pixel_format])
    _check_capabilities(library, kind, size)
    with _idle_lock:
        session = next(iter(_idle), None)
        _idle.clear()
    try:
        if session is not None and session.fits(kind, size):
            session.begin(size)
            return session
        return Session(library, kind, size)
    except Complaint as error:
        raise NoNvdec(f"no decoder can be made, {error}") from error


def release(session: Session) -> None:
    """Keep a drained decoder for the next clip."""
    with _idle_lock:
        _idle[:] = [session]


def version() -> str:
    """Of the library, which is loaded."""
    return str(getattr(_library(), "__version__", "unknown"))


def _library() -> Any:
    logging.getLogger("PyNvVideoCodec").addHandler(_UNHEARD)  # its essay on a failure would go to stderr
    try:
        import PyNvVideoCodec
    except Exception as error:  # a missing driver is a RuntimeError
        cause = _first_line(error)
        advice = "; a container needs the driver capability video" if isinstance(error, RuntimeError) else ""
        raise NoNvdec(f"PyNvVideoCodec cannot be used, {cause}{advice}") from error
    return PyNvVideoCodec


def _check_capabilities(library: Any, kind: Kind, size: tuple[int, int]) -> None:
    try:
        found = _capabilities(library, kind)
    except Complaint as error:
        raise NoNvdec(f"its capabilities cannot be asked for, {error}") from error
    width, height = size
    samples = f"{kind.codec} {kind.chroma} with {kind.depth} bits"
    if not found.get("supported", 1) or not found.get("num_decoder_engines", 1) or not found.get("width_max", 1):
        raise NoNvdec(f"this GPU has no engine for {samples}")
    inside = found.get("width_min", 0) <= width <= found.get("width_max", width)
    inside &= found.get("height_min", 0) <= height <= found.get("height_max", height)
    if not inside or width * height // 256 > found.get("mb_num_max", width * height):
        raise NoNvdec(f"this GPU has no engine for {samples} of {width}x{height}")


@lru_cache(maxsize=32)
def _capabilities(library: Any, kind: Kind) -> dict[str, int]:
    with _words(library):
        return dict(
            library.GetDecoderCaps(
                gpuid=kind.gpu,
                codec=getattr(library.cudaVideoCodec, _CODECS[kind.codec]),
                chromaformat=getattr(library.cudaVideoChromaFormat, kind.chroma),
                bitdepth=kind.depth,
            )
        )


@contextmanager
def _words(library: Any) -> Iterator[None]:
    """Failures of the library as Complaint; names and arguments that another version of it has not, among them."""
    own = [getattr(library, name, RuntimeError) for name in ("PyNvVCException", "PyNvVCExceptionUnsupported")]
    try:
        yield
    except (*own, RuntimeError, AttributeError, TypeError) as error:
        raise Complaint(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
