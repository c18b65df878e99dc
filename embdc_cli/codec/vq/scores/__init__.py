"""Inner products and lengths of tokens straight from their codes, by lookup tables.

A decoded token is x = f (m + y S), y = 2^e sum over levels l of codeword[l, index l]: f its own factor, m the mean,
S (r, D) the basis. So for a query q

    q.x   = f (q.m + sum over levels l of table[l, index l]),   table[l, k] = 2^e codeword[l, k] . (S q at its channels)

where sums of levels after a gain are multiplied by it, and
    |x|^2 = f^2 (|m|^2 + 2 y.(S m) + y G y),                     G = S S^T, the identity where S is orthonormal

A token takes L additions per query and its length r multiplications once, where decoding takes r D.
Values are those before they are rounded to the dtype of the archive, sums are float64.
Source: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33, 2011 (asymmetric
distances). Sums are those of `reference.py`, compiled in `cpu.py`. Not here: quantised tables and lookups in registers;
reading the codes takes far longer than the sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec import exact_values
from embdc_cli.codec.chain import Chain, Coded
from embdc_cli.codec.transform.basis import Basis
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.vq.quantiser import VectorQuantiser
from embdc_cli.entropy.backend import kernels
from embdc_cli.values import StreamSpec

_ORTHONORMAL: Final = 1e-6
"""How far from the identity a Gram matrix may be to be taken for it: far less than float16 rounds."""


@dataclass(frozen=True, eq=False)
class Synthesis:
    """How the tokens of one group of a segment come from their codes.

    mean: (D,) float64. scale: (D,) float64, of what the basis gives; 0 where a channel is constant.
    basis: None for the identity. token_scaled: whether tokens have factors of their own.
    """

    quantiser: VectorQuantiser
    mean: np.ndarray
    scale: np.ndarray
    basis: Basis | None
    token_scaled: bool

    @classmethod
    def of(cls, chain: Chain, channels: int) -> Synthesis | None:
        """That of a chain of vector quantisation, None for any other."""
        links = list(chain.links)
        token_scaled = isinstance(links[0], TokenScale)
        match links[token_scaled:]:
            case [Normalise() as normalise, (Identity() | Basis()) as basis, VectorQuantiser() as quantiser]:
                scale = np.ones(channels) if normalise.scale is None else normalise.scale.astype(np.float64)
                scale[normalise.constant_channels] = 0
                mean = normalise.mean.astype(np.float64)
                return cls(quantiser, mean, scale, basis if isinstance(basis, Basis) else None, token_scaled)
        return None

    def analysed(self, vectors: np.ndarray) -> np.ndarray:
        """S v for vectors (Q, D) float64: (Q, r)."""
        scaled = vectors * self.scale
        return np.asarray(scaled if self.basis is None else scaled @ self.basis.synthesis.T)

    def synthesised(self, y: np.ndarray) -> np.ndarray:
        """y S for y (n, r) float64: (n, D)."""
        return np.asarray((y if self.basis is None else y @ self.basis.synthesis) * self.scale)

    @cached_property
    def gram(self) -> np.ndarray:
        """G, or its diagonal (r,) where it has nothing else."""
        if self.basis is None:
            return np.asarray(self.scale**2)
        vectors = self.basis.synthesis
        ones = np.ones(len(vectors))
        missing = self.scale == 0
        if isinstance(self.basis, ReflectedKlt) and bool((self.scale[~missing] == 1).all()):
            lost = (vectors[:, missing].astype(np.float64) ** 2).sum(axis=1)
            if lost.max(initial=0.0) < _ORTHONORMAL:
                return ones
        scaled = vectors * self.scale
        gram = scaled @ scaled.T
        return ones if np.abs(gram - np.diag(ones)).max(initial=0.0) < _ORTHONORMAL else gram

    def tables(self, queries: np.ndarray) -> Tables:
        """For queries (Q, D) float64."""
        packed = self.quantiser.packed
        levels, most, _ = packed.codewords.shape
        analysed = self.analysed(queries)
        tables = np.zeros((levels, 1 + most, len(queries)))
        for level, width in enumerate(packed.widths):
            inner = packed.codewords[level, :, :width] @ analysed[:, packed.channels[level, :width]].T
            tables[level, 1:] = np.ldexp(inner, self.quantiser.exponent)
        return Tables(queries @ self.mean, tables, packed.gain)

    def squares(self, codes: np.ndarray) -> np.ndarray:
        """(n,) float64: |m + y S|^2 of codes (n, L)."""
        packed, unit = self.quantiser.packed, np.ldexp(1.0, self.quantiser.exponent)
        linear = 2 * unit * self.analysed(self.mean[None])[0]
        if self.gram.ndim == 1:
            found = kernels(__name__).squares(codes, packed, self.gram * unit**2, linear)
        else:
            y = kernels(__name__).coefficients(codes, packed, len(linear))
            found = ((y @ (self.gram * unit**2) + linear) * y).sum(axis=1)
        return np.asarray(np.maximum(self.mean @ self.mean + found, 0))

    def added(self, codes: np.ndarray, edges: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """(F, D) float64: the sums of tokens of codes (n, L) times their factors (n,), as `CodedTokens.added`."""
        q = self.quantiser
        sums = kernels(__name__).added(codes, q.packed, q.rank, edges, factors)
        counts = np.array([factors[start:stop].sum() for start, stop in pairwise(edges)]).reshape(-1, 1)
        return np.asarray(counts * self.mean + self.synthesised(np.ldexp(sums, q.exponent)))


@dataclass(frozen=True, eq=False)
class Tables:
    """What each codeword adds to inner products with the queries.

    means: (Q,). tables: (L, 1 + K, Q), 0 for no code. gain: the level of gains, L for none.
    """

    means: np.ndarray
    tables: np.ndarray
    gain: int

    def sums(self, codes: np.ndarray) -> np.ndarray:
        """(n, Q) float64 of codes (n, L)."""
        return np.asarray(self.means + kernels(__name__).inner(codes, self.tables, self.gain))


@dataclass(frozen=True, eq=False)
class CodedTokens:
    """The n tokens of one group of a chunk.

    codes: (n, L) uint16. factors: (n,) float64, 0 for padding, NaN for a token with a value that is not finite.
    squares: (n,) float64, of their lengths.
    """

    synthesis: Synthesis
    codes: np.ndarray
    factors: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, synthesis: Synthesis, coded: Coded, factors: np.ndarray) -> CodedTokens:
        """factors: (n,) apart from those that the tokens have themselves."""
        codes = coded.codes.reshape(-1, coded.codes.shape[-1]).astype(np.uint16)
        if synthesis.token_scaled:
            each = np.ones((*coded.codes.shape[:2], 1), np.float32)
            factors = factors * TokenScale().inverse(each, coded.sides[0]).ravel()
        squares = synthesis.squares(codes) * factors**2
        return cls(synthesis, codes, factors, squares)

    def inner(self, tables: Tables) -> np.ndarray:
        """(n, Q) float64: inner products with the queries of `tables`."""
        return np.asarray(tables.sums(self.codes) * self.factors[:, None])

    def added(self, edges: np.ndarray) -> np.ndarray:
        """(F, D) float64: the sums of the tokens between neighbours of `edges` (F + 1,)."""
        return self.synthesis.added(self.codes, edges, self.factors)

    @property
    def nbytes(self) -> int:
        """About how much memory this takes."""
        return self.codes.nbytes + self.factors.nbytes + self.squares.nbytes


def syntheses(models: TransformModels) -> tuple[Synthesis, ...] | None:
    """One for every token group; None where tokens cannot be scored by their codes: another codec, folded channels."""
    if models.layout.fold != models.layout.spec.channels:
        return None
    found = [Synthesis.of(group.chain, models.layout.fold) for group in models.groups]
    return tuple(one for one in found if one is not None) if None not in found else None


def coded_tokens(
    models: TransformModels, groups: Sequence[Synthesis], coded: Sequence[Coded], record: bytes
) -> list[CodedTokens] | None:
    """The tokens of every group of a chunk; None for a record (`exact_values`) that has to be put back to be used."""
    rows = coded[0].codes.shape[0]
    factors = np.full((rows, sum(models.layout.tokens)), 2.0**models.layout.exponent)
    if record:
        known = _recorded(models.layout.spec, factors, record)
        if known is None:
            return None
        factors = known
    apart = np.split(factors, np.cumsum(models.layout.tokens)[:-1], axis=1)
    each = zip(groups, coded, apart, strict=True)
    return [CodedTokens.of(synthesis, part, own.ravel()) for synthesis, part, own in each]


def _recorded(spec: StreamSpec, factors: np.ndarray, record: bytes) -> np.ndarray | None:
    """factors (F, N), 0 for tokens that the record says are zero, NaN where it has values that are not finite.

    None when it has anything else, which no encoder writes.
    """
    inner = math.prod(spec.row_shape[spec.channel_axis + 1 :])
    size = len(factors) * spec.row_values
    positions, patterns = exact_values.read(record, size, dtypes.item_bytes(spec.dtype))
    values = dtypes.to_float32(patterns.view(dtypes.storage(spec.dtype)), spec.dtype)
    tokens = positions // (spec.channels * inner) * inner + positions % inner
    wrong = ~np.isfinite(values)
    count = np.bincount(tokens[~wrong], minlength=factors.size)
    lost = np.bincount(tokens[wrong], minlength=factors.size) > 0
    whole = count == spec.channels
    if values[~wrong].any() or bool(((count > 0) & ~whole & ~lost).any()):
        return None
    flat = np.where(whole, 0.0, factors.ravel())
    return np.where(lost, np.nan, flat).reshape(factors.shape)
