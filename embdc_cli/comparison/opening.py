"""What `compare` is given, opened: a dump or an archive as tensors by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embdc_cli.archive import Archive
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.inputs import open_input
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.source import detect_format
from embdc_cli.values import Dump, Tensor, Timeline

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput


@dataclass
class Side:
    """One of the two that are compared.

    shown: its name in messages. exact: streams that hold times or counts rather than embeddings.
    archive: where it is one.
    """

    shown: str
    tensors: Mapping[str, Tensor]
    timelines: Mapping[str, Timeline] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    archive: Archive | None = None


@contextmanager
def opened(
    source: str | ArrayInput, reading: EncodeOptions, codebooks: Sequence[str], reporter: Reporter
) -> Iterator[Side]:
    """A dump or archive (path or URL), or arrays. reading: how a dump is read.

    Raises: UsageError for what can be read only once, SourceError, CorruptArchive, UnsupportedArchive.
    """
    if isinstance(source, str) and content_format(source) == "embdc":
        with Archive(source, codebooks=codebooks) as archive:
            timelines = {name: timeline for name in archive if (timeline := archive[name].timeline) is not None}
            yield Side(source, {name: archive[name] for name in archive}, timelines, archive=archive)
        return
    with opened_dump(source, reading, reporter) as dump:
        tensors = {tensor.spec.name: tensor for tensor in dump.tensors}
        timelines = {} if dump.timeline is None else dict.fromkeys(dump.timed_streams, dump.timeline)
        yield Side(source if isinstance(source, str) else "array", tensors, timelines, dump.exact_streams)


@contextmanager
def opened_dump(source: str | ArrayInput, reading: EncodeOptions, reporter: Reporter) -> Iterator[Dump]:
    """A dump (path or URL), or arrays. Raises: UsageError for a video or a pipe, SourceError, also for an archive."""
    # asked first: opening a video would load its encoder
    if isinstance(source, str) and source != "-" and detect_format(source, reading) == "video":
        raise UsageError(f"{source}: expected a dump or an archive, found video", hint="embdc encode makes an archive")
    opened = open_input(source, reading, reporter)
    try:
        if not isinstance(opened, Dump):
            raise UsageError("input: -: expected a dump that can be read twice, found a stream", hint="save it first")
        for warning in opened.warnings:
            reporter.note(warning)
        yield opened
    finally:
        opened.close()


def content_format(source: str) -> str | None:
    """What the content of `source` says it is; None where it does not tell, as of bare numbers."""
    try:
        return detect_format(source)
    except SourceError:
        return None
