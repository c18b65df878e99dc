"""`embdc split`: an archive cut in time, its chunks copied and not encoded again."""

from __future__ import annotations

import os
from typing import Any, Final

from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.split import spans, write_span
from embdc_cli.errors import UsageError
from embdc_cli.output import CountedOutput, atomic_output, check_not_input, check_output
from embdc_cli.source.time_spec import parse_time
from embdc_cli.worklist import output_name

NUMBER: Final = "{n}"


def split(archive: str, output: str | None, *, every: str, force: bool = False) -> dict[str, Any]:
    """Cut `archive` each `every` (a time such as 10m) and return the `--json` document.

    output: names of the parts, with {n} where the number goes, counted from 0 with as many digits as the last one has;
    None: NAME-{n}.embdc beside the archive. No part is begun unless the names of all are free.
    Raises: UsageError, OutputExists, IncompleteError, CorruptArchive, SourceError, ResourceError.
    """
    seconds = parse_time(every, option="--every")
    if not seconds:
        raise UsageError("--every: expected a time above 0, found 0")
    pattern = output if output is not None else output_name(archive, None, f"-{NUMBER}.embdc")
    if NUMBER not in os.path.basename(pattern):
        raise UsageError(
            f"output: {pattern}: expected {NUMBER} in the file name", hint="for example -o 'part-{n}.embdc'"
        )
    with ArchiveReader.open(archive) as reader:
        found = spans(reader, seconds)
        digits = len(str(len(found) - 1))
        names = [pattern.replace(NUMBER, f"{number:0{digits}d}") for number in range(len(found))]
        for name in names:
            check_not_input(name, archive)
            check_output(name, force=force)
        parts = []
        for name, span in zip(names, found, strict=True):
            with atomic_output(name, force=force) as out:
                counted = CountedOutput(out)
                write_span(reader, span, counted)
            rows = max(stop - start for start, stop in span.rows)
            parts.append({"output": name, "rows": rows, "seconds": list(span.seconds), "file_bytes": counted.bytes})
        io = reader.traffic.document()
    return {"archive": archive, "every": float(seconds), "outputs": parts, "io": io, "exit": 0}
