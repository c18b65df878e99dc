"""What the user names, opened: a dump, a video with its embedder, standard input, an archive, or arrays from Python."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump, Feed

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput
    from embdc_cli.source.pipe import Pipe


def open_input(source: str | ArrayInput, options: EncodeOptions, reporter: Reporter) -> Dump | Feed:
    """The opened input; a Feed can be read once only. Raises: SourceError, UsageError, MissingModel."""
    if not isinstance(source, str):
        from embdc_cli.source.array import open_arrays

        return open_arrays(source, options)
    from embdc_cli.source import detect_format, open_dump, open_stdin
    from embdc_cli.source.pipe import Pipe

    if source == "-":
        pipe = Pipe(sys.stdin.buffer)
        if detect_format(pipe.head(), options, name=pipe.shown) == "video":
            return _embedded(pipe, options, reporter)
        return open_stdin(pipe, options)
    if detect_format(source, options) == "video":
        return _embedded(source, options, reporter)
    dump = open_dump(source, options)
    dump.name = PurePath(source).stem
    return dump


def _embedded(source: str | Pipe, options: EncodeOptions, reporter: Reporter) -> Feed:
    from embdc_cli.embedder.feed import embed_video
    from embdc_cli.source.digest import ends_digest

    feed = embed_video(source, options, reporter)
    if isinstance(source, str) and "://" not in source:  # known before any frame is decoded, for --skip-existing
        feed.source.update(size_bytes=os.path.getsize(source), ends_digest=ends_digest(source))
    return feed
