"""Values of an archive against those of the dump it came from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from embdc_cli.archive import Archive, StreamView
from embdc_cli.errors import UsageError
from embdc_cli.inputs import open_input
from embdc_cli.metrics import ChannelMoments, ErrorSums
from embdc_cli.options import EncodeOptions
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter
from embdc_cli.tokens import as_tokens, cut_rows
from embdc_cli.values import Dump, Tensor

_CHUNK_ROWS = 64
_ROUNDING = 1.001  # the recorded error is a float of the same sums


def compare_with_dump(archive: Archive, path: str, key: str | None, reporter: Reporter) -> dict[str, Any]:
    """{max_abs_error, nmse, cosine, matches}; matches: exact where lossless, else no worse than recorded.

    Raises: UsageError when streams or shapes differ; SourceError.
    """
    opened = open_input(path, EncodeOptions(key=key), reporter)
    try:
        if not isinstance(opened, Dump):
            raise UsageError(f"--against: {path}: expected a dump", hint="decode the archive and compare dumps")
        tensors = {tensor.spec.name: tensor for tensor in opened.tensors}
        if len(tensors) == 1 and len(archive) == 1:
            tensors = dict.fromkeys(archive.streams, *tensors.values())  # a single array has no name of its own
        missing = [name for name in archive if name not in tensors]
        if missing:
            raise UsageError(f"--against: {path} has no tensor {missing[0]!r}", hint=f"it has {', '.join(tensors)}")
        with one_blas_thread():
            found = [_compare(archive[name], tensors[name]) for name in archive]
    finally:
        opened.close()
    sse, energy = sum(one["sse"] for one in found), sum(one["energy"] for one in found)
    tokens = sum(one["tokens"] for one in found)
    nmse = sse / energy if energy > 0 else (0.0 if sse == 0 else math.inf)
    return {
        "max_abs_error": max((one["max_abs_error"] for one in found), default=0.0),
        "nmse": nmse if math.isfinite(nmse) else None,
        "cosine": sum(one["cosine_sum"] for one in found) / tokens if tokens else 1.0,
        "matches": all(_as_recorded(archive, one) for one in found),
    }


def _compare(view: StreamView, tensor: Tensor) -> dict[str, Any]:
    spec = tensor.spec
    if tuple(spec.shape) != tuple(view.shape):
        raise UsageError(
            f"--against: stream {view.name!r}: the archive has shape {list(view.shape)}, the dump {list(spec.shape)}"
        )
    sums, moments = ErrorSums(spec.channels), ChannelMoments(spec.channels)
    worst, identical = 0.0, spec.dtype == view.spec.dtype
    for start, stop in cut_rows(tensor, _CHUNK_ROWS):
        rows, decoded = tensor.read(start, stop), view.numpy(range(start, stop))
        identical = identical and np.array_equal(rows.view(np.uint8), decoded.view(np.uint8))
        x, y = as_tokens(rows, spec), as_tokens(decoded, view.spec)
        finite = np.isfinite(x)
        worst = max(worst, float(np.abs(x - y).max(initial=0.0, where=finite)))
        sums.add(x, y)
        moments.add(np.where(finite, x, 0))
    return {
        "view": view,
        "max_abs_error": worst,
        "identical": identical,
        "sse": sums.sse,
        "energy": moments.energy,
        "cosine_sum": sums.cosine_sum,
        "tokens": sums.tokens,
    }


def _as_recorded(archive: Archive, one: dict[str, Any]) -> bool:
    stream = one["view"].stream
    summary = archive.reader.parts[stream.part].summary
    if summary is None:
        return bool(one["identical"])
    recorded = summary["streams"][stream.number]
    if recorded["codec"] == "lossless":
        return bool(one["identical"])
    return bool(one["sse"] <= recorded["sums"]["sse"] * _ROUNDING)
