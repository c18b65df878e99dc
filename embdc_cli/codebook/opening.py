"""Opening what a codebook is trained on: dumps, videos (embedded and spooled), and archives item by item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embdc_cli.codec.table import ChunkKind
from embdc_cli.errors import SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump, Feed

if TYPE_CHECKING:
    from embdc_cli.stream_view import StreamView


def open_any(name: str, options: EncodeOptions, reporter: Reporter) -> Iterator[Dump]:
    """The items of the input `name`, each re-readable. Raises: SourceError, CorruptArchive, MissingModel."""
    # what opens inputs knows codebooks: imported when it is needed, so that the import graph stays one-way
    from embdc_cli.inputs import open_input
    from embdc_cli.source import detect_format
    from embdc_cli.source.spool import spool

    if name != "-" and detect_format(name, options) == "embdc":
        yield from _archive_items(name)
        return
    opened = open_input(name, options, reporter)
    dump = spool(opened, options.spool_max) if isinstance(opened, Feed) else opened
    if dump.incomplete is not None:
        if not options.keep_going:
            dump.close()
            raise SourceError(dump.incomplete, hint="--keep-going trains on the part that is good")
        reporter.note(dump.incomplete)
    yield dump


def _archive_items(name: str) -> Iterator[Dump]:
    """Every item of an archive as a dump of decoded values; closing the last one closes the archive."""
    from embdc_cli.archive import Archive

    archive = Archive(name)
    views = [archive[stream] for stream in archive.streams]
    items = archive.reader.items
    for item in items:
        own = [view for view in views if view.item.number == item.number]
        yield Dump(
            own,
            timed_streams=frozenset(view.spec.name for view in own if view.stream.header.timed),
            encoder=item.header.encoder,
            source={"kind": "embdc", "lossy": any(_is_lossy(view) for view in own)},
            close=archive.close if item is items[-1] else lambda: None,
        )


def _is_lossy(view: StreamView) -> bool:
    return any(entry.record.kind != ChunkKind.LOSSLESS for entry in view.stream.entries)
