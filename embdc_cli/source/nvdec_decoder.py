"""The packets of one clip through NVDEC, pictures exactly as PyAV orders and times them, or the clip handed back.

PyAV decodes up to the first picture, also after every gap: that one says how the stream is to be read, and the same
picture from NVDEC must equal it. From there on every packet owes one picture, in the order of their PTS; where one is
missing, the engine reports an error, or the stream changes its parameters, PyAV goes on from the keyframe before.
Damage that the engine conceals without reporting it cannot be seen.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext
from av.stream import Stream

from embdc_cli.source.device_picture import TOLERANCE, DevicePicture, rgb_of
from embdc_cli.source.nvdec import Complaint, NoNvdec, ReportedDamage, Session, open_session, release
from embdc_cli.source.video_colour import RgbConverter, centred_chroma, colour_of, display_matrix
from embdc_cli.source.video_decoder import HandBack
from embdc_cli.source.video_parameters import parameters

_KEPT_BYTES: Final = 256 << 20
"""Packets kept for PyAV to start from; a longer group of pictures is handed back."""

_PROGRESSIVE: Final = (0, 1)  # AVFieldOrder: unknown, progressive
_MOST_UNEQUAL: Final = 0.01
"""Of the first picture's values, those that may differ by more than TOLERANCE: colours where swscale overflows."""


@dataclass
class _Group:
    """A keyframe's packets up to the next keyframe."""

    packets: list[av.Packet[Stream]] = field(default_factory=list)
    last_pts: int = -1 << 63


