"""Packets to clean pictures in presentation order; what cannot be decoded is refused or cut out, never shown.

A decoder conceals damage: it paints something plausible and goes on, and the pictures after it inherit the error. So
after damage (a cut-off packet, a decoder error, a picture that the decoder flags) nothing is taken until the next
keyframe; nor are pictures that the decoder had yet to put in order, between which lost ones may belong.
One thread decodes: what a damaged stream gives would otherwise depend on timing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from av.stream import Stream

from embdc_cli.errors import SourceError
from embdc_cli.source.video_decoder import HandBack, PictureDecoder
from embdc_cli.source.video_entry import EntryFinder

if TYPE_CHECKING:
    from embdc_cli.source.device_picture import DevicePicture

_SKIP_BYTES: Final = 256 << 20
"""Packets kept while looking for an entry; a longer group of pictures is decoded from its beginning."""

KEEP_GOING_HINT: Final = "--keep-going encodes the good part"


@dataclass(frozen=True)
class Picture:
    """A clean picture; after_gap: the pictures between it and the one before were lost or left out."""

    frame: av.VideoFrame | DevicePicture
    after_gap: bool


class PictureReader:
    """Reads the pictures of `stream` once.

    shortfall: given the packets read and the seconds reached at the end of the file, words about what is missing.
    skip_to: PTS (ticks) before which pictures are not needed; may be set once the first picture is out.
    damage: words about the last damage, None when there was none.
    leading: frames before the first keyframe, which cannot be decoded (a recording that begins in mid-stream).
    decoder: another one than PyAV's; handed_back: why it is not the decoder any more, None while it is.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        shown: str,
        shortfall: Callable[[int, Fraction], str | None],
        *,
        keep_going: bool,
        decoder: PictureDecoder | None = None,
    ) -> None:
        self.skip_to: int | None = None
        self.damage: str | None = None
        self.handed_back: HandBack | None = None
        self.leading = 0
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        self._other = decoder
        self._shown = shown
        self._shortfall = shortfall
        self._packet_count = 0
        self._reached = Fraction(0)
        self._keep_going = keep_going
        self._finder = EntryFinder(container.format.name, self._context.codec.canonical_name, self._context.extradata)
        self._context.thread_count = 1
        # with keep_going a flagged picture takes those with it that were decoded after it and are shown before it
        self._delay = max(1, self._context.reorder_depth) if keep_going else 0
        self._held: deque[av.VideoFrame | DevicePicture] = deque()
        self._started = False
        self._leading_allowed = False
        self._broken_off = False
        self._waiting = False
        self._floor: int | None = None
        self._gap = False
        self._first_pts: int | None = None
        self._early: list[int] = []  # PTS of packets until the first picture is out

    @property
    def _decoder(self) -> PictureDecoder | av.VideoCodecContext:
        return self._other or self._context

    @property
    def can_skip(self) -> bool:
        """Whether `skip_to` can have an effect."""
        return self._finder.possible()

    @property
    def open_end(self) -> bool:
        """Whether the last pictures were lost."""
        return self._waiting or self._broken_off

    def pictures(self) -> Generator[Picture]:
        """Raises SourceError at damage, unless keep_going."""
        packets = self._packets()
        for packet in packets:
            yield from self._feed(packet)
            if self.skip_to is not None and self._started:
                yield from self._skip(packets, self.skip_to)
                self.skip_to = None
        missing = None if self._broken_off else self._shortfall(self._packet_count, self._reached)
        if missing:
            self._refuse(f"truncated, {missing}", None)
            self._broken_off = True
        if self._broken_off:
            yield from self._hand_over()
            yield from self._release_all()
        else:
            yield from self._feed(None)

    def _packets(self) -> Iterator[av.Packet[Stream]]:
        """Packets of the stream; those of other streams only tell how far the file reaches."""
        try:
            for packet in self._container.demux():
                if packet.size == 0:
                    continue  # an empty frame of AVI, or the end of a stream
                if packet.pts is not None and packet.time_base:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._reached = max(self._reached, Fraction(end))
                if packet.stream_index == self._stream.index:
                    self._packet_count += 1
                    yield packet
        except av.FFmpegError as error:
            self._refuse(f"the file is damaged, {error.strerror or 'no reason given'}", None)
            self._broken_off = True

    def _skip(self, packets: Iterator[av.Packet[Stream]], target: int) -> Iterator[Picture]:
        """Pictures from the last entry before `target` on; all of them when there is no entry."""
        kept: list[av.Packet[Stream]] = []
        size = 0
        entered = False
        for packet in packets:
            if packet.pts is not None and packet.pts < target and self._finder.is_entry(packet):
                kept, size, entered = [], 0, True
            kept.append(packet)
            size += packet.size
            if packet.pts is None or packet.pts >= target or size > _SKIP_BYTES:
                break
        if entered:
            self._decoder.flush_buffers()
            self._held.clear()
            self._floor, self._gap = kept[0].pts, True
        for packet in kept:
            yield from self._feed(packet)

    def _feed(self, packet: av.Packet[Stream] | None) -> Iterator[Picture]:
        """Pictures that come out when `packet` goes in; None drains the decoder."""
        if packet is not None and self._first_pts is None:
            self._first_pts = packet.pts
            self._leading_allowed = not packet.is_keyframe
        if packet is not None and packet.pts is not None and not packet.is_discard and not self._started:
            self._early.append(packet.pts)
        if self._waiting:
            if packet is None or not packet.is_keyframe:
                return
            self._waiting, self._floor = False, packet.pts
        if packet is not None and packet.is_corrupt:
            yield from self._hand_over()
            yield from self._lose("truncated, a packet is cut off", packet.pts)
            return
        try:
            frames = self._decoder.decode(packet)
        except HandBack as back:
            yield from self._take_over(back)
            if packet is None:
                yield from self._feed(None)
            return
        except av.FFmpegError as error:
            if packet is not None and not self._started and (packet.is_discard or self._leading_allowed):
                return
            pts = None if packet is None else packet.pts
            yield from self._lose(f"cannot be decoded, {error.strerror or 'decoder error'}", pts)
            return
        for frame in frames:
            if frame.is_corrupt:
                if not self._started and self._leading_allowed:
                    continue
                self._held.clear()
                yield from self._lose("cannot be decoded, the picture is damaged", frame.pts)
                return
            if self._floor is not None and frame.pts is not None and frame.pts < self._floor:
                continue  # shown before the keyframe where decoding began, and may refer to what was left out
            self._held.append(frame)
            while len(self._held) > self._delay:
                yield self._release()
        if packet is None:
            yield from self._release_all()

    def _release(self) -> Picture:
        picture = Picture(self._held.popleft(), self._gap)
        if not self._started and picture.frame.pts is not None:
            self.leading = sum(pts < picture.frame.pts for pts in self._early)
        self._gap, self._started = False, True
        return picture

    def _release_all(self) -> Iterator[Picture]:
        while self._held:
            yield self._release()

    def _lose(self, what: str, pts: int | None) -> Iterator[Picture]:
        """Give up until the next keyframe."""
        self._refuse(what, pts)
        yield from self._release_all()
        self._decoder.flush_buffers()
        self._waiting = self._gap = True

    def _hand_over(self) -> Iterator[Picture]:
        """Pictures that PyAV would have given by now: another decoder gives them later."""
        if self._other is not None:
            yield from self._take_over(self._other.hand_over())

    def _take_over(self, back: HandBack) -> Iterator[Picture]:
        """PyAV decodes from here on, first what the other decoder owes."""
        self.handed_back = back
        self._other = None
        self._context.flush_buffers()
        if back.floor is not None:
            self._floor = back.floor if self._floor is None else max(back.floor, self._floor)
        for packet in back.packets:
            yield from self._feed(packet)

    def _refuse(self, what: str, pts: int | None) -> None:
        """Remember damage; raise SourceError unless keep_going."""
        where = ""
        if pts is not None and self._first_pts is not None:
            where = f" at {float((pts - self._first_pts) * Fraction(self._stream.time_base or 1)):.3f} s"
        self.damage = f"{what}{where}"
        if not self._keep_going:
            raise SourceError(f"{self._shown}: {self.damage}", hint=KEEP_GOING_HINT)
