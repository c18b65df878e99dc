"""What the user names, opened: a dump, a video with its embedder, standard input, an archive, or arrays from Python."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from embdc_cli.errors import UsageError
from embdc_cli.options import DUMP_OPTIONS, VIDEO_OPTIONS, EncodeOptions
from embdc_cli.remote.filesystem import is_url
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump, Feed

if TYPE_CHECKING:
    from embdc_cli.embedder.feed import RowFilter
    from embdc_cli.embedder.protocol import Schedule
    from embdc_cli.source.array import ArrayInput
    from embdc_cli.source.pipe import Pipe


def open_input(
    source: str | ArrayInput,
    options: EncodeOptions,
    reporter: Reporter,
    row_filter: RowFilter | None = None,
    schedule: Schedule = (),
) -> Dump | Feed:
    """The opened input; a Feed can be read once only.

    row_filter: which rows of a video are embedded. schedule: how many at once, as an earlier run has recorded it.

    Raises: SourceError, MissingModel, UsageError, also for an option that says nothing about an input of this kind.
    """
    if not isinstance(source, str):
        from embdc_cli.source.array import open_arrays

        _refuse(options.given(VIDEO_OPTIONS), "expected a video, found arrays")
        _refuse(options.given(("raw", "input_format")), "expected a file, found arrays")
        return open_arrays(source, options)
    from embdc_cli.source import detect_format, open_dump, open_stdin
    from embdc_cli.source.pipe import Pipe

    if source == "-":
        pipe = Pipe(sys.stdin.buffer)
        if _is_video(detect_format(pipe.head(), options, name=pipe.shown), pipe.shown, options):
            return _embedded(pipe, options, reporter, row_filter, schedule)
        return open_stdin(pipe, options)
    if _is_video(detect_format(source, options), source, options):
        return _embedded(source, options, reporter, row_filter, schedule)
    dump = open_dump(source, options)
    dump.name = PurePath(source).stem
    return dump


def _is_video(form: str, shown: str, options: EncodeOptions) -> bool:
    """Whether the input is to be embedded. Raises: UsageError for options of the other kind of input."""
    if form == "video":
        _refuse(options.given(DUMP_OPTIONS), f"{shown}: expected a dump, found video")
    elif form != "embdc":  # no input at all: what opens dumps says so
        _refuse(options.given(VIDEO_OPTIONS), f"{shown}: expected a video, found {form}")
    return form == "video"


def _refuse(flags: list[str], found: str) -> None:
    if flags:
        raise UsageError(f"{flags[0]}: {found}", hint=f"leave out {' and '.join(flags)}")


def _embedded(
    source: str | Pipe, options: EncodeOptions, reporter: Reporter, row_filter: RowFilter | None, schedule: Schedule
) -> Feed:
    from embdc_cli.embedder.feed import embed_video
    from embdc_cli.source.location import locate
    from embdc_cli.source.video_input import file_facts

    feed = embed_video(source, options, reporter, row_filter, schedule)
    # known before any frame is decoded, for --skip-existing; of an object that takes further requests
    if isinstance(source, str) and (options.skip_existing or not is_url(source)):
        found = locate(source, options.spool_max)
        try:
            feed.source.update(file_facts(found))
        finally:
            found.close()
    return feed
