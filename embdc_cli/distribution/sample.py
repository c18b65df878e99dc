"""What of a tensor is looked at: runs of consecutive rows, evenly spaced, so many values that memory stays bounded.

Rows are as `codec.layout` sees them, F rows of N tokens of D channels, with these exceptions: special tokens are left
out; a ragged tensor is one row of all tokens; a single vector is one row whose values are tokens of one channel, since
its neighbours are all that can be said of it. Of rows larger than the sample only the first tokens are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np

from embdc_cli.codec.transform.sparse_fit import grid_width
from embdc_cli.metrics import BLOCK_VALUES
from embdc_cli.tokens import as_tokens
from embdc_cli.values import Tensor

SAMPLE_VALUES: Final = 1 << 23
"""32 MiB as float32; the measures hold about three such arrays at once."""
RUN: Final = 16
"""Rows of a run where not all rows are taken: two groups of `compaction.GROUP`."""

_PLACES: Final = 64  # of ragged rows


@dataclass(frozen=True)
class Sample:
    """values: (R, F, N, D) float32, R runs of F rows, all finite: what is not is 0 and counted in `nonfinite`.

    width: tokens in a row of the grid that the tokens form; 0 where they form none.
    """

    values: np.ndarray
    width: int
    nonfinite: int

    @cached_property
    def mean(self) -> np.ndarray:
        """Of every channel, (D,) float64."""
        if not self.tokens:
            return np.zeros(self.values.shape[-1])
        return np.asarray(self.values.mean(axis=(0, 1, 2), dtype=np.float64))

    @cached_property
    def centred(self) -> np.ndarray:
        """Values less the mean of their channel, (R, F, N, D) float32."""
        return self.values - self.mean.astype(np.float32)

    @property
    def vectors(self) -> np.ndarray:
        """Centred token vectors, (n, D) float32."""
        return self.centred.reshape(self.tokens, self.values.shape[-1])

    @cached_property
    def variances(self) -> np.ndarray:
        """Of every channel, (D,) float64."""
        sums = np.einsum("nd,nd->d", self.vectors, self.vectors, dtype=np.float64)
        return np.asarray(sums / max(1, self.tokens))

    @property
    def tokens(self) -> int:
        """How many token vectors it holds."""
        runs, rows, tokens, channels = self.values.shape
        return runs * rows * tokens if channels else 0

    @property
    def grid(self) -> np.ndarray:
        """Centred values as (R F, H, W, D): of tokens without a grid H is 1."""
        runs, rows, tokens, channels = self.values.shape
        width = self.width or tokens
        return self.centred.reshape(runs * rows, tokens // width if width else 0, width, channels)


def draw(tensor: Tensor) -> Sample:
    """The sample of a tensor, at most SAMPLE_VALUES values; one row at least is read, however large it is."""
    spec = tensor.spec
    if spec.ragged:
        return _ragged(tensor)
    rows, row_values = spec.known_rows, spec.row_values
    tokens = row_values // spec.channels if spec.channels else 0
    if rows * tokens == 1:
        vector = as_tokens(tensor.read(0, 1), spec).reshape(1, 1, -1, 1)[:, :, :SAMPLE_VALUES]
        return _finite(vector.copy(), 0)
    runs, length = _runs(rows, SAMPLE_VALUES // max(1, row_values))
    # evenly spaced, the first and the last row among them
    starts = np.arange(runs) * (rows - length) // max(1, runs - 1)
    special = min(spec.special_tokens, tokens)
    width = grid_width(spec, tokens - special) if tokens > special else 0
    width = 0 if width in (1, tokens - special) else width
    kept = _kept(tokens - special, width, spec.channels)
    some = max(1, BLOCK_VALUES // max(1, row_values))
    values = np.empty((runs, length, kept, spec.channels), np.float32)
    for run, start in enumerate(starts):
        # few at once: what is read is a copy, and a row may have more tokens than are kept
        for row in range(0, length, some):
            stop = min(length, row + some)
            found = as_tokens(tensor.read(int(start) + row, int(start) + stop), spec)
            found = found.reshape(stop - row, tokens, spec.channels)
            values[run, row:stop] = found[:, special : special + kept]
    return _finite(values, width)


def tokens_of(tensor: Tensor) -> int:
    """Token vectors of the whole tensor."""
    if tensor.token_counts is not None:
        return int(tensor.token_counts.sum())
    return tensor.spec.known_rows * tensor.spec.row_values // max(1, tensor.spec.channels)


def _runs(rows: int, most: int) -> tuple[int, int]:
    """(how many runs, rows of each) of at most `most` rows, one at least where there are any."""
    if rows <= max(1, most):
        return 1, rows
    return (most // RUN, RUN) if most >= RUN else (1, max(1, most))


def _kept(tokens: int, width: int, channels: int) -> int:
    """How many tokens of a row are taken: whole lines of the grid."""
    most = max(1, SAMPLE_VALUES // max(1, channels))
    if tokens <= most:
        return tokens
    return max(width, most // width * width) if width else most


def _ragged(tensor: Tensor) -> Sample:
    """The first tokens from each of as many evenly spaced places as there are, as one row of tokens."""
    rows, channels = tensor.spec.known_rows, tensor.spec.channels
    part = max(1, -(-tokens_of(tensor) * channels // SAMPLE_VALUES))  # one row in so many, rounded up
    places = min(rows, _PLACES)
    most = SAMPLE_VALUES // max(1, channels * places) if part > 1 else None
    found = [np.zeros((0, channels), np.float32)]
    for start, stop in pairwise(number * rows // places for number in range(places + 1 if places else 0)):
        found.append(as_tokens(tensor.read(start, start - (start - stop) // part), tensor.spec)[:most])
    return _finite(np.concatenate(found)[None, None], 0)


def _finite(values: np.ndarray, width: int) -> Sample:
    """Zero in place of what is not finite, block by block."""
    nonfinite = 0
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK_VALUES):
        part = flat[start : start + BLOCK_VALUES]
        bad = ~np.isfinite(part)
        if bad.any():
            nonfinite += int(np.count_nonzero(bad))
            part[bad] = 0
    return Sample(values, width, nonfinite)
