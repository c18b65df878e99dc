"""Values of an archive against those of the dump it came from: `embdc verify --against`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from embdc_cli.archive import Archive
from embdc_cli.comparison.block import blocks
from embdc_cli.comparison.fidelity import Fidelity
from embdc_cli.comparison.opening import opened_dump
from embdc_cli.comparison.pairing import Pair, paired
from embdc_cli.metrics import ChannelMoments, ratio
from embdc_cli.options import EncodeOptions
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter

_ROUNDING = 1.001  # the recorded error is a float of the same sums


@dataclass(frozen=True)
class _Found:
    """What one stream differs in; energy: sum of its squared deviations from the channel means."""

    name: str
    fidelity: Fidelity
    energy: float


def compare_with_dump(archive: Archive, path: str, key: str | None, reporter: Reporter) -> dict[str, Any]:
    """{max_abs_error, nmse, cosine, matches}; matches: exact where lossless, else no worse than recorded.

    Raises: UsageError when streams or shapes differ; SourceError.
    """
    with opened_dump(path, EncodeOptions(key=key), reporter) as dump, one_blas_thread():
        tensors = {tensor.spec.name: tensor for tensor in dump.tensors}
        streams = {name: archive[name] for name in archive}
        pairs = paired(tensors, streams, (path, "the archive"), axes_of_other=True)
        found = [_measured(pair) for pair in pairs]
    sums = [one.fidelity.sums for one in found]
    nmse = ratio(sum(one.sse for one in sums), sum(one.energy for one in found))
    tokens = sum(one.tokens for one in sums)
    return {
        "max_abs_error": max((one.fidelity.max_abs_error for one in found), default=0.0),
        "nmse": nmse if math.isfinite(nmse) else None,
        "cosine": sum(one.cosine_sum for one in sums) / tokens if tokens else 1.0,
        "matches": all(_as_recorded(archive, one) for one in found),
    }


def _measured(pair: Pair) -> _Found:
    fidelity, moments = Fidelity(pair.layout.channels), ChannelMoments(pair.layout.channels)
    for block in blocks(pair):
        fidelity.add(block)
        moments.add(block.x)
    return _Found(pair.name, fidelity, moments.energy)


def _as_recorded(archive: Archive, found: _Found) -> bool:
    stream = archive[found.name].stream
    entries = (archive.reader.parts[stream.part].summary or {}).get("streams", [])
    recorded = entries[stream.number] if stream.number < len(entries) else {}
    if recorded.get("codec") == "lossless" or "sse" not in recorded.get("sums", ()):
        return found.fidelity.identical
    return found.fidelity.sums.sse <= float(recorded["sums"]["sse"]) * _ROUNDING
