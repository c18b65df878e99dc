"""Which streams of two inputs belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec, Tensor


@dataclass(frozen=True)
class Pair:
    """A stream of the reference and the stream of the other input that is compared with it.

    layout: the spec whose axes say what tokens are in both. An archive knows them; a dump of the same tensor does not.
    """

    name: str
    reference: Tensor
    other: Tensor
    layout: StreamSpec

    @property
    def one_type(self) -> bool:
        """Whether both are of one element type."""
        return self.reference.spec.dtype == self.other.spec.dtype

    @property
    def token_counts(self) -> np.ndarray:
        """Tokens of every row, (T,) int64."""
        if self.reference.token_counts is not None:
            return self.reference.token_counts
        tokens = self.layout.row_values // self.layout.channels if self.layout.channels else 0
        return np.full(self.layout.known_rows, tokens, np.int64)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return int(self.token_counts.sum())


def paired(
    reference: Mapping[str, Tensor], other: Mapping[str, Tensor], names: tuple[str, str], *, axes_of_other: bool
) -> list[Pair]:
    """Every stream of `other` with the one of its name in `reference`; two lone streams match whatever their names.

    names: of the two inputs, for messages. Raises: UsageError when one has no counterpart or another shape.
    """
    if len(reference) == len(other) == 1:
        reference = dict.fromkeys(other, *reference.values())  # a single array has no name of its own
    missing = [name for name in other if name not in reference]
    if missing:
        raise UsageError(
            f"{names[0]} has no stream {missing[0]!r}, which {names[1]} has", hint=f"it has {', '.join(reference)}"
        )
    pairs = []
    for name, tensor in other.items():
        _check_shape(name, reference[name], tensor, names)
        layout = tensor.spec if axes_of_other else reference[name].spec
        pairs.append(Pair(name, reference[name], tensor, layout))
    return pairs


def _check_shape(name: str, reference: Tensor, other: Tensor, names: tuple[str, str]) -> None:
    expected, found = list(reference.spec.shape), list(other.spec.shape)
    if expected != found or reference.spec.timed != other.spec.timed:
        hint = "one of them may be incomplete, see embdc verify" if expected[1:] == found[1:] else None
        raise UsageError(
            f"stream {name!r}: shapes differ, expected {expected} as in {names[0]}, found {found} in {names[1]}",
            hint=hint,
        )
    counts, others = reference.token_counts, other.token_counts
    if counts is not None and others is not None and not np.array_equal(counts, others):
        row = int(np.argmax(counts != others))
        raise UsageError(
            f"stream {name!r}: token counts differ, expected {int(counts[row])} in row {row} as in {names[0]}, "
            f"found {int(others[row])} in {names[1]}"
        )
