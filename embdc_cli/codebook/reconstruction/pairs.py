"""What a network can do about the error of a stream that was coded, in a few numbers for each token.

    |e - sum over i of g_i v_i|^2 = |e|^2 - 2 sum of g_i (v_i e) + sum of g_i g_j (v_i v_j)

e is the error of a token, v are the vectors that its gates g weigh (`codec.reconstruction.network`): whatever the
gates are, the error after them follows from these inner products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.engine import HERE, Engine
from embdc_cli.codebook.trial import EFFORT
from embdc_cli.codec.reconstruction.network import features_of
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.values import Tensor

STEPS: Final = (0.5, 1.0, 2.0)
"""Over the rms of the stream: from about one bit per value to a few hundredths."""
MAX_STREAMS: Final = 8
MAX_VALUES: Final = 1 << 22
"""Of all streams: a minute of coding."""
_LEAST_ROWS: Final = 8


@dataclass(frozen=True, eq=False)
class Pairs:
    """The n tokens of one stream, coded at one step. vector: by `--codec vq`.

    features: (n, I) float32. linear: (n, K), products of the error and the vectors; square: (n, K, K), of these with
    each other; float32. error: sum of its squares. energy: of the centred tokens.
    """

    vector: bool
    step: float
    features: np.ndarray
    linear: np.ndarray
    square: np.ndarray
    error: float
    energy: float

    def effect(self, gates: np.ndarray) -> tuple[float, float]:
        """(products of the error and what gates (n, K) add, squares of that), summed over tokens."""
        both = np.einsum("nk,nk->", gates, self.linear, dtype=np.float64)
        added = np.einsum("nk,nkl,nl->", gates, self.square, gates, dtype=np.float64, optimize=True)
        return float(both), float(added)


def coded_pairs(
    tensors: Sequence[Tensor], codebook: Codebook, radius: int, *, vector: bool, engine: Engine = HERE
) -> list[Pairs]:
    """Rows from the middle of streams that lie evenly among these, at every step."""
    drawn = tensors[:: max(1, -(-len(tensors) // MAX_STREAMS))]
    values = MAX_VALUES // max(1, len(drawn))
    of_stream = partial(_of_stream, codebook, values, radius, vector)
    return [pairs for found in engine.map(of_stream, [(tensor,) for tensor in drawn]) for pairs in found]


def _of_stream(codebook: Codebook, values: int, radius: int, vector: bool, tensor: Tensor) -> list[Pairs]:
    known = tensor.spec.known_rows
    per_row = tensor.spec.row_values
    if tensor.token_counts is not None:
        per_row = int(tensor.token_counts.mean() * tensor.spec.channels) if known else 0
    count = min(known, max(_LEAST_ROWS, values // max(1, per_row)))
    start = (known - count) // 2
    rows = tensor.read(start, start + count)
    counts = None if tensor.token_counts is None else [tensor.token_counts[start : start + count]]
    options = FitOptions(effort=EFFORT, codebook=codebook, vector=vector, reconstruction="off")
    fit = Fit(tensor.spec, [rows], counts, options)
    return [_at_step(fit, rows, step, radius, vector) for step in STEPS] if fit.rms > 0 else []


def _at_step(fit: Fit, rows: np.ndarray, relative: float, radius: int, vector: bool) -> Pairs:
    """Without special tokens, which are coded apart."""
    models = fit.models(relative * fit.rms)
    chain = models.groups[-1].chain
    (normalise,) = (stage for stage in chain if isinstance(stage, Normalise))
    step, rms = (float(np.ldexp(value, -models.layout.exponent)) for value in (relative * fit.rms, fit.rms))
    coarseness = Reconstruction.coarseness_of(step, rms)
    tokens = models.layout.split(rows)[-1]
    x = normalise.forward(tokens, b"")
    y = normalise.forward(chain.reconstruct(chain.encode(tokens)), b"")
    features = features_of(y, radius, step, coarseness, vector=vector).reshape(y.shape[0] * y.shape[1], -1)
    linear, square = _products(x - y, _weighed(y, radius))
    error, energy = (float(np.square(one, dtype=np.float64).sum()) for one in (x - y, x))
    return Pairs(vector, relative, features, linear, square, error, energy)


def _weighed(y: np.ndarray, radius: int) -> list[np.ndarray]:
    """The vectors (F, N, D) that gates weigh, in the order of `Network.gates`."""
    vectors = [y]
    for k in range(1, radius + 1):
        before, after = np.zeros_like(y), np.zeros_like(y)
        before[k:] = y[:-k] - y[k:]
        after[:-k] = y[k:] - y[:-k]
        vectors += [before, after]
    return vectors


def _products(error: np.ndarray, vectors: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) and (n, K, K) float32."""
    tokens, count = error.shape[0] * error.shape[1], len(vectors)
    linear, square = np.empty((tokens, count), np.float32), np.empty((tokens, count, count), np.float32)
    for i, one in enumerate(vectors):
        linear[:, i] = np.einsum("fnd,fnd->fn", one, error).ravel()
        for j, other in enumerate(vectors[: i + 1]):
            square[:, i, j] = square[:, j, i] = np.einsum("fnd,fnd->fn", one, other).ravel()
    return linear, square
