"""`embdc verify`: every checksum, the structure, and on request the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from embdc_cli import batch
from embdc_cli.batch import Document
from embdc_cli.cli import library, streams
from embdc_cli.cli.console import Console
from embdc_cli.cli.lines import verified
from embdc_cli.cli.options import Codebooks, Words
from embdc_cli.cli.parameters import command, flag, option
from embdc_cli.errors import UsageError

EXAMPLES = """
embdc verify talk.embdc
embdc verify out/*.embdc --json
embdc verify talk.embdc --deep
embdc verify feats.embdc --against feats.npy
"""

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Archives, as paths or URLs.")]


@dataclass(frozen=True)
class Comparison:
    """What of an archive is tested besides its checksums and structure."""

    TITLE: ClassVar = "Checks"

    deep: Annotated[
        bool, flag("--deep", help="Also check all digests, and the integers that every chunk decodes to.")
    ] = False

    against: Annotated[
        str | None, option("--against", metavar="DUMP", help="Also compare the values with the original.")
    ] = None
    key: Annotated[str | None, option("--key", metavar="NAME", help="Only this dataset or tensor of DUMP.")] = None
    codebook: Codebooks = None


def verify(paths: Paths, comparison: Comparison, words: Words) -> int:
    """Test archives: all checksums and the structure, without writing anything."""
    console = Console(**vars(words))
    streams.refuse_stdin(paths)
    if comparison.against is not None and len(paths) > 1:
        raise UsageError(f"--against: one dump for {len(paths)} archives, expected one archive")
    if comparison.key is not None and comparison.against is None:
        raise UsageError("--key: needs --against DUMP")

    def finished(item: Document, error: BaseException | None) -> None:
        reporter.close()
        if error is not None:
            console.failure(error, item["path"] if len(paths) > 1 else None)
        elif not words.json and not (words.quiet and item["ok"]):
            for line in verified(item, verbose=words.verbose):
                console.data(line)

    codebooks = tuple(comparison.codebook or ())
    with console.reporting() as reporter:

        def work(job: Document) -> Document:
            return library.verify(
                job["path"],
                against=comparison.against,
                key=comparison.key,
                deep=comparison.deep,
                codebooks=codebooks,
                reporter=reporter,
            )

        items = batch.run([{"path": path} for path in paths], work, finished=finished)
    document = batch.summary(items, len(paths)) if len(paths) > 1 else items[0]
    if words.json:
        console.document(document)
    return int(document["exit"])


app = command(verify, EXAMPLES)
