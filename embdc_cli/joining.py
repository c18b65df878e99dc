"""`embdc cat`: archives joined without re-encoding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from embdc_cli.container.join import Mode
from embdc_cli.container.join import join as join_parts
from embdc_cli.container.readahead import Range
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.spec import OPENING_BYTES
from embdc_cli.container.storage import LocalFile, Storage, open_storage
from embdc_cli.errors import IncompleteError, SourceError, UsageError
from embdc_cli.output import CountedOutput, check_not_input, destination
from embdc_cli.remote.filesystem import is_url
from embdc_cli.traffic import Traffic

MODES = ("time", "items")


def cat(inputs: Sequence[str], output: str, *, join: str | None = None, force: bool = False) -> dict[str, Any]:
    """Join `inputs` into `output` (`-`: stdout) and return the `--json` document.

    join: "time" makes one longer stream of parts with equal recipe and layout, "items" keeps them apart. Default:
    "items" where the recorded names of items differ, else "time".
    Raises: UsageError for parts that do not fit, IncompleteError for an incomplete input, CorruptArchive.
    """
    if join is not None and join not in MODES:
        raise UsageError(f"--join: expected one of {', '.join(MODES)}, found {join!r}")
    check_not_input(output, *inputs)
    with ExitStack() as stack:
        readers = []
        for path in inputs:
            reader = stack.enter_context(ArchiveReader(_storage(path)))
            if not reader.complete:
                raise IncompleteError(f"cat: {path} is incomplete", hint="encode it again, or with --resume")
            if reader.file_bytes > OPENING_BYTES:  # thousands of parts are open at once; a smaller one is all there
                reader.storage.forget()
            readers.append(reader)
        apart = join == "items" or (join is None and _named_apart(readers))
        mode: Mode = "items" if apart else "time"
        with destination(output, force=force) as out:
            counted = CountedOutput(out)
            join_parts(readers, counted, mode=mode)
    headers = [part.header for reader in readers for part in reader.parts]
    return {
        "output": output,
        "inputs": list(inputs),
        "join": mode,
        "items": sum(item.clock is None for header in (headers if apart else headers[:1]) for item in header.items),
        "streams": list(dict.fromkeys(stream.name for reader in readers for stream in reader.streams)),
        "file_bytes": counted.bytes,
        "io": Traffic.total(reader.traffic for reader in readers).document(),
        "exit": 0,
    }


def _named_apart(readers: Sequence[ArchiveReader]) -> bool:
    """Whether the items of the parts have names, and not all the same."""
    return len({tuple(item.name for item in part.header.items) for reader in readers for part in reader.parts}) > 1


def _storage(path: str) -> Storage:
    return open_storage(path) if is_url(path) else _OpenedToRead(path)


class _OpenedToRead(Storage):
    """A local file that is open only while it is read: the parts of an array job are more than descriptors."""

    def __init__(self, path: str) -> None:
        file = LocalFile(path)
        file.close()
        super().__init__(file.name, file.size)

    def _fetch(self, ranges: Sequence[Range]) -> list[bytes]:
        file = LocalFile(self.name)
        try:
            if file.size != self.size:
                raise SourceError(f"{self.name}: changed while it was read, {self.size} bytes became {file.size}")
            return self._counted(file.read_many(ranges))
        finally:
            file.close()
