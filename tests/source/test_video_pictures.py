"""What is kept around damage, with a decoder that does exactly as the test says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import pytest

from embdc_cli.errors import SourceError
from embdc_cli.source.video_pictures import PictureReader

TICK = Fraction(1, 10)


def packet(pts: int, *, key: bool = False, corrupt: bool = False, discard: bool = False, stream: int = 0) -> Any:
    return SimpleNamespace(
        pts=pts, duration=1, time_base=TICK, size=100, stream_index=stream, is_keyframe=key, is_corrupt=corrupt,
        is_discard=discard,
    )  # fmt: skip


class Decoder:
    """Gives a picture per packet, in the order of their PTS once `depth` more are in; some are bad.

    flagged: PTS of pictures that come out marked as damaged. refused: PTS of packets that raise.
    """

    codec = SimpleNamespace(canonical_name="vp9")
    extradata = None
    thread_count = 0

    def __init__(self, depth: int, flagged: tuple[int, ...] = (), refused: tuple[int, ...] = ()) -> None:
        self.reorder_depth = self._depth = depth
        self._flagged, self._refused = flagged, refused
        self._inside: list[int] = []

    def decode(self, packet: Any) -> list[Any]:
        if packet is not None and packet.pts in self._refused:
            raise av.error.InvalidDataError(1, "Invalid data")
        self._inside += [] if packet is None else [packet.pts]
        count = len(self._inside) if packet is None else max(0, len(self._inside) - self._depth)
        self._inside.sort()
        out, self._inside = self._inside[:count], self._inside[count:]
        return [SimpleNamespace(pts=pts, is_corrupt=pts in self._flagged) for pts in out]

    def flush_buffers(self) -> None:
        self._inside = []


def reader(
    packets: list[Any], decoder: Decoder, *, keep_going: bool = True, missing: str | None = None, fails: bool = False
) -> PictureReader:
    def demux() -> Iterator[Any]:
        yield from packets
        if fails:
            raise av.error.InvalidDataError(1, "Invalid data")
        yield SimpleNamespace(size=0)

    container: Any = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"), demux=demux)
    stream: Any = SimpleNamespace(index=0, codec_context=decoder, time_base=TICK)
    return PictureReader(container, stream, "clip", lambda count, reached: missing, keep_going=keep_going)


def shown(pictures: PictureReader) -> list[str]:
    """PTS of the pictures that come out, with a bar where there is a gap before one."""
    return [("|" if one.after_gap else "") + str(one.frame.pts) for one in pictures.pictures()]


def group(first: int, *, size: int = 6) -> list[Any]:
    """Packets of a closed group of pictures with two B-frames between references: I P B B P B B, cut to `size`."""
    order = [0, 3, 1, 2, 6, 4, 5][:size]
    return [packet(first + offset, key=offset == 0) for offset in order]


SOUND = list(map(str, range(14)))


def test_everything_comes_out_when_nothing_is_wrong() -> None:
    pictures = reader(group(0, size=7) + group(7, size=7), Decoder(2))
    assert shown(pictures) == SOUND
    assert (pictures.damage, pictures.open_end, pictures.leading) == (None, False, 0)


def test_a_flagged_picture_takes_what_was_decoded_after_it_along() -> None:
    # P 3 is damaged: B 1 and 2 were decoded from it and come out before it, unflagged
    pictures = reader(group(0, size=7) + group(7, size=7), Decoder(2, flagged=(3,)))
    assert shown(pictures) == ["0", "|7", "8", "9", "10", "11", "12", "13"]
    assert pictures.damage == "cannot be decoded, the picture is damaged at 0.300 s"
    assert not pictures.open_end


def test_a_refused_packet_leaves_no_hole_before_it() -> None:
    # B 1 is refused when 3 is still inside: 3 would come out with a hole before it
    pictures = reader(group(0, size=7) + group(7, size=7), Decoder(2, refused=(1,)))
    assert shown(pictures) == ["|7", "8", "9", "10", "11", "12", "13"]
    pictures = reader(group(0, size=7) + group(7, size=7), Decoder(0, refused=(8,)))
    assert shown(pictures) == ["0", "3", "1", "2", "6", "4", "5", "7", "10"]
    assert pictures.open_end


def test_a_cut_off_packet_is_not_even_tried() -> None:
    packets = [*group(0, size=7), packet(7, key=True, corrupt=True), packet(8)]
    pictures = reader(packets, Decoder(0))
    assert shown(pictures) == ["0", "3", "1", "2", "6", "4", "5"]
    assert pictures.damage == "truncated, a packet is cut off at 0.700 s"
    assert pictures.open_end


def test_pictures_shown_before_the_keyframe_after_damage_are_dropped() -> None:
    # an open group: B 12 and 13 come after keyframe 14 but are shown before it, and need what was lost
    later = [packet(14, key=True), packet(12), packet(13), packet(15)]
    pictures = reader([*group(0, size=7), packet(9), *later], Decoder(0, refused=(9,)))
    assert shown(pictures)[-2:] == ["|14", "15"]


@pytest.mark.parametrize("fails", [False, True])
def test_at_a_premature_end_the_decoder_is_not_drained(fails: bool) -> None:
    # the last picture that was in order is 4: between 4 and 6 there may be lost ones
    pictures = reader(group(0, size=6), Decoder(2), missing=None if fails else "some are missing", fails=fails)
    assert shown(pictures) == ["0", "1", "2", "3"]
    assert pictures.open_end
    assert "damaged" in str(pictures.damage) if fails else pictures.damage == "truncated, some are missing"
    with pytest.raises(SourceError, match=r"clip: (truncated|the file is damaged)"):
        shown(reader(group(0, size=6), Decoder(2), keep_going=False, missing="x", fails=fails))


@pytest.mark.parametrize("decoder", [Decoder(0, flagged=(2,)), Decoder(0, refused=(2,))])
def test_without_keep_going_damage_is_an_error(decoder: Decoder) -> None:
    pictures = reader([packet(pts, key=pts == 0) for pts in range(5)], decoder, keep_going=False)
    given = []
    with pytest.raises(SourceError, match=r"clip: cannot be decoded, .* at 0\.200 s") as refusal:
        given.extend(one.frame.pts for one in pictures.pictures())
    assert "--keep-going" in str(refusal.value.hint)


def test_frames_before_the_first_keyframe_are_counted_and_no_damage() -> None:
    packets = [packet(pts, key=pts == 3) for pts in range(6)]
    pictures = reader(packets, Decoder(0, refused=(0,), flagged=(1, 2)), keep_going=False)
    assert shown(pictures) == ["3", "4", "5"]
    assert pictures.leading == 3
    assert pictures.damage is None


def test_a_bad_first_keyframe_is_damage() -> None:
    packets = [packet(pts, key=pts == 0) for pts in range(3)]
    with pytest.raises(SourceError):
        shown(reader(packets, Decoder(0, refused=(0,)), keep_going=False))


def test_hidden_packets_of_an_edit_list_may_be_undecodable() -> None:
    packets = [packet(-1, key=True, discard=True), packet(0), packet(1)]
    assert shown(reader(packets, Decoder(0, refused=(-1,)), keep_going=False)) == ["0", "1"]


def test_packets_of_other_tracks_are_not_decoded() -> None:
    packets = [packet(0, key=True), packet(500, stream=1), packet(1)]
    assert shown(reader(packets, Decoder(0))) == ["0", "1"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (15, ["0", "|14", "15", "16"]),  # 14 is an entry before it
        (14, ["0", "|7", "8", "9", "14", "15", "16"]),  # the picture before the window is needed
        (3, ["0", "1", "2", "3", "7", "8", "9", "14", "15", "16"]),  # no entry: nothing is skipped
        (99, ["0", "|14", "15", "16"]),
    ],
)
def test_skipping_begins_at_the_last_entry_before_the_target(target: int, expected: list[str]) -> None:
    times = [0, 1, 2, 3, 7, 8, 9, 14, 15, 16]
    pictures = reader([packet(pts, key=pts in (0, 7, 14)) for pts in times], Decoder(0), keep_going=False)
    assert pictures.can_skip
    found = []
    for one in pictures.pictures():
        pictures.skip_to = target if not found else pictures.skip_to
        found.append(("|" if one.after_gap else "") + str(one.frame.pts))
    assert found == expected
