"""`embdc inspect --stats` of a dump, and of the values of an archive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from embdc_cli.archive import Archive
from embdc_cli.comparison.opening import content_format, opened_dump
from embdc_cli.distribution.describe import Show, describe_all
from embdc_cli.options import EncodeOptions
from embdc_cli.output import atomic_output
from embdc_cli.reporter import Reporter
from embdc_cli.source.detect import chosen_format


def dump_format(path: str, reading: EncodeOptions) -> str | None:
    """Which format of dump is at `path`; None for an archive and for what nothing knows."""
    form = chosen_format(reading) or content_format(path)
    return None if form == "embdc" else form


def dump_document(
    path: str, form: str, reading: EncodeOptions, plots: str | None, force: bool, reporter: Reporter
) -> dict[str, Any]:
    """The `--json` document of `embdc inspect --stats DUMP`. plots: a folder for a PNG of every tensor.

    Raises: UsageError, also for a video, SourceError, OutputExists.
    """
    with opened_dump(path, reading, reporter) as dump:
        tensors = {tensor.spec.name: tensor for tensor in dump.tensors}
        found = describe_all(tensors, dump.exact_streams, reporter, _shown(path, plots, force))
    return {"path": path, "format": form, **found, "exit": 0}


def archive_values(
    path: str, codebooks: Sequence[str], plots: str | None, force: bool, reporter: Reporter
) -> dict[str, Any]:
    """{distribution, skipped} of a sample of the values of an archive.

    Raises: CorruptArchive for damaged rows, MissingModel, OutputExists.
    """
    with Archive(path, codebooks=codebooks) as archive:
        tensors = {name: archive[name] for name in archive}
        return describe_all(tensors, frozenset(), reporter, _shown(path, plots, force))


def _shown(path: str, folder: str | None, force: bool) -> Show | None:
    """Writes FOLDER/STEM.NAME.png."""
    if folder is None:
        return None
    stem = PurePath(path).stem

    def write(name: str, png: bytes) -> None:
        with atomic_output(os.path.join(folder, f"{stem}.{name}.png"), force=force) as out:
            out.write(png)

    return write
