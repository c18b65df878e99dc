"""Inputs that a process of a training holds open, and tensors that say where they are, to be read by any of them.

A video is embedded once by the process that comes to it first, which holds its rows in scratch files until it ends. Of
other inputs, which are cheap to open, a few are held.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embdc_cli.codebook.opening import open_any
from embdc_cli.errors import SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.values import Dump, StreamSpec

MOST_HELD: Final = 16
"""Inputs that are not videos."""


@dataclass(frozen=True)
class Input:
    """name: absolute path or URL. embedded: whether it is a video, whose rows took long to make."""

    name: str
    reading: EncodeOptions
    embedded: bool = False


@dataclass(frozen=True, eq=False)
class Distant:
    """Tensor `number` of item `item` of an input, in whichever process it is read."""

    input: Input
    item: int
    number: int
    spec: StreamSpec
    token_counts: np.ndarray | None

    def read(self, start: int, stop: int) -> np.ndarray:
        items = _held(self.input, Silent())
        found = items[self.item].tensors if self.item < len(items) else []
        if self.number >= len(found) or found[self.number].spec != self.spec:
            raise SourceError(f"{self.input.name}: changed since it was opened first", hint="begin anew")
        return found[self.number].read(start, stop)


_open: OrderedDict[str, list[Dump]] = OrderedDict()
"""The last used at the end."""


def described(given: Input, reporter: Reporter) -> list[Dump]:
    """The items of an input, with distant tensors. Raises: as `open_any`."""
    items = _held(given, reporter)
    given = replace(given, embedded=_embedded(items))
    return [
        Dump(
            [Distant(given, i, n, tensor.spec, tensor.token_counts) for n, tensor in enumerate(item.tensors)],
            timed_streams=item.timed_streams,
            source=item.source,
            encoder=item.encoder,
            warnings=item.warnings,
            exact_streams=item.exact_streams,
        )
        for i, item in enumerate(items)
    ]


def _held(given: Input, reporter: Reporter) -> list[Dump]:
    if given.name not in _open:
        _open[given.name] = list(open_any(given.name, given.reading, reporter))
    _open.move_to_end(given.name)
    others = [name for name, items in _open.items() if not _embedded(items)]
    for name in others[: max(0, len(others) - MOST_HELD)]:
        for item in _open.pop(name):
            item.close()
    return _open[given.name]


def _embedded(items: list[Dump]) -> bool:
    return any(item.source.get("kind") == "video" for item in items)
