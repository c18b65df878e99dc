"""Between rows of a stream and the token arrays (F, N, D) that the transform codes: F rows, N tokens, D channels.

    t,c      (F, D)        one token per row, N = 1
    t,n,c    (F, N, D)
    t,h,w,c  (F, H, W, D)  N = H * W
    other    the axis named c is D, else the last one; all others are tokens
    no t     one row, F = 1
    ragged   flat (n, D): every token is a row of its own, F = n, N = 1

Leading special tokens (CLS, registers) have other statistics than patches: they form a token group of their own.
A channel axis too wide for statistics between all pairs of channels is folded: D = m * fold becomes m times as many
tokens of `fold` channels. Values near the ends of the float32 range are scaled by a power of two, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codec import halves
from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import TokenCounts
from embdc_cli.codec.table import Limits
from embdc_cli.errors import CorruptArchive
from embdc_cli.values import StreamSpec

MAX_CHANNELS = 8192
"""Widest channel axis with a KLT: its covariance has 512 MiB in float64."""
_FOLD_TO = 1024
_PLAIN_EXPONENTS = 40  # squares and sums of values up to 2^40 stay far from float32 limits
_EXPONENT_LIMIT = 120  # 2^120 and its reciprocal are ordinary float32 numbers


def chunk_length(spec: StreamSpec, rows: int, token_counts: TokenCounts | None, limits: Limits | None) -> int:
    """Entries of the first axis of a chunk's array: `rows`, or the sum of the token counts of a ragged stream.

    Raises CorruptArchive for more values than `limits` allow (None: an encoder, which has no limits).
    """
    length = rows
    if spec.ragged:
        length = sum(int(count) for count in (() if token_counts is None else token_counts))
    values = length * spec.row_values
    if rows < 0 or length < 0 or (limits is not None and values > limits.max_chunk_values):
        raise CorruptArchive(
            f"chunk of stream {spec.name!r}: {rows} rows have {values} values, more than the header allows"
        )
    return length


@dataclass(frozen=True)
class Layout:
    """How rows of a stream fall into token groups.

    fold: channels per token, a divisor of the channel axis. exponent: token arrays are in units of 2^exponent.
    """

    spec: StreamSpec
    fold: int
    exponent: int = 0

    @classmethod
    def of(cls, spec: StreamSpec, largest: float) -> Layout:
        """The layout that the encoder chooses; `largest` is the greatest finite magnitude."""
        channels = spec.channels
        fold = channels
        if channels > MAX_CHANNELS:
            fold = max(d for d in range(1, _FOLD_TO + 1) if channels % d == 0)
        exponent = math.frexp(largest)[1] if largest > 0 else 0
        if abs(exponent) <= _PLAIN_EXPONENTS:
            exponent = 0
        return cls(spec, fold, max(-_EXPONENT_LIMIT, min(_EXPONENT_LIMIT, exponent)))

    def write(self, out: FieldWriter) -> None:
        out.varint(self.fold)
        out.signed_byte(self.exponent)

    @classmethod
    def read(cls, fields: FieldReader, spec: StreamSpec) -> Layout:
        """The layout in a models payload. Raises CorruptArchive when it does not divide the channel axis."""
        fold = fields.varint(limit=MAX_CHANNELS)
        channels = spec.channels
        if channels != fold and (fold == 0 or channels % fold):
            raise fields.corrupt(f"expected a divisor of {channels} channels, found {fold}")
        exponent = fields.signed_byte()
        if abs(exponent) > _EXPONENT_LIMIT:
            raise fields.corrupt(f"exponent of values: expected at most {_EXPONENT_LIMIT}, found {exponent}")
        return cls(spec, fold, exponent)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Tokens per row of each token group: patches, after special tokens where there are some."""
        spec = self.spec
        if spec.ragged:
            return (spec.channels // self.fold if self.fold else 1,)
        axis = spec.row_shape[: spec.channel_axis] + spec.row_shape[spec.channel_axis + 1 :]
        total = math.prod(axis)
        special = min(spec.special_tokens, total) if len(axis) == 1 else 0
        folds = spec.channels // self.fold if self.fold else 1
        return (special * folds, (total - special) * folds) if special else (total * folds,)

    def split(self, rows: np.ndarray) -> list[np.ndarray]:
        """Token groups (F, N, fold) float32 of `rows` (F, *row_shape) in storage dtype."""
        x = dtypes.to_float32(rows, self.spec.dtype)
        if self.exponent:
            x = x * np.float32(2.0**-self.exponent)
        if self.spec.row_shape:
            x = np.moveaxis(x, 1 + self.spec.channel_axis, -1)
        x = x.reshape(len(rows), sum(self.tokens), self.fold)
        cuts = np.cumsum(self.tokens)[:-1]
        return [np.ascontiguousarray(group) for group in np.split(x, cuts, axis=1)]

    def join(self, groups: list[np.ndarray]) -> np.ndarray:
        """Rows (F, *row_shape) in storage dtype, of groups as `split` gives them.

        Raises CorruptArchive where float32 was not enough for what models of extreme numbers ask for.
        """
        x = groups[0] if len(groups) == 1 else np.concatenate(groups, axis=1)
        if self.exponent:
            largest = np.float32(np.finfo(np.float32).max * 2.0**-self.exponent) if self.exponent > 0 else np.inf
            x = np.clip(x, -largest, largest) * np.float32(2.0**self.exponent)
        rows = halves.from_float32(x, self.spec.dtype)
        shape = list(self.spec.row_shape)
        if not shape:
            return rows.reshape(len(x))
        axis = self.spec.channel_axis
        shape.append(shape.pop(axis))
        return np.ascontiguousarray(np.moveaxis(rows.reshape(len(x), *shape), -1, 1 + axis))
