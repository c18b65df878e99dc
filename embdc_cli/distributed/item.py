"""One item of a batch, wherever it is encoded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from embdc_cli import batch
from embdc_cli.batch import Document
from embdc_cli.options import PATCH_DCT, EncodeOptions
from embdc_cli.remote.filesystem import is_url
from embdc_cli.reporter import Reporter, Silent

_SILENT = Silent()


def encode_item(item: Mapping[str, str], options: EncodeOptions, reporter: Reporter = _SILENT) -> Document:
    """The document of `item`, `{input, output}` (paths that this machine knows, or URLs), after encoding it.

    It is what `embdc encode --json` prints. An input that fails is a document too, with status `failed`, the `exit`
    that fits, and `error {message, hint}`. The output appears complete or not at all, so that an item may be given to
    several machines one after the other; with `options.skip_existing` one that is there is not made again.
    Raises: only what stops the program: KeyboardInterrupt, SystemExit, and Stopped where work is kept.
    """
    document, error = attempt(item, options, reporter)
    if error is not None and document["status"] == "stopped":
        raise error
    return document


def attempt(
    item: Mapping[str, str], options: EncodeOptions, reporter: Reporter
) -> tuple[Document, BaseException | None]:
    """The document of `item`, also of one that was stopped, and why there is no result if there is none."""
    from embdc_cli import pipeline  # where an item is encoded, not where it is sent from

    return batch.attempt(dict(item), lambda job: pipeline.encode(job["input"], job["output"], options, reporter))


class Notes:
    """The reporter of a worker: notes travel back with what it found."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        del stage, done, total, unit


def with_absolute_paths(options: EncodeOptions) -> EncodeOptions:
    """The options for a process with another working folder."""
    found: dict[str, Any] = {}
    if options.codebook is not None:
        found["codebook"] = absolute(options.codebook)
    if options.weighting not in ("none", "channel", "token"):
        found["weighting"] = absolute(options.weighting)
    local = options.encoder_kind() != PATCH_DCT and options.encoder is not None and os.path.exists(options.encoder)
    if local:  # else it is a name of the hub
        found["encoder"] = absolute(str(options.encoder))
    if options.add:
        from embdc_cli.source import beside  # beside numpy

        found["add"] = tuple(beside.with_paths(text, absolute) for text in options.add)
    return replace(options, **found)


def absolute(path: str) -> str:
    """The path for a process with another working folder; a URL is one anywhere."""
    return path if is_url(path) else os.path.abspath(path)
