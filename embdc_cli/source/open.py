"""Opening a dump: a path, a URL or a stream in, the tensors that are to be encoded out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from embdc_cli.errors import SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.candidate import Contents
from embdc_cli.source.detect import HEAD_BYTES, detect_format
from embdc_cli.source.digest import ends_digest, head_digest, input_bytes
from embdc_cli.source.location import InputFile, locate, spool_stream
from embdc_cli.source.pipe import Pipe
from embdc_cli.source.raw import parse_raw, raw_contents, with_raw_axes
from embdc_cli.source.select import select
from embdc_cli.values import Dump, Feed


def open_dump(path: str | Path, options: EncodeOptions) -> Dump:
    """The tensors of the dump at `path` (a local file or a fsspec URL) that `options` select.

    Raises SourceError for an input that is missing, damaged, no dump, or holds nothing that embdc codes; UsageError
    for options that do not fit it; ResourceError when scratch space runs out.
    """
    source = locate(path, options.spool_max)
    try:
        return _open(source, options)
    except BaseException:
        source.close()
        raise


def open_stdin(stream: BinaryIO | Pipe, options: EncodeOptions) -> Dump | Feed:
    """The dump that arrives on `stream`: a feed where its rows come in order (npy, raw), else spooled whole.

    To look at the content first, wrap the stream in a `Pipe`, give `pipe.head()` to `detect_format`, and pass it on.
    Raises as `open_dump` does; ResourceError when it needs spooling and is larger than `options.spool_max`.
    """
    from embdc_cli.source.stream_feed import npy_feed, raw_feed

    pipe = stream if isinstance(stream, Pipe) else Pipe(stream)
    form = detect_format(pipe.head(HEAD_BYTES), options, name=pipe.shown)
    if form == "raw":
        return raw_feed(pipe, options)
    if form == "npy" and (feed := npy_feed(pipe, options)) is not None:
        return feed
    _check_dump(form, pipe.shown)
    source = spool_stream(pipe, pipe.shown, options.spool_max)
    try:
        return _open(source, options)
    except BaseException:
        source.close()
        raise


def _open(source: InputFile, options: EncodeOptions) -> Dump:
    form = detect_format(source, options)
    _check_dump(form, source.shown)
    if form == "raw":
        options = with_raw_axes(options, parse_raw(options.raw or ""))
    contents = _contents(form, source, options)
    try:
        selection = select(contents, options, source.shown)
    except BaseException:
        contents.close()
        raise

    def close() -> None:
        contents.close()
        source.close()

    return Dump(
        selection.tensors,
        timeline=selection.timeline,
        timed_streams=selection.timed_streams,
        exact_streams=selection.exact_streams,
        source=_facts(form, source),
        warnings=selection.warnings,
        close=close,
    )


def _check_dump(form: str, shown: str) -> None:
    if form == "embdc":
        raise SourceError(f"{shown}: expected a dump, found an embdc archive", hint="decode it first: embdc decode")
    if form == "video":
        raise SourceError(f"{shown}: expected a dump, found video")


def _facts(form: str, source: InputFile) -> dict[str, Any]:
    file = source.positioned()
    try:
        digests = {"head_digest": head_digest(file), "ends_digest": ends_digest(file)}
        return {"kind": form, "size_bytes": input_bytes(file), **digests}
    finally:
        file.close()


def _contents(form: str, source: InputFile, options: EncodeOptions) -> Contents:
    """The arrays of `source` in format `form`; the modules that need large libraries are imported here."""
    if form == "npy":
        from embdc_cli.source.npy import npy_contents

        return npy_contents(source)
    if form == "npz":
        from embdc_cli.source.npz import npz_contents

        return npz_contents(source, options.spool_max)
    if form == "safetensors":
        from embdc_cli.source.safetensors_file import safetensors_contents

        return safetensors_contents(source)
    if form == "h5":
        from embdc_cli.source.h5 import h5_contents

        return h5_contents(source)
    if form == "pt":
        from embdc_cli.source.torch_file import torch_contents

        return torch_contents(source.local(options.spool_max))
    return raw_contents(source, options.raw or "")
