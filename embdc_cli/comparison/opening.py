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

    Raises: UsageError for a video or standard input, SourceError, CorruptArchive, UnsupportedArchive.
    """
    if isinstance(source, str):
        form = _format(source, reading)
        if form == "embdc":
            with Archive(source, codebooks=codebooks) as archive:
                yield _archive_side(source, archive)
            return
    dump = open_input(source, reading, reporter)
    try:
        assert isinstance(dump, Dump)  # a feed is a video or a pipe, which _format refused
        for warning in dump.warnings:
            reporter.note(warning)
        tensors = {tensor.spec.name: tensor for tensor in dump.tensors}
        timelines = {} if dump.timeline is None else dict.fromkeys(dump.timed_streams, dump.timeline)
        yield Side(source if isinstance(source, str) else "array", tensors, timelines, dump.exact_streams)
    finally:
        dump.close()


def describes_itself(source: str | ArrayInput) -> bool:
    """Whether the content of `source` says what it is, so that it needs no --raw."""
    if not isinstance(source, str):
        return True
    try:
        return bool(detect_format(source))
    except SourceError:
        return False


def _format(source: str, reading: EncodeOptions) -> str:
    if source == "-":
        raise UsageError("input: -: expected a path or URL, both inputs are read twice", hint="save it first")
    # an archive is one whatever says how dumps are read
    form = detect_format(source) if describes_itself(source) else detect_format(source, reading)
    if form == "embdc":
        return form
    form = detect_format(source, reading)
    if form == "video":
        raise UsageError(f"{source}: expected a dump or an archive, found video", hint="embdc encode makes an archive")
    return form


def _archive_side(shown: str, archive: Archive) -> Side:
    timelines = {name: timeline for name in archive if (timeline := archive[name].timeline) is not None}
    return Side(shown, {name: archive[name] for name in archive}, timelines, archive=archive)
