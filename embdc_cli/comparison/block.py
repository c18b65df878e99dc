"""Rows of a pair of streams, chunk by chunk, as token vectors: the input of every measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from embdc_cli.comparison.pairing import Pair
from embdc_cli.metrics import BLOCK_VALUES, ChannelMoments
from embdc_cli.tokens import as_tokens, cut_rows


@dataclass(frozen=True)
class Block:
    """Rows from `row0` on, whose tokens are those from `token0` on of the stream.

    x, y: (n, D) float32, reference and other, all finite: see `blocks`. counts: tokens of each row, (rows,) int64.
    lost: (n, D) bool, where only y is not finite; None where nothing is. identical: whether all bits are the same.
    """

    row0: int
    token0: int
    counts: np.ndarray
    x: np.ndarray
    y: np.ndarray
    lost: np.ndarray | None
    identical: bool

    def parts(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """(which tokens, x, y) in float64, few at a time."""
        size = max(1, BLOCK_VALUES // max(1, self.x.shape[1]))
        for start in range(0, len(self.x), size):
            part = slice(start, start + size)
            yield part, self.x[part].astype(np.float64), self.y[part].astype(np.float64)

    @cached_property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y as the mean of the tokens of each row, (rows, D) float64; zero in rows without tokens."""
        counts = np.maximum(self.counts, 1)[:, None]
        return sum_rows(self.x, self.counts) / counts, sum_rows(self.y, self.counts) / counts


def blocks(pair: Pair) -> Iterator[Block]:
    """All rows of a pair in order.

    What is not finite in the reference is 0 in both, as `metrics` leaves it out; what is not finite in the other only
    is 0 there and marked as lost.
    """
    counts, token0 = pair.token_counts, 0
    for start, stop in cut_rows(pair.reference, None):
        rows, others = pair.reference.read(start, stop), pair.other.read(start, stop)
        identical = pair.one_type and same_bits(rows, others)
        x = as_tokens(rows, replace(pair.layout, dtype=pair.reference.spec.dtype))
        y = as_tokens(others, replace(pair.layout, dtype=pair.other.spec.dtype))
        known, present = np.isfinite(x), np.isfinite(y)
        lost = known & ~present
        if not known.all():
            x = np.where(known, x, np.float32(0))
        if not (known & present).all():
            y = np.where(known & present, y, np.float32(0))
        yield Block(start, token0, counts[start:stop], x, y, lost if lost.any() else None, identical)
        token0 += len(x)


def reference_moments(pair: Pair) -> ChannelMoments:
    """Mean and deviation of every channel of the reference, read on its own."""
    moments = ChannelMoments(pair.layout.channels)
    for start, stop in cut_rows(pair.reference, None):
        rows = pair.reference.read(start, stop)
        x = as_tokens(rows, replace(pair.layout, dtype=pair.reference.spec.dtype))
        moments.add(np.where(np.isfinite(x), x, np.float32(0)))
    return moments


def bits_equal(pair: Pair) -> bool:
    """Whether two streams have one type and the same bits."""
    cuts = cut_rows(pair.reference, None)
    return pair.one_type and all(same_bits(pair.reference.read(*cut), pair.other.read(*cut)) for cut in cuts)


def same_bits(rows: np.ndarray, others: np.ndarray) -> bool:
    """Whether arrays of one dtype are equal bit by bit: NaN equals itself, 0.0 and -0.0 differ."""
    return np.array_equal(rows.view(np.uint8), others.view(np.uint8))


def sum_rows(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums over the tokens of each row: values (n, ...), counts (rows,) with sum n; (rows, ...) float64."""
    sums = np.zeros((len(counts), *values.shape[1:]))
    filled = counts > 0  # reduceat would give an empty row the first token of the next
    if filled.any():
        first = np.cumsum(counts) - counts
        sums[filled] = np.add.reduceat(values, first[filled], axis=0, dtype=np.float64)
    return sums
