"""What decodes the packets of a video: PyAV's own codec context, or NVDEC, which may hand a video back.

A decoder that conceals damage, or cannot follow a stream, must not decide what is shown: it hands back every packet
whose pictures it still owes, and PyAV, from a keyframe before them, gives the pictures or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import av
from av.stream import Stream

if TYPE_CHECKING:
    from embdc_cli.source.device_picture import DevicePicture


class PictureDecoder(Protocol):
    """As much of a codec context as pictures need, and the way back to it."""

    def decode(self, packet: av.Packet[Stream] | None) -> Sequence[av.VideoFrame | DevicePicture]:
        """Pictures in presentation order that come out when `packet` goes in; None drains.

        Raises: av.FFmpegError for a packet that cannot be decoded, HandBack.
        """

    def flush_buffers(self) -> None:
        """Forget everything; the next packet is a keyframe."""

    def hand_over(self) -> HandBack:
        """Give up without a failure: the stream is damaged, and PyAV has pictures out that are still owed here."""


class HandBack(Exception):
    """The decoder gives up.

    packets: from a keyframe on, all whose pictures were not given yet; floor: PTS of the first such picture at the
    earliest, None when none was given. reason: words. damaged: whether the stream is to blame, not the decoder.
    """

    def __init__(
        self, reason: str, packets: Sequence[av.Packet[Stream]], floor: int | None, *, damaged: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.packets = packets
        self.floor = floor
        self.damaged = damaged
