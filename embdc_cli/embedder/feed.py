"""A video and an embedder joined: rows of embeddings with the times of their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from embdc_cli.embedder.open import frames_device, open_embedder
from embdc_cli.embedder.protocol import FrameEmbedder, Schedule
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.source.pipe import Pipe
from embdc_cli.source.video import VideoFrame, VideoSource, open_video
from embdc_cli.values import Block, Feed, StreamSpec

FLOAT16_LARGEST: Final = 65504

RowFilter = Callable[[Sequence[StreamSpec]], Callable[[int], bool]]
"""For the streams of a video: whether a row, asked for in order, is embedded."""


def embed_video(
    source: str | Path | Pipe | BinaryIO,
    options: EncodeOptions,
    reporter: Reporter,
    row_filter: RowFilter | None = None,
    schedule: Schedule = (),
) -> Feed:
    """The embeddings of the frames that --fps and --time choose, one row per frame.

    row_filter: leaves rows out; their frames are only decoded. schedule: the `batches` of an earlier run, which is then
    repeated to the last bit.

    source: a path, a fsspec URL, or a stream. The feed's `source` has what is known before the second frame; when
    the blocks are through it has all (frames_decoded, vfr, size_bytes, batches, ...), and `incomplete` is set if it is.
    Raises: SourceError, UsageError, MissingModel, ResourceError.
    """
    video = open_video(source, options, frames_device(options))
    try:
        embedder = open_embedder(options)
        frames = embedder.for_size(video.height, video.width, schedule)
    except BaseException:
        video.close()
        raise
    told = len(video.notes)
    for note in (*video.notes, *embedder.notes):
        reporter.note(note)
    feed = Feed(
        specs=list(frames.specs),
        blocks=iter(()),
        name=Path(source).stem if isinstance(source, str | Path) else "",
        timebase=video.timebase,
        source=video.source,
        encoder=frames.provenance(),
        close=video.close,
    )
    wanted = row_filter(feed.specs) if row_filter is not None else None
    chosen = video if wanted is None else (frame for row, frame in enumerate(video) if wanted(row))
    feed.blocks = _blocks(feed, video, chosen, frames, options, reporter, told)
    return feed


def _blocks(
    feed: Feed,
    video: VideoSource,
    chosen: Iterable[VideoFrame],
    embedder: FrameEmbedder,
    options: EncodeOptions,
    reporter: Reporter,
    told: int,
) -> Iterator[Block]:
    """told: how many of the video's notes were reported."""
    rows = 0
    saturated = False
    try:
        for batch in _batches(chosen, embedder):
            size = embedder.batch_size
            arrays = embedder.embed([frame.pixels for frame in batch])
            if (smaller := embedder.batch_size) < size:
                reporter.note(f"encoder: memory ran out with {size} frames at once, going on with {smaller}")
            starts = np.array([frame.start for frame in batch], np.int64)
            ends = np.array([frame.end for frame in batch], np.int64)
            rows += len(batch)
            saturated |= any(bool((np.abs(array) == FLOAT16_LARGEST).any()) for array in arrays.values())
            yield Block(arrays, starts, ends)
            reporter.progress("embed", rows, video.estimated_rows, "frames")
    finally:
        video.close()
    feed.incomplete = video.incomplete
    for note in video.notes[told:]:
        reporter.note(note)
    if embedder.schedule:
        feed.source["batches"] = [list(one) for one in embedder.schedule]
    if saturated:
        reporter.note(f"encoder: some values are beyond float16 and were stored as {FLOAT16_LARGEST}, its largest")
    if rows == 0:
        raise UsageError(f"--time {options.time}: chooses no frame of the video", hint="the video ends before it")


def _batches(frames: Iterable[VideoFrame], embedder: FrameEmbedder) -> Iterator[list[VideoFrame]]:
    batch: list[VideoFrame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) >= embedder.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
