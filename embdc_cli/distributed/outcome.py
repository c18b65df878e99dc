"""What becomes of the items of a pool, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from embdc_cli.errors import ResourceError

T = TypeVar("T")
R = TypeVar("R")


class Lost(ResourceError):
    """The workers of an item were lost again and again."""


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of `item`, the one of number `index`: the result, or why there is none.

    error: what the function raised; `Lost`; Interrupted.
    """

    index: int
    item: T
    result: R | None = None
    error: BaseException | None = None

    def value(self) -> R:
        """The result. Raises: the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # R may itself be optional


def ordered(outcomes: Iterable[Outcome[T, R]]) -> Iterator[Outcome[T, R]]:
    """The outcomes of `Pool.map` in the order of their items; those that come early are held."""
    held: dict[int, Outcome[T, R]] = {}
    due = 0
    for outcome in outcomes:
        held[outcome.index] = outcome
        while due in held:
            yield held.pop(due)
            due += 1
