"""Videos: every chosen frame as upright RGB with its exact PTS, and nothing missing without a word.

open_video() gives a VideoSource, to be iterated once. A frame lasts from its PTS to the next frame's; the last one,
and one before a gap, as long as it says itself. Sound and other tracks are ignored. The first video track that is
not a cover picture is taken. A damaged or truncated file is a SourceError; with keep_going the good part is given
and `incomplete` says what is missing. PyAV demuxes, and decodes unless pixels are wanted on a GPU and NVDEC can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import av
import numpy as np

from embdc_cli.errors import ResourceError, SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.frame_selection import FramePicker, FrameSelection
from embdc_cli.source.pipe import Pipe
from embdc_cli.source.video_clock import FrameClock
from embdc_cli.source.video_colour import RgbConverter, colour_of, display_matrix, upright
from embdc_cli.source.video_input import VideoInput, open_video_input
from embdc_cli.source.video_losses import Losses
from embdc_cli.source.video_pictures import Picture, PictureReader

if TYPE_CHECKING:
    import torch

    from embdc_cli.source.device_picture import DevicePicture
    from embdc_cli.source.nvdec_decoder import NvdecDecoder

# nested files and URLs (playlists) are never opened
_OPEN_OPTIONS: Final = {"protocol_whitelist": "none"}
_PROMISES_DURATION: Final = ("matroska", "flv", "asf", "mov")
_DURATION_SLACK_SECONDS: Final = Fraction(1, 2)
"""How far a file may end before its declared duration: muxers round, and count the last sound packet differently."""

_HDR_TRANSFERS: Final = (16, 18)  # PQ and HLG, H.273


@dataclass(frozen=True)
class VideoFrame:
    """pixels: (H, W, 3) uint8 RGB, a tensor where NVDEC decodes; start, end: int64 ticks of the source's timebase."""

    pixels: np.ndarray | torch.Tensor
    start: int
    end: int


@dataclass(frozen=True)
class _Timed:
    picture: Picture
    start: int
    end: int


