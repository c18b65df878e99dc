"""Where a training reads its inputs: here, or wherever an engine does it, with the same outcome to the bit.

Every pass over inputs is a function of one stream, or of a block of one, whose results are joined in the order of the
inputs: so nothing depends on who computes which of them, nor on which is done first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar

from embdc_cli.codebook.opening import open_any
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump

R = TypeVar("R")
OpenInput = Callable[[str, EncodeOptions, Reporter], Iterable[Dump]]


class Engine(Protocol):
    """What opens inputs and reads them. In use as a context."""

    def open(self, inputs: Sequence[str], reading: EncodeOptions, reporter: Reporter) -> Iterator[Iterable[Dump]]:
        """The items of each input in turn. Raises: as `open_any`, for the first input that fails."""

    def map(self, function: Callable[..., R], items: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """`function(*item)` of each item, in order. An item begins with the tensor (of `open`) that it reads.

        function: picklable, and the same wherever it is called. Raises: what it raises for the first that fails.
        """

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Here:
    """This process, one item after the other."""

    def __init__(self, open_input: OpenInput = open_any) -> None:
        self._open_input = open_input

    def open(self, inputs: Sequence[str], reading: EncodeOptions, reporter: Reporter) -> Iterator[Iterable[Dump]]:
        return (self._open_input(name, reading, reporter) for name in inputs)

    def map(self, function: Callable[..., R], items: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        return (function(*item) for item in items)

    def __enter__(self) -> Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


HERE = Here()


def told(results: Iterator[R], total: int, reporter: Reporter, stage: str, unit: str) -> Iterator[R]:
    """All `total` of the results; before each is waited for, progress is reported."""
    for done in range(total):
        reporter.progress(stage, done, total, unit)
        yield next(results)
