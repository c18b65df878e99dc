"""`embdc compare` as a function: read this first. Open both, pair their streams, measure each, check the limits."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from embdc_cli.archive import Archive
from embdc_cli.comparison.block import bits_equal
from embdc_cli.comparison.gates import check_limits, missed
from embdc_cli.comparison.head import Probing, read_probing
from embdc_cli.comparison.opening import Side, content_format, opened
from embdc_cli.comparison.pairing import Pair, paired
from embdc_cli.comparison.probe import Probe
from embdc_cli.comparison.stream import measure
from embdc_cli.dtypes import FLOATS
from embdc_cli.errors import TargetMissed, UsageError
from embdc_cli.metrics import sizes
from embdc_cli.options import CompareOptions, EncodeOptions
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter
from embdc_cli.traffic import Traffic
from embdc_cli.values import Tensor

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput


def compare(
    reference: str | ArrayInput, other: str | ArrayInput, options: CompareOptions, reporter: Reporter
) -> dict[str, Any]:
    """The `--json` document of `embdc compare`: every measure of every stream of `other`. exit: 0, or 4 beyond a limit.

    reference, other: dumps or archives, as paths or URLs, or arrays.
    Raises: UsageError when streams or shapes do not match, SourceError, CorruptArchive, UnsupportedArchive,
    MissingModel.
    """
    check_limits(options)
    probing = read_probing(options, reporter)
    reading = EncodeOptions(key=options.key, input_format=options.input_format, raw=options.raw, axes=options.axes)
    # --raw is for the second as well where its content does not tell what it is
    unknown = isinstance(other, str) and content_format(other) is None
    reading_other = reading if unknown else EncodeOptions()
    with (
        opened(reference, reading, options.codebooks, reporter) as first,
        opened(other, reading_other, options.codebooks, reporter) as second,
        one_blas_thread(),
    ):
        pairs = _pairs(first, second, options.key, reporter)
        measured = [pair for pair in pairs if _is_measured(pair, first)]
        probes = _probes(probing, measured)
        streams = []
        for pair in measured:
            timeline = second.timelines.get(pair.name) or first.timelines.get(pair.reference.spec.name)
            progress = partial(_progress, reporter, f"compare {pair.name}")
            streams.append(measure(pair, timeline, probes.get(pair.name), progress))
        beyond = missed(streams, options)
        archives = [side.archive for side in (first, second) if side.archive is not None]
        document = {
            "reference": first.shown,
            "other": second.shown,
            **_rate(second),
            "streams": streams,
            "companions": [{"name": one.name, "identical": bits_equal(one)} for one in pairs if one not in measured],
            "missed": beyond,
            "io": Traffic.total(one.reader.traffic for one in archives).document(),
            "exit": TargetMissed.exit_code if beyond else 0,
        }
    finite: dict[str, Any] = _finite(document)
    return finite


def _progress(reporter: Reporter, stage: str, done: int, total: int) -> None:
    reporter.progress(stage, done, total, "rows")


def _probes(probing: Probing | None, pairs: list[Pair]) -> dict[str, Probe]:
    """A probe for every stream that the head fits. Raises: UsageError when it fits none."""
    if probing is None:
        return {}
    probes = {pair.name: probing.probe(pair) for pair in pairs if probing.fits(pair)}
    if not probes:
        channels = ", ".join(f"{pair.layout.channels} of {pair.name}" for pair in pairs)
        raise UsageError(
            f"--probe: expected a head for the channels of a stream ({channels}), found one for "
            f"{probing.head.channels}",
            hint="the weight is a matrix (classes, channels)",
        )
    return probes


def _pairs(first: Side, second: Side, key: str | None, reporter: Reporter) -> list[Pair]:
    others = second.tensors
    if key is not None and len(others) > 1 and key in others:
        others = {key: others[key]}
    names = (first.shown, second.shown)
    pairs = paired(first.tensors, others, names, axes_of_other=second.archive is not None and first.archive is None)
    if not pairs:
        raise UsageError(f"{second.shown}: expected streams, found none")
    left_out = [name for name in first.tensors if len(first.tensors) > 1 and name not in others]
    if left_out:
        reporter.note(f"{second.shown} does not have all of {first.shown}: {', '.join(left_out[:8])} not compared")
    return pairs


def _is_measured(pair: Pair, first: Side) -> bool:
    """Whether a pair holds embeddings, rather than times, counts or ids, which are the same or wrong."""
    types = {pair.reference.spec.dtype, pair.other.spec.dtype}
    return types <= set(FLOATS) and pair.reference.spec.name not in first.exact


def _rate(second: Side) -> dict[str, Any]:
    """Bytes of an archive, all of them, over all its values; nulls for a dump."""
    if second.archive is None:
        return dict.fromkeys(("file_bytes", "bits_per_value", "external_codebook_bytes"))
    values = sum(_values(tensor) for tensor in second.tensors.values())
    file_bytes = second.archive.reader.file_bytes
    return {
        "file_bytes": file_bytes,
        "bits_per_value": sizes(values, file_bytes, 0)["bits_per_value"],
        "external_codebook_bytes": _external(second.archive),
    }


def _values(tensor: Tensor) -> int:
    rows = tensor.spec.known_rows if tensor.token_counts is None else int(tensor.token_counts.sum())
    return rows * tensor.spec.row_values


def _external(archive: Archive) -> int:
    """Bytes of the codebooks that the archive needs and does not hold."""
    reader = archive.reader
    return sum(size for digest, size in reader.codebooks().items() if reader.codebook(digest) is None)


def _finite(value: Any) -> Any:
    """JSON has no infinity: an error relative to nothing is None."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
