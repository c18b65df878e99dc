"""The engine of `embdc train-codebook` on a Ray cluster: workers open the inputs and make every pass over them.

What comes back are sums, counts, curves, and samples: those that levels are learnt from (`codebook.vector.clips`), and
the network (`codebook.reconstruction.pairs`). All is joined here in the order of the inputs (`codebook.engine`), so
that the codebook has the bytes of one trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

from embdc_cli.codebook.corpus import Rows
from embdc_cli.distributed.cluster import Workers, connected
from embdc_cli.distributed.holding import Distant, Input, described
from embdc_cli.distributed.item import Notes, absolute, with_absolute_paths
from embdc_cli.distributed.outcome import Lost, Outcome, ordered
from embdc_cli.distributed.pool import Pool
from embdc_cli.errors import EmbdcError, ResourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump

R = TypeVar("R")

_LEAST_PIECES: Final = 24
"""What some passes come in however few inputs there are, so that more workers than inputs have work."""
_AHEAD: Final = 2
"""Results that may wait for their turn, for each worker."""


@dataclass(frozen=True)
class _Call:
    """A call on its way to a worker. input: what it reads, which the user calls `shown`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    input: Input
    shown: str

    @property
    def home(self) -> Hashable | None:
        return self.input.name if self.input.embedded else None


class OnCluster:
    """`Engine` on `workers` of the cluster at `address`, to which it is connected as long as it is in use."""

    def __init__(self, inputs: Sequence[str], *, address: str | None, workers: Workers, reporter: Reporter) -> None:
        self._shown = {absolute(name): name for name in inputs}
        self._address, self._workers, self._reporter = address, workers, reporter
        self._stack = ExitStack()

    def __enter__(self) -> OnCluster:
        with ExitStack() as stack:
            stack.enter_context(connected(self._address))
            most = max(len(self._shown), _LEAST_PIECES)
            pool: Pool[_Call, Any] = Pool(_called, self._workers, most=most, note=self._reporter.note)
            self._pool = stack.enter_context(pool)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def open(self, inputs: Sequence[str], reading: EncodeOptions, reporter: Reporter) -> Iterator[Iterable[Dump]]:
        sent = with_absolute_paths(reading)
        given = [Input(absolute(name), sent) for name in inputs]
        calls = [_Call(_opened, (one,), one, name) for one, name in zip(given, inputs, strict=True)]
        # nobody knows yet which of them are videos, that are to stay where they were embedded
        for dumps, notes in self._results(calls, lambda call: call.input.name):
            for note in notes:
                reporter.note(note)
            yield dumps

    def map(self, function: Callable[..., R], items: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        calls = []
        for item in items:
            given = _input_of(item[0])
            calls.append(_Call(function, item, given, self._shown[given.name]))
        return self._results(calls, lambda call: call.home)

    def _results(self, calls: Sequence[_Call], home: Callable[[_Call], Hashable | None]) -> Iterator[Any]:
        for outcome in ordered(self._pool.map(calls, ahead=_AHEAD * self._pool.count, home=home)):
            yield _result(outcome)


def _input_of(tensor: Any) -> Input:
    while isinstance(tensor, Rows):
        tensor = tensor.tensor
    assert isinstance(tensor, Distant)
    return tensor.input


def _called(call: _Call) -> Any:
    """On a worker."""
    with one_blas_thread():
        return call.function(*call.arguments)


def _opened(given: Input) -> tuple[list[Dump], list[str]]:
    """On a worker: what an input holds, and notes to the user."""
    reporter = Notes()
    return described(given, reporter), reporter.notes


def _result(outcome: Outcome[_Call, Any]) -> Any:
    """What the call returns. Raises: what it raises, in the words of a training here."""
    error, call = outcome.error, outcome.item
    if isinstance(error, Lost):
        raise ResourceError(f"{call.shown}: {error.message}", hint=error.hint) from error
    if isinstance(error, EmbdcError):
        error.message = error.message.replace(call.input.name, call.shown)
        error.args = (error.message,)
    return outcome.value()
