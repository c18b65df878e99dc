"""Choosing and opening an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO, cast

import numpy as np

from embdc_cli.dump_formats import FORMATS, ONE_ARRAY_FORMATS, SUFFIXES
from embdc_cli.errors import UsageError
from embdc_cli.scratch import disk_errors
from embdc_cli.sink.layout import OutputStream, output_streams, with_counts
from embdc_cli.sink.sink import ByteOutput, Sink
from embdc_cli.values import StreamSpec


def format_for(path: str | Path | None, streams: Sequence[StreamSpec], asked: str | None = None) -> str:
    """The format of an output at `path` (None or "-" is stdout): `asked`, else by suffix, else by the streams.

    Raises UsageError for an unknown format or suffix, and for streams that a one-array format cannot hold.
    """
    suffix = "" if path is None or str(path) == "-" else PurePath(path).suffix.lower()
    form = asked or SUFFIXES.get(suffix)
    if form is None and suffix:
        raise UsageError(
            f"output: {path}: expected one of {', '.join(SUFFIXES)}, found {suffix}", hint="or name it with --format"
        )
    if form is None:
        form = "npy" if len(streams) == 1 and not streams[0].ragged else "safetensors"
    if form not in FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(FORMATS)}, found {form!r}")
    _check_fits(form, streams)
    return form


def open_sink(
    format: str,  # noqa: A002 - the option's name
    out: str | Path | BinaryIO,
    specs: Sequence[StreamSpec],
    names: Sequence[str] | None = None,
    *,
    token_counts: Mapping[str, np.ndarray] | None = None,
) -> Sink:
    """The sink that writes streams of `specs`, whose rows are known, to a path or a binary stream.

    names: keys of the streams in the output, default the specs' names. token_counts: int64 (T,) for every ragged
    stream by its key. A stream that was given stays open when the sink is closed.
    """
    _check_fits(format, specs)
    streams = output_streams(specs, names, token_counts)
    if isinstance(out, str | Path):
        with disk_errors(str(out)):
            file = open(out, "w+b")  # noqa: SIM115 - closed by the sink
        try:
            return _OwnedFile(_sink(format, file, str(out), streams), file)
        except BaseException:
            file.close()
            raise
    return _sink(format, out, "output", streams)
