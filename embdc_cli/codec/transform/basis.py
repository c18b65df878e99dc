"""What the KLT stages share: r basis vectors of D channels, applied as products of the shape of the whole chunk."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from math import isqrt
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage, Shape
from embdc_cli.codec.transform.parameters import Scope, SegmentStage
from embdc_cli.entropy.tables import class_of_mean

FINEST_EXPONENT: Final = -26
COARSEST_EXPONENT: Final = -2
BASIS_FIRST_RANK: Final = 4
"""Vectors per row of a temporal transform from which on it pays to go back through the basis first: products with only
the vectors in use (`synthesised`) save more than it costs that the transform takes D channels and not r coefficients.
"""
_WORTH_PRUNING: Final = 32
"""Tokens of a row from which on a product of its own is as fast as its share of one of all rows."""
_WORTH_GATHERING: Final = 0.75
"""Share of vectors in use among those up to the last one, below which it pays to copy them together first."""


class Basis(ArrayStage, SegmentStage):
    """y = x A with A (D, r), x' = y S with S (r, D); products are of the shape of the chunk.

    A slice of a chunk is cut after decoding, so its values do not depend on what else was asked for.
    """

    @cached_property
    @abstractmethod
    def synthesis(self) -> np.ndarray:
        """S: (r, D) float32."""

    @cached_property
    @abstractmethod
    def analysis(self) -> np.ndarray:
        """A: (D, r) float32."""

    def shape(self, shape: Shape, side: bytes) -> Shape:
        return (*shape[:-1], len(self.synthesis))

    def forward(self, x: np.ndarray, side: bytes) -> np.ndarray:
        return apply(x, self.analysis)

    def inverse(self, y: np.ndarray, side: bytes) -> np.ndarray:
        return synthesised(y, self.synthesis)


def synthesised(y: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(F, n, D) float32: y (F, n, r) times (r, D), in each row with only the vectors that are in use there.

    Where rows are frequencies: the higher one is, the fewer vectors have a coefficient there that is not zero.
    """
    rows, count, _ = y.shape
    if count < _WORTH_PRUNING:
        return apply(y, vectors)
    in_use = np.asarray(y.any(axis=1))
    x = np.empty((rows, count, vectors.shape[1]), np.float32)
    for row in range(rows):
        used = np.flatnonzero(in_use[row])
        last = 1 + int(used.max(initial=-1))
        if len(used) < _WORTH_GATHERING * last:
            np.matmul(y[row][:, used], vectors[used], out=x[row])
        else:
            np.matmul(y[row, :, :last], vectors[:last], out=x[row])
    return x


def apply(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(F, N, r) float32: x (F, N, D) times (D, r), as one product over all tokens."""
    tokens = x.reshape(x.shape[0] * x.shape[1], x.shape[2])
    return np.asarray(tokens @ matrix).reshape(*x.shape[:2], matrix.shape[1])


def exponents_for(variances: np.ndarray, step: float, tokens: float) -> np.ndarray:
    """int64 (r,): vector i gets the precision 2^e, e = round(log2(1.41 step / sqrt(n lambda_i))), at most 1/4.

    An error in vector i reaches all n tokens in proportion to sqrt(lambda_i); at this precision it costs them about as
    much as quantising their coefficients does. A factor of 1 costs 0.7 % more bits at equal error, 0.7 costs 2 %.
    Exponents never fall, as the variances are in falling order.
    """
    wanted = np.log2(step) + 0.5 - 0.5 * np.log2(np.maximum(tokens * variances, 1e-300))
    exponents = np.clip(np.rint(wanted), FINEST_EXPONENT, COARSEST_EXPONENT).astype(np.int64)
    return np.maximum.accumulate(exponents) if len(exponents) else exponents


def entry_class(exponent: int, dimensions: int) -> int:
    """The class of integers that are a random unit vector's entries in units of 2^exponent: mean 0.8 / sqrt(D).

    Both sides know it, so no class is sent. Integers only: 3277 / 4096 is sqrt(2 / pi) within 0.3 %.
    """
    root = isqrt(dimensions << 32)
    return class_of_mean(3277 << -exponent << 16 >> 12, root)


def write_exponents(out: FieldWriter, exponents: np.ndarray) -> None:
    """Rank, first exponent, and how many vectors have each exponent from there on."""
    out.varint(len(exponents))
    if len(exponents):
        first, last = int(exponents[0]), int(exponents[-1])
        out.signed_byte(first)
        out.byte(last - first)
        for exponent in range(first, last):
            out.varint(int((exponents == exponent).sum()))


def read_exponents(fields: FieldReader, scope: Scope) -> np.ndarray:
    """The exponents (r,) that `write_exponents` wrote; the rank becomes the scope's channels."""
    rank = fields.varint(limit=min(scope.channels, scope.limits.max_rank))
    exponents = np.zeros(0, np.int64)
    if rank:
        first = fields.signed_byte()
        spread = fields.byte(limit=COARSEST_EXPONENT - FINEST_EXPONENT)
        if not FINEST_EXPONENT <= first <= first + spread <= COARSEST_EXPONENT:
            raise fields.corrupt(f"basis exponents: found {first} to {first + spread}")
        counts = [fields.varint(limit=rank) for _ in range(spread)]
        if sum(counts) > rank:
            raise fields.corrupt(f"basis exponents: expected {rank}, found {sum(counts)}")
        counts.append(rank - sum(counts))
        exponents = np.repeat(np.arange(first, first + spread + 1), counts)
    scope.channels = rank
    return exponents