class NvdecDecoder:
    """A PictureDecoder whose pictures are DevicePictures. pictures: how many it has given."""

    def __init__(self, stream: av.VideoStream, device: torch.device, shown: str) -> None:
        """Raises: NoNvdec."""
        self.pictures = 0
        self._stream = stream
        self._software = stream.codec_context
        self._shown = shown
        self._codec = self._software.codec.canonical_name
        if self._software.field_order not in _PROGRESSIVE:
            raise NoNvdec("interlaced pictures are not for it")
        size = (self._software.width, self._software.height)
        gpu = torch.cuda.current_device() if device.index is None else device.index
        self._session: Session | None = open_session(gpu, self._codec, self._software.pix_fmt, size)
        self._shape = (size[1] * 3 if "444" in str(self._software.pix_fmt) else size[1] * 3 // 2, size[0])
        self._parameters: set[bytes] = set()
        self._wanted: np.ndarray | None = None
        self._centred = (True, True)
        self._checked = False
        self._stamps = 0
        self._model: av.VideoFrame | None = None
        self._forget()

    def decode(self, packet: av.Packet[Stream] | None) -> Sequence[av.VideoFrame | DevicePicture]:
        if packet is not None:
            self._keep(packet)
        if self._model is not None:
            return self._given(self._hardware(packet))
        frames = self._software.decode(packet)
        if not frames or any(frame.is_corrupt for frame in frames):
            return frames
        self._model = first = frames[0]
        self._software.flush_buffers()
        if first.interlaced_frame:
            self._hand_back("interlaced pictures are not for it")
        self._learn(first)
        found = [picture for one in self._kept() for picture in self._hardware(one)]
        return self._given(found + (self._hardware(None) if packet is None else []))

    def _learn(self, first: av.VideoFrame) -> None:
        """How samples are to be read, from the first picture, and what it looks like."""
        if self._wanted is not None:
            return
        self._wanted = RgbConverter(self._shown).convert(first)
        try:
            self._centred = centred_chroma(first) if "420" in first.format.name else (True, True)
        except ValueError as error:
            self._hand_back(str(error))

    def flush_buffers(self) -> None:
        self._software.flush_buffers()
        self._drain()
        self._forget()

    def hand_over(self) -> HandBack:
        self.close()
        return self._back("the stream is damaged", damaged=True)

    def close(self) -> None:
        """Leave the decoder to the next clip."""
        if self._drain() and self._session is not None:
            release(self._session)
        self._session = None

    def _forget(self) -> None:
        self._model = None
        self._filter = self._annex_b()
        self._groups: deque[_Group] = deque()
        self._kept_bytes = 0
        self._owed: list[tuple[int, int]] = []  # PTS and stamp of packets whose pictures are to come, by PTS
        self._unseen: set[int] = set()  # stamps of packets whose pictures are not shown
        self._durations: dict[int, int | None] = {}  # by stamp
        self._last_given: int | None = None

    def _annex_b(self) -> BitStreamFilterContext | None:
        """Of the container's length-prefixed units, with parameter sets at keyframes, what the engine parses."""
        if self._codec not in ("h264", "hevc"):
            return None
        return BitStreamFilterContext(f"{self._codec}_mp4toannexb", self._stream)

    def _keep(self, packet: av.Packet[Stream]) -> None:
        """Remember `packet`, and forget groups that nothing owed can need: leading pictures need the one before."""
        if packet.is_keyframe or not self._groups:
            if self._groups and not self._groups[0].packets[0].is_keyframe:
                self._groups.clear()  # a recording that begins in mid-stream
                self._kept_bytes = 0
            self._groups.append(_Group())
        group = self._groups[-1]
        group.packets.append(packet)
        group.last_pts = max(group.last_pts, packet.pts or 0)
        self._kept_bytes += packet.size
        given = self._last_given
        while given is not None and len(self._groups) > 2 and self._groups[1].last_pts <= given:
            self._kept_bytes -= sum(one.size for one in self._groups.popleft().packets)
        if self._kept_bytes > _KEPT_BYTES:
            self._hand_back("a group of pictures is too long to be kept")

    def _kept(self) -> list[av.Packet[Stream]]:
        return [packet for group in self._groups for packet in group.packets]

    def _hardware(self, packet: av.Packet[Stream] | None) -> list[DevicePicture]:
        """Pictures that come out of the engine."""
        if self._session is None:
            self._hand_back("it failed before")
        try:
            if packet is None:
                found = self._session.decode(0, 0, 0)
            else:
                stamp = self._owe(packet)
                found = [one for unit in self._units(packet) for one in self._feed(unit, stamp)]
        except Complaint as error:
            self._hand_back(str(error), damaged=isinstance(error, ReportedDamage))
        pictures = [self._in_turn(stamp, samples) for stamp, samples in found if stamp not in self._unseen]
        if packet is None and self._owed:
            self._hand_back(f"{len(self._owed)} pictures are missing", damaged=True)
        return pictures

    def _owe(self, packet: av.Packet[Stream]) -> int:
        """A stamp for the picture of `packet`."""
        self._stamps += 1
        first = self._model.pts if self._model is not None else None
        if packet.pts is None or first is None:
            self._hand_back("its packets have no times")
        if packet.is_discard or packet.pts < first:
            self._unseen.add(self._stamps)
        else:
            insort(self._owed, (packet.pts, self._stamps))
            self._durations[self._stamps] = packet.duration
        return self._stamps

    def _units(self, packet: av.Packet[Stream]) -> list[av.Packet[Stream]]:
        """`packet` as the engine takes it."""
        if self._filter is None:
            return [packet]
        copy: av.Packet[Stream] = av.Packet(bytes(packet))  # the filter takes away what it is given
        return self._filter.filter(copy)

    def _feed(self, unit: av.Packet[Stream], stamp: int) -> list[tuple[int, torch.Tensor]]:
        assert self._session is not None
        self._parameters |= parameters(self._codec, bytes(unit), keyframe=unit.is_keyframe)
        if len(self._parameters) > 1:
            self._hand_back("the stream changes its parameters")
        return self._session.decode(unit.buffer_ptr, unit.buffer_size, stamp)

    def _in_turn(self, stamp: int, samples: torch.Tensor) -> DevicePicture:
        """The picture of `stamp`, which must be the next one."""
        assert self._model is not None
        if not self._owed or self._owed[0][1] != stamp:
            self._hand_back("pictures are missing or out of order", damaged=True)
        if tuple(samples.shape) != self._shape:
            self._hand_back(f"surfaces of {samples.shape[1]} x {samples.shape[0]} samples were not expected")
        pts, _ = self._owed.pop(0)
        picture = DevicePicture(pts, self._durations.pop(stamp), samples, self._model, self._centred)
        if not self._checked:
            self._check(picture)
        return picture

    def _check(self, picture: DevicePicture) -> None:
        """Whether the engine and the way its samples are read give what PyAV gives."""
        wanted = torch.as_tensor(self._wanted).to(torch.int16)
        found = to_rgb(picture, self._shown).cpu().to(torch.int16)
        unequal = float(((wanted - found).abs() > TOLERANCE).float().mean()) if wanted.shape == found.shape else 1.0
        if unequal > _MOST_UNEQUAL:
            self._hand_back(f"its first picture differs from PyAV's in {unequal:.1%} of the values")
        self._checked = True

    def _given(self, pictures: list[DevicePicture]) -> list[DevicePicture]:
        if pictures:
            self._last_given = pictures[-1].pts
            self.pictures += len(pictures)
        return pictures

    def _hand_back(self, reason: str, *, damaged: bool = False) -> NoReturn:
        self._session = None  # its state is not known
        raise self._back(reason, damaged=damaged)

    def _back(self, reason: str, *, damaged: bool) -> HandBack:
        floor = None if self._last_given is None else self._last_given + 1
        return HandBack(reason, self._kept(), floor, damaged=damaged)

    def _drain(self) -> bool:
        """Whether the engine is empty now."""
        try:
            if self._session is not None:
                self._session.decode(0, 0, 0)
        except Complaint:
            self._session = None
        return self._session is not None


def to_rgb(picture: DevicePicture, shown: str) -> torch.Tensor:
    """(H, W, 3) uint8 RGB on the picture's device, turned as its display matrix says."""
    model = picture.model
    return rgb_of(picture.samples, model.height, colour_of(model, shown), display_matrix(model), picture.centred)
