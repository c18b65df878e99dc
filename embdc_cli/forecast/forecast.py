"""`embdc plan`: an input sampled, and every row predicted from the sample."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from embdc_cli import dtypes
from embdc_cli.comparison.head import read_head
from embdc_cli.comparison.probe import Head
from embdc_cli.device import check_device
from embdc_cli.encoding.planning import RECENT_BYTES
from embdc_cli.errors import ResourceError, SourceError, TargetMissed, UsageError
from embdc_cli.forecast.calibration import calibrated
from embdc_cli.forecast.fits import SharedFits
from embdc_cli.forecast.options import PlanOptions
from embdc_cli.forecast.prediction import predict
from embdc_cli.forecast.probe import ProbeSums
from embdc_cli.forecast.rows import Row
from embdc_cli.forecast.sampling import VideoSample, draw
from embdc_cli.inputs import open_input
from embdc_cli.options import EncodeOptions
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.values import Dump, Feed

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput

_SILENT = Silent()


def forecast(
    source: str | ArrayInput, options: PlanOptions | None = None, reporter: Reporter = _SILENT
) -> dict[str, Any]:
    """The `--json` document of `embdc plan` for a video, a dump, `-` (stdin) or arrays.

    Raises: EmbdcError of the kind that fits, as `encode` would.
    """
    options = options or PlanOptions()
    rows = [Row.parse(name) for name in options.rows]
    head = read_head(options.probe, reporter) if options.probe is not None else None
    check_device(options.coding.device)
    video = VideoSample(options.coding.chunk_frames, options.sample, options.seed)
    started = time.perf_counter()
    opened = open_input(source, options.coding, reporter, video)
    try:
        at_opening = dict(opened.source)
        dump = _readable(opened, options)
        embed_seconds = None
        if video.rows:
            embed_seconds = (time.perf_counter() - started) * video.rows / video.embedded_rows
            dump, sample = video.of(dump)
        else:
            sample = draw(dump, options.coding.chunk_frames, options.sample, options.seed)
        if head is not None:
            _check_head(head, sample.dump)
        sample = calibrated(sample)
        lines: dict[str, dict[str, Any]] = {}
        fits = SharedFits(RECENT_BYTES)
        with one_blas_thread():
            _warm_up(rows)
            # rows of one effort after another, while their fits are in memory
            for row in sorted(rows, key=lambda row: row.options(options.coding).effort_level()):
                sums = ProbeSums(head) if head is not None else None
                predicted = predict(sample, at_opening, row.options(options.coding), fits, sums, reporter)
                lines[row.name] = {"name": row.name, "preset": row.preset, **predicted}
                if sums is not None:
                    lines[row.name]["probe"] = sums.summary()
                reporter.progress("plan", len(lines), len(rows), "rows")
        for warning in opened.warnings:
            reporter.note(warning)
    finally:
        opened.close()
    return {
        "input": source if isinstance(source, str) else None,
        "values": sample.all_values,
        "raw_bytes": sample.all_bytes,
        "streams": [
            {"name": tensor.spec.name, "shape": list(tensor.spec.shape), "dtype": tensor.spec.dtype}
            for tensor in dump.tensors
        ],
        "sample": {
            "chunks": sample.sampled_chunks,
            "of_chunks": sample.all_chunks,
            "complete": sample.parts is None,
        },
        "embed_s": embed_seconds,
        "rows": [lines[row.name] for row in rows],
        "exit": 0,
    }


def _warm_up(rows: Sequence[Row]) -> None:
    """Load and compile what the rows need, for a few values, so that none pays for it in the time of its own."""
    few = np.random.default_rng(0).standard_normal((64, 4, 8)).astype(np.float16)
    for row in rows:
        dump = open_input(few, EncodeOptions(), _SILENT)
        assert isinstance(dump, Dump)
        with suppress(TargetMissed):  # header and models are more than a ceiling allows for so few
            sample, fits = draw(dump, None, few.nbytes, 0), SharedFits(RECENT_BYTES)
            predict(sample, {}, row.options(EncodeOptions()), fits, None, _SILENT)


def _readable(opened: Dump | Feed, options: PlanOptions) -> Dump:
    """The input as a dump; what can be read only once is spooled. Raises: SourceError for a video that is damaged."""
    if isinstance(opened, Dump):
        return opened
    from embdc_cli.source.spool import SpoolFull, spool

    try:
        dump = spool(opened, options.coding.spool_max)
    except SpoolFull as full:
        full.feed.close()
        raise ResourceError(full.message, hint="raise --spool-max, or save the input first") from full
    if dump.incomplete:
        raise SourceError(dump.incomplete)
    return dump


def _check_head(head: Head, dump: Dump) -> None:
    found = sorted({tensor.spec.channels for tensor in dump.tensors if tensor.spec.dtype in dtypes.FLOATS})
    if head.channels not in found:
        raise UsageError(
            f"--probe: expected weights for {' or '.join(map(str, found))} channels, found {head.channels}",
            hint="the weight of a linear head has shape (classes, channels)",
        )