class VideoSource:
    """The chosen frames of one video, in presentation order, once.

    height, width: of the upright first frame. source: what the archive records; `frames_decoded`, `interlaced`, `vfr`,
    `times_repaired`, `nvdec_frames`, `size_bytes` and `ends_digest` are added when the iteration ends.
    notes: words for stderr, one more perhaps at the end. incomplete: set at the end when the video is damaged or cut
    off.
    """

    def __init__(
        self,
        data: VideoInput,
        container: av.container.InputContainer,
        options: EncodeOptions,
        device: torch.device | None,
    ) -> None:
        self._data = data
        self._container = container
        self._options = options
        self._selection = FrameSelection.parse(options.fps, options.time)
        self._stream = _video_stream(container, data)
        self._expected = _expected_packets(container, self._stream)
        self._declared_end = _declared_end(container, self._stream)
        self.notes = list(data.notes)
        self._nvdec = None if device is None else self._nvdec_on(device)
        self._reader = PictureReader(
            container,
            self._stream,
            data.shown,
            self._shortfall,
            keep_going=options.keep_going,
            decoder=self._nvdec,
        )
        self._pictures = self._reader.pictures()
        try:
            self._open()
        except BaseException:
            self._release()
            raise

    def _open(self) -> None:
        """Decode the first picture, which tells what all are like."""
        first = next(self._pictures, None)
        if first is None:
            raise SourceError(f"{self._data.shown}: no frame can be decoded{_because(self._reader.damage)}")
        self._first = first
        picture = _told_by(first.frame)
        self.notes += self._notes(picture)
        back = self._reader.handed_back
        if self._nvdec is not None and back is not None and not (self._nvdec.pictures or back.damaged):
            self._nvdec = None
            self._without_nvdec(back.reason)
        self.incomplete: str | None = None
        self.timebase = Fraction(self._stream.time_base or 1)
        shape = np.empty((picture.height, picture.width, 0))
        self.height, self.width = upright(shape, display_matrix(picture)).shape[:2]
        self.source = self._provenance(picture)

    @property
    def estimated_rows(self) -> int | None:
        """Rows to come as far as the container's header tells; for progress only."""
        if self._expected is None or self._selection != FrameSelection(every=self._selection.every):
            return None
        return ceil(self._expected / self._selection.every)

    def __iter__(self) -> Iterator[VideoFrame]:
        picker = FramePicker(self._selection, self.timebase)
        converter = RgbConverter(self._data.shown)
        for timed in self._timed(picker):
            if picker.take(timed.start):
                yield VideoFrame(_pixels(timed.picture.frame, converter, self._data.shown), timed.start, timed.end)
        self.source.update(self._data.facts())

    def close(self) -> None:
        """Release the decoder, which would otherwise keep its memory until it is collected."""
        self._release()
        self._container.close()
        self._data.close()

    def _release(self) -> None:
        self._pictures.close()
        if self._nvdec is not None:
            self._nvdec.close()

    def _nvdec_on(self, device: torch.device) -> NvdecDecoder | None:
        """NVDEC, where it can decode this video. Raises: ResourceError for a device asked for by name."""
        from embdc_cli.source.nvdec import NoNvdec
        from embdc_cli.source.nvdec_decoder import NvdecDecoder

        try:
            return NvdecDecoder(self._stream, device, self._data.shown)
        except NoNvdec as error:
            self._without_nvdec(str(error))
            return None

    def _nvdec_version(self) -> dict[str, str]:
        if self._nvdec is None:
            return {}
        from embdc_cli.source.nvdec import version

        return {"pynvvideocodec": version()}

    def _without_nvdec(self, reason: str) -> None:
        """Note that PyAV decodes. Raises: ResourceError where the device was asked for by name."""
        if self._options.device != "auto":
            raise ResourceError(
                f"{self._data.shown}: --device {self._options.device}: NVDEC cannot decode it, {reason}",
                hint="with --device auto PyAV decodes what NVDEC cannot",
            )
        self.notes.append(f"{self._data.shown}: PyAV decodes, NVDEC cannot: {reason}")

    def _timed(self, picker: FramePicker) -> Iterator[_Timed]:
        """Pictures with their times, until the selection needs no more."""
        clock = self._clock()
        losses = Losses()
        decoded, by_nvdec, interlaced = 0, 0, False
        previous: tuple[Picture, int] | None = None
        picture: Picture | None = self._first
        while picture is not None:
            decoded += 1
            by_nvdec += not isinstance(picture.frame, av.VideoFrame)
            interlaced |= picture.frame.interlaced_frame
            start = clock.start(picture.frame.pts, picture.frame.duration)
            if previous is None:
                self._skip_to(start)
                origin = start
            elif picture.after_gap:
                end = min(start, previous[1] + clock.own_duration(previous[0].frame.duration))
                if self._reader.damage is not None:
                    losses.gap(self._seconds(end, origin), self._seconds(start, origin))
                yield _Timed(previous[0], previous[1], end)
            else:
                clock.spaced(start - previous[1])
                yield _Timed(previous[0], previous[1], start)
            previous = (picture, start)
            if picker.past(start):
                break
            picture = next(self._pictures, None)
        else:
            assert previous is not None
            end = previous[1] + clock.own_duration(previous[0].frame.duration)
            if self._reader.open_end:
                losses.open_end = self._seconds(end, origin)
            yield _Timed(previous[0], previous[1], end)
        self.incomplete = losses.words(self._reader.damage)
        self.source.update(
            frames_decoded=decoded, interlaced=interlaced, vfr=clock.variable, times_repaired=clock.repaired
        )
        if self._nvdec is not None:
            self.source["nvdec_frames"] = by_nvdec
        if self._nvdec is not None and self._reader.handed_back is not None:
            reason = self._reader.handed_back.reason
            self.notes.append(f"{self._data.shown}: PyAV decodes after {by_nvdec} frames, NVDEC cannot: {reason}")

    def _clock(self) -> FrameClock:
        rate = self._stream.guessed_rate or self._stream.average_rate
        nominal = round(1 / (Fraction(rate) * self.timebase)) if rate else 1
        # AVI has decoding times only, which are presentation times only where nothing is reordered
        reordered = self._container.format.name == "avi" and self._stream.codec_context.has_b_frames
        return FrameClock(nominal, trusted=not reordered)

    def _skip_to(self, first_start: int) -> None:
        """Tell the reader what a late window does not need; counting frames needs them all."""
        if self._selection.window.start > 0 and self._selection.every == 1 and self._reader.can_skip:
            self._reader.skip_to = first_start + ceil(self._selection.window.start / self.timebase)

    def _shortfall(self, packets: int, reached: Fraction) -> str | None:
        """What is missing of a file read to its end, by its own account; None when nothing is."""
        if self._expected is not None and packets < self._expected:
            return f"{self._expected - packets} of {self._expected} frames are missing"
        if self._declared_end is not None and reached < self._declared_end - _DURATION_SLACK_SECONDS:
            return f"the file ends {float(self._declared_end - reached):.3f} s before its declared end"
        if self._data.missing_bytes:
            return f"the file is shorter than the {self._data.declared_bytes} bytes it declares"
        return None

    def _seconds(self, pts: int, origin: int) -> Fraction:
        return (pts - origin) * self.timebase

    def _notes(self, picture: av.VideoFrame) -> list[str]:
        notes = []
        others = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        if len(others) > 1:
            size = f"{self._stream.width}x{self._stream.height}"
            notes.append(f"{self._data.shown}: {len(others)} video tracks, track {self._stream.index} ({size}) is used")
        if self._reader.leading:
            notes.append(f"{self._data.shown}: {self._reader.leading} frames before the first keyframe are left out")
        if int(picture.color_trc) in _HDR_TRANSFERS:
            notes.append(f"{self._data.shown}: HDR video, samples are used without tone mapping")
        return notes

    def _provenance(self, picture: av.VideoFrame) -> dict[str, Any]:
        """What is known before the second frame; never a name."""
        context = self._stream.codec_context
        rate = self._stream.average_rate
        aspect = self._stream.sample_aspect_ratio
        return {
            "kind": "video",
            "container": self._container.format.name,
            "codec": context.codec.canonical_name,
            "pixel_format": picture.format.name,
            "height": self.height,
            "width": self.width,
            "sample_aspect": None if not aspect else [aspect.numerator, aspect.denominator],
            "rotation": display_matrix(picture).provenance(),
            "colour": {
                **colour_of(picture, self._data.shown).provenance(),
                "transfer": int(picture.color_trc),
                "primaries": int(picture.color_primaries),
            },
            "timebase": [self.timebase.numerator, self.timebase.denominator],
            "average_fps": None if not rate else [rate.numerator, rate.denominator],
            "declared_frames": self._expected,
            "sampling": self._selection.provenance(),
            "decoder": {"pyav": av.__version__, "libavcodec": _version("libavcodec"), **self._nvdec_version()},
            "head_digest": self._data.head_digest,
        }


