"""encode() and decode(): how everything fits together. Read this first.

encode:  source -> (embedder) -> dump -> plan -> choose steps -> chunks -> container
decode:  container -> chunks -> slices -> sink, or what a language model takes (handoff)

A source that can be read only once (a pipe, a video being embedded) is spooled and then treated like any dump, or
coded causally with `one_pass`. Both functions return what their command prints with `--json`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from embdc_cli import error_feedback
from embdc_cli.container.header import recipe_digest
from embdc_cli.device import check_device
from embdc_cli.encoding import causal, delivery, twopass
from embdc_cli.encoding.codebooks import chosen_codebook
from embdc_cli.encoding.recipe import recipe_of
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.forecast.best_codec import best_codec
from embdc_cli.inputs import open_input
from embdc_cli.options import DecodeOptions, EncodeOptions
from embdc_cli.output import check_not_input, check_output
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.source import beside
from embdc_cli.values import AddedStream, Dump, Feed

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput

_SILENT = Silent()
_RESIDUALS = ("residual_in", "residual_out")


def encode(
    source: str | ArrayInput, output: str, options: EncodeOptions | None = None, reporter: Reporter = _SILENT
) -> dict[str, Any]:
    """Encode a video, a dump, `-` (stdin) or arrays into the archive `output` (`-`: stdout).

    Raises: EmbdcError of the kind that fits; the output is complete or not there.
    """
    options = options or EncodeOptions()
    started = time.monotonic()
    check_device(options.device)
    options.check_codec()
    _check_one_pass(options)
    _check_residuals(options, source, output)
    _check_additions(options)
    codebook = chosen_codebook(options)
    recipe = recipe_of(options, codebook)
    digest = recipe_digest(recipe)
    destination = delivery.begin(source, output, options, digest)
    candidates: list[dict[str, Any]] = []
    with delivery.cleaned_up(destination, resume=options.resume), one_blas_thread(), ExitStack() as stack:
        begun = twopass.begun_schedule(destination.work) if options.resume and not options.dry_run else ()
        others = stack.enter_context(beside.opened(options.add, options))
        opened = open_input(source, options, reporter, None, begun)
        stack.callback(lambda: opened.close())  # what it closes may change: a feed is spooled
        at_opening = dict(opened.source)
        if options.skip_existing:
            name = opened.name if options.record_name else None
            current = delivery.current_bytes(output, digest, opened.source, name, others, append=options.append)
            if current is not None:
                return delivery.skipped(destination, current)
            delivery.check_free(destination, force=options.force)
        _check_beside(opened, others)
        readable = _spooled(opened, options, reporter) if isinstance(opened, Feed) else opened
        readable.beside = others
        if isinstance(readable, Feed) or options.one_pass:
            result = causal.encode_feed(readable, at_opening, destination, options, recipe, reporter)
        else:
            if options.residual_in is not None:
                readable = stack.enter_context(error_feedback.corrected(readable, options.residual_in))
            if options.residual_out is not None:
                error_feedback.check_residual(options.residual_out, readable)
            if _tries_codecs(options):
                codec, candidates = best_codec(readable, at_opening, options, reporter)
                options = replace(options, codec=codec)
            result = twopass.encode_dump(readable, at_opening, destination, options, recipe, codebook, reporter)
            if options.residual_out is not None and not options.dry_run:
                error_feedback.write_residual(options.residual_out, readable, output, force=options.force)
        for warning in [*opened.warnings, *(warning for one in others for warning in one.warnings)]:
            reporter.note(warning)
    result["candidates"] = candidates
    result["seconds"]["total"] = time.monotonic() - started
    return result


def _tries_codecs(options: EncodeOptions) -> bool:
    return options.codec == "auto" and options.target().kind != "lossless"


def _check_one_pass(options: EncodeOptions) -> None:
    """Refuse what needs the whole input before the first chunk."""
    for name, asked in (
        ("codebook", options.codebook),
        ("dry-run", options.dry_run),
        ("resume", options.resume),
        ("codec auto", options.codec == "auto"),
    ):
        if options.one_pass and asked:
            raise UsageError(f"--{name}: not with --one-pass", hint="leave out one of them")


def _check_additions(options: EncodeOptions) -> None:
    """Refuse what does not go with streams beside the input, and additions that cannot be read, before any work."""
    beside.additions(options.add)
    if options.add and (given := options.given(_RESIDUALS)):
        raise UsageError(f"--add: not with {given[0]}")


def _check_beside(opened: Dump | Feed, others: Sequence[AddedStream]) -> None:
    """Raises: UsageError for an input without a clock, or streams of one name."""
    own = opened.specs if isinstance(opened, Feed) else [tensor.spec for tensor in opened.tensors]
    timed = opened.timebase is not None if isinstance(opened, Feed) else opened.timeline is not None
    if others and not timed:
        raise UsageError(
            "--add: the input keeps no times that others could go by",
            hint="a video does, and a dump with a dataset `timestamps`",
        )
    for one in others:
        if one.tensor.spec.name in {spec.name for spec in own}:
            raise UsageError(
                f"--add: {one.tensor.spec.name}: the input has a stream of that name", hint="choose another"
            )


def _check_residuals(options: EncodeOptions, source: str | ArrayInput, output: str) -> None:
    """Refuse what error feedback cannot go with: it reads the input twice, and the archive afterwards."""
    given = options.given(_RESIDUALS)
    if given and (options.one_pass or options.append or options.skip_existing or output == "-"):
        raise UsageError(f"{given[0]}: not with --one-pass, --append, --skip-existing or standard output")
    if options.residual_out is not None:
        check_output(options.residual_out, force=options.force)
        if isinstance(source, str):
            check_not_input(options.residual_out, source)


def _spooled(feed: Feed, options: EncodeOptions, reporter: Reporter) -> Dump | Feed:
    """The feed as a re-readable dump; the feed itself for one pass, and when it outgrows --spool-max."""
    from embdc_cli.source.spool import SpoolFull, spool

    if options.one_pass:
        return feed
    try:
        dump = spool(feed, options.spool_max)
    except SpoolFull as full:
        if options.codebook is not None or options.dry_run or _tries_codecs(options) or options.given(_RESIDUALS):
            raise  # all of these need the whole input before the first chunk
        reporter.note(f"input is larger than --spool-max ({options.spool_max} bytes): coding it in one pass")
        return full.feed
    if dump.incomplete:
        if not options.keep_going:
            raise SourceError(dump.incomplete, hint="--keep-going encodes the part that is good")
        reporter.note(dump.incomplete)
    return dump


def decode(
    archive: str, output: str, options: DecodeOptions | None = None, reporter: Reporter = _SILENT
) -> dict[str, Any]:
    """Decode an archive (path, URL, or `-` for stdin), or the part of it asked for, into a dump (`-`: stdout).

    With `consumer` into the tensors that a serving stack takes.

    Raises: EmbdcError of the kind that fits; the output is complete or not there.
    """
    from embdc_cli.decoding import decode_archive

    options = options or DecodeOptions()
    if options.consumer is not None and not options.follow:
        from embdc_cli import handoff

        return handoff.write(archive, output, options, reporter)
    return decode_archive(archive, output, options, reporter)
