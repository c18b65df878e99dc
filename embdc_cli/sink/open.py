"""Choosing and opening an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np

from embdc_cli.dtypes import FLOATS
from embdc_cli.dump_formats import INDEX_FORMATS, ONE_ARRAY_FORMATS, OUTPUT_FORMATS, OUTPUT_SUFFIXES, RAGGED_AS_TOKENS
from embdc_cli.errors import UsageError
from embdc_cli.scratch import discard, disk_errors
from embdc_cli.sink.faiss_index import FaissSink
from embdc_cli.sink.layout import OutputStream, output_streams, with_counts
from embdc_cli.sink.npy import NpySink
from embdc_cli.sink.npz import NpzSink
from embdc_cli.sink.raw import RawSink
from embdc_cli.sink.safetensors_file import SafetensorsSink
from embdc_cli.sink.sink import ByteOutput, Sink
from embdc_cli.values import StreamSpec


def format_for(path: str | Path | None, streams: Sequence[StreamSpec], asked: str | None = None) -> str:
    """The format of an output at `path` (None or "-" is stdout): `asked`, else by suffix, else by the streams.

    Raises UsageError for an unknown format or suffix, and for streams that a one-array format cannot hold.
    """
    suffix = "" if path is None or str(path) == "-" else PurePath(path).suffix.lower()
    form = asked or OUTPUT_SUFFIXES.get(suffix)
    if form is None and suffix:
        raise UsageError(
            f"output: {path}: expected one of {', '.join(OUTPUT_SUFFIXES)}, found {suffix}",
            hint="or name it with --format",
        )
    if form is None:
        form = "npy" if len(streams) == 1 and not streams[0].ragged else "safetensors"
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
    shown = str(out) if isinstance(out, str | Path) else "output"
    with ExitStack() as resources:
        if isinstance(out, str | Path):
            with disk_errors(shown):
                out = open(out, "w+b")  # noqa: SIM115 - ends with the sink, which flushes it first
            resources.callback(discard, out)
        sink = _sink(format, out, shown, streams, resources.pop_all())
    if format in ("npy", "npz", "h5") and any(spec.dtype == "bfloat16" for spec in specs):
        sink.warnings.append(
            f"{shown}: {format} has no bfloat16, which is written as 2-byte voids: "
            "view them as uint16 or ml_dtypes.bfloat16, or decode to .safetensors or .pt"
        )
    return sink


def _sink(form: str, out: BinaryIO, shown: str, streams: list[OutputStream], resources: ExitStack) -> Sink:
    """The sink of format `form`; the modules that need large libraries are imported here."""
    with ExitStack() as on_failure:
        on_failure.callback(resources.close)
        output = ByteOutput(out, shown)
        sink: Sink
        if form == "npy":
            sink = NpySink(output, streams, resources)
        elif form == "raw":
            sink = RawSink(output, streams, resources)
        elif form == "faiss":
            sink = FaissSink(output, streams, resources)
        elif form == "npz":
            sink = NpzSink(output, with_counts(streams), resources)
        elif form == "safetensors":
            sink = SafetensorsSink(output, with_counts(streams), resources)
        elif form == "h5":
            from embdc_cli.sink.h5 import H5Sink

            sink = H5Sink(out, shown, with_counts(streams), resources)
        else:
            from embdc_cli.sink.torch_file import TorchSink

            sink = TorchSink(output, streams, resources)
        on_failure.pop_all()
        return sink


def _check_fits(form: str, streams: Sequence[StreamSpec]) -> None:
    if form not in OUTPUT_FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(OUTPUT_FORMATS)}, found {form!r}")
    if not streams:
        raise UsageError("output: expected at least one stream, found none")
    if form not in ONE_ARRAY_FORMATS:
        return
    if len(streams) > 1:
        names = ", ".join(spec.name for spec in streams[:8])
        raise UsageError(
            f"output: {form} holds one array, found {len(streams)} streams ({names})",
            hint="choose one with --stream or --item, or write .npz, .safetensors, .h5 or .pt",
        )
    if form in INDEX_FORMATS and streams[0].dtype not in FLOATS:
        raise UsageError(f"output: {form} holds embeddings, found {streams[0].name!r} of {streams[0].dtype}")
    if streams[0].ragged and form not in RAGGED_AS_TOKENS:
        raise UsageError(
            f"output: {form} cannot hold {streams[0].name!r}, whose rows have different token counts",
            hint="write .pt (a list), or .npz, .safetensors or .h5 (flat, with token_counts)",
        )