def open_video(
    source: str | Path | Pipe | BinaryIO, options: EncodeOptions, device: torch.device | None = None
) -> VideoSource:
    """The video at a path, behind a fsspec URL, or in a stream, opened and its first frame decoded.

    device: a CUDA device on which the pixels are wanted, None for arrays.
    Raises: SourceError for what is missing, empty, no video, or damaged; UsageError for a bad --fps or --time;
    ResourceError when a copy to scratch does not fit, or NVDEC cannot decode it and --device names a CUDA device.
    """
    FrameSelection.parse(options.fps, options.time)
    data = open_video_input(source, options.spool_max)
    try:
        container = _open_container(data)
        try:
            return VideoSource(data, container, options, device)
        except BaseException:
            container.close()
            raise
    except BaseException:
        data.close()
        raise


def _told_by(picture: av.VideoFrame | DevicePicture) -> av.VideoFrame:
    """The picture that says how samples are to be read."""
    return picture if isinstance(picture, av.VideoFrame) else picture.model


def _pixels(picture: av.VideoFrame | DevicePicture, converter: RgbConverter, shown: str) -> np.ndarray | torch.Tensor:
    if isinstance(picture, av.VideoFrame):
        return converter.convert(picture)
    from embdc_cli.source.nvdec_decoder import to_rgb

    return to_rgb(picture, shown)


def _open_container(data: VideoInput) -> av.container.InputContainer:
    try:
        container: av.container.InputContainer = av.open(
            data.file, "r", options=_OPEN_OPTIONS, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        raise SourceError(
            f"{data.shown}: no video that can be read, {error.strerror or 'unknown format'}",
            hint="the file is no video, or is cut off before its index",
        ) from error
    return container


def _video_stream(container: av.container.InputContainer, data: VideoInput) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise SourceError(f"{data.shown}: expected a video track, found {', '.join(kinds) or 'nothing'}")
    # the track of highest resolution, as the ffmpeg program chooses; the first of equal ones
    chosen = max(streams, key=lambda stream: stream.width * stream.height)
    if chosen.codec_context is None:
        raise SourceError(f"{data.shown}: there is no decoder here for its video track")
    return chosen


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _expected_packets(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """Video packets in the file by its own index; None where the format has no complete one."""
    name = container.format.name
    if name.startswith("mov") and stream.frames > 0:
        return len(stream.index_entries)
    return stream.frames if name == "avi" and stream.frames > 0 else None


def _declared_end(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """Seconds at which the file ends by its own account; None where that is no more than a guess."""
    if not container.format.name.startswith(_PROMISES_DURATION) or container.duration is None:
        return None
    return Fraction((container.start_time or 0) + container.duration, av.time_base)


def _version(library: str) -> str:
    return ".".join(str(part) for part in av.library_versions[library])


def _because(damage: str | None) -> str:
    return f", {damage}" if damage else ""
