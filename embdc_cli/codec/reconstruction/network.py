"""A small network that weighs a decoded token against the same token in the rows around it.

    x'_t = x_t + g_0 x_t + sum over 0 < |k| <= R of g_k (x_{t+k} - x_t)        g = W_3 r(W_2 r(W_1 f + b_1) + b_2) + b_3

r(z) = max(z, 0). f is of one token: log2(s / step^2 + 2^-10) / 4, limited to 8, of the mean squares s of x_{t-1} - x_t,
x_{t+1} - x_t, x_{t-2} - x_t and so on, of x_{t+1} - x_{t-1} and of x_t; then coarseness / 8, and 1 for a vector
quantiser, 0 for any other. Rows that are not in the chunk have no part: their differences are 0.

It sees lengths alone, so it does not know channels, bases or scenes, and what it learns on some clips holds in others:
of the error of `vq` in the last layer of a ViT it takes 1 to 12 % in clips it has not seen (tests/bench). Filters of
each coefficient, along time and among the tokens around, made other clips worse in trials; gates by bands of
coefficients, and of the tokens around, gained nothing over these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter

MAX_RADIUS: Final = 4
MAX_HIDDEN: Final = 64
MAX_BYTES: Final = 1 << 13
"""Of a network as written: 3 x 64 rows at most, of 64 weights and 3 bytes each, fewer in the first and last layer."""
EXPONENTS: Final = range(-40, 21)
_BIAS_OCTAVES: Final = 4
"""A bias has 16 bits in units so much finer than those of the weights beside it: 16 times as large at most."""
FLOOR: Final = 2.0**-10
OCTAVES: Final = 4.0
LIMIT: Final = 8.0
COARSENESS: Final = 8.0
_BLOCK_VALUES: Final = 1 << 16
"""Of the tokens that are worked on together: what is in between stays in the cache."""


@dataclass(frozen=True, eq=False)
class Layer:
    """weights: (O, I) int8 and biases: (O,) int16, row i in units of 2^exponents[i] and a sixteenth of it."""

    weights: np.ndarray
    biases: np.ndarray
    exponents: np.ndarray

    @classmethod
    def rounded(cls, weights: np.ndarray, biases: np.ndarray) -> Self:
        """The nearest layer to floats (O, I) and (O,); what is too large for any exponent is limited."""
        largest = np.maximum(np.abs(weights).max(axis=1) / 127, np.abs(biases) / (32767 / 2**_BIAS_OCTAVES))
        exponents = np.ceil(np.log2(np.maximum(largest, 2.0 ** EXPONENTS[0]))).astype(np.int64)
        exponents = np.clip(exponents, EXPONENTS[0], EXPONENTS[-1])
        codes = np.rint(np.ldexp(weights.astype(np.float64), -exponents[:, None]))
        shifts = np.rint(np.ldexp(biases.astype(np.float64), _BIAS_OCTAVES - exponents))
        return cls(
            np.clip(codes, -127, 127).astype(np.int8),
            np.clip(shifts, -32767, 32767).astype(np.int16),
            exponents.astype(np.int8),
        )

    @cached_property
    def matrix(self) -> np.ndarray:
        """(I, O) float32, to multiply rows of inputs by."""
        exact = np.ldexp(self.weights.astype(np.float32), self.exponents[:, None].astype(np.int32))
        return np.ascontiguousarray(exact.T, np.float32)

    @cached_property
    def offset(self) -> np.ndarray:
        """(O,) float32."""
        return np.ldexp(self.biases.astype(np.float32), self.exponents.astype(np.int32) - _BIAS_OCTAVES)

    def write(self, out: FieldWriter) -> None:
        """For each row [i8] exponent, [i16] bias, [i8] weights."""
        for weights, bias, exponent in zip(self.weights, self.biases, self.exponents, strict=True):
            out.signed_byte(int(exponent))
            out.raw(bias.astype("<i2").tobytes())
            out.raw(weights.tobytes())

    @classmethod
    def read(cls, fields: FieldReader, inputs: int, outputs: int) -> Self:
        """Raises CorruptArchive."""
        row = np.dtype([("exponent", "i1"), ("bias", "<i2"), ("weights", "i1", (inputs,))])
        rows = np.frombuffer(fields.raw(outputs * row.itemsize), row)
        exponents = rows["exponent"]
        if exponents.min() < EXPONENTS[0] or exponents.max() > EXPONENTS[-1]:
            raise fields.corrupt(f"network: expected exponents within {EXPONENTS[0]} to {EXPONENTS[-1]}")
        return cls(rows["weights"].copy(), rows["bias"].astype(np.int16), exponents.copy())


@dataclass(frozen=True, eq=False)
class Network:
    """radius: rows before and after a token that are looked at. layers: three, as `shapes` has them."""

    radius: int
    layers: tuple[Layer, ...]

    @property
    def hidden(self) -> int:
        """Width of the two layers in between."""
        return len(self.layers[0].weights)

    def gates(self, features: np.ndarray) -> np.ndarray:
        """(n, 2R + 1) float32 for features (n, I) float32: of x_t, x_{t-1}, x_{t+1}, x_{t-2} and so on."""
        *inner, last = self.layers
        found = features
        for layer in inner:
            found = np.maximum(found @ layer.matrix + layer.offset, np.float32(0))
        return np.asarray(found @ last.matrix + last.offset)

    def applied(self, x: np.ndarray, step: float, coarseness: int, strength: float, *, vector: bool) -> np.ndarray:
        """Tokens x (F, N, D) float32 and `strength` times what the network adds to them.

        step: of the quantiser. coarseness: step over the rms of the tokens, in quarter octaves. vector: whether they
        come from a vector quantiser.
        """
        if not x.size:
            return x
        found = np.empty_like(x)
        wide = max(1, _BLOCK_VALUES // (x.shape[0] * x.shape[2]))
        for at in range(0, x.shape[1], wide):
            block = np.ascontiguousarray(x[:, at : at + wide])
            features = features_of(block, self.radius, step, coarseness, vector=vector)
            gates = self.gates(features.reshape(-1, features.shape[2])) * np.float32(strength)
            _weigh(block, gates.reshape(*block.shape[:2], -1, 1), found[:, at : at + wide])
        return found

    def write(self, out: FieldWriter) -> None:
        """[byte] radius, [byte] width of the inner layers, the layers."""
        out.byte(self.radius)
        out.byte(self.hidden)
        for layer in self.layers:
            layer.write(out)

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """Raises CorruptArchive."""
        radius, hidden = fields.byte(limit=MAX_RADIUS), fields.byte(limit=MAX_HIDDEN)
        if not radius or not hidden:
            raise fields.corrupt(f"network: expected rows and a width above 0, found {radius} and {hidden}")
        return cls(radius, tuple(Layer.read(fields, *shape) for shape in shapes(radius, hidden)))

    def to_bytes(self) -> bytes:
        """As written."""
        out = FieldWriter()
        self.write(out)
        return out.bytes()


def shapes(radius: int, hidden: int) -> tuple[tuple[int, int], ...]:
    """(inputs, outputs) of each layer."""
    return (2 * radius + 4, hidden), (hidden, hidden), (hidden, 2 * radius + 1)


def features_of(x: np.ndarray, radius: int, step: float, coarseness: int, *, vector: bool) -> np.ndarray:
    """(F, N, 2R + 4) float32: f of tokens (F, N, D) float32; arguments as of `Network.applied`."""
    rows, count, _ = x.shape
    squares = np.zeros((rows, count, 2 * radius + 2))
    apart = {k: _mean_squares(x[k:] - x[:-k]) for k in range(1, max(2, radius) + 1) if k < rows}
    for k in range(1, radius + 1):
        if k in apart:
            squares[k:, :, 2 * k - 2] = apart[k]
            squares[:-k, :, 2 * k - 1] = apart[k]
    if 2 in apart:
        squares[1:-1, :, -2] = apart[2]
    squares[:, :, -1] = _mean_squares(x)
    found = np.empty((rows, count, 2 * radius + 4), np.float32)
    found[:, :, :-2] = np.minimum(np.log2(squares / step**2 + FLOOR) / OCTAVES, LIMIT)
    found[:, :, -2] = coarseness / COARSENESS
    found[:, :, -1] = vector
    return found


def _mean_squares(x: np.ndarray) -> np.ndarray:
    """(F, N) float32 of (F, N, D)."""
    return np.asarray(np.einsum("fnd,fnd->fn", x, x) / np.float32(x.shape[-1]))


def _weigh(x: np.ndarray, gates: np.ndarray, out: np.ndarray) -> None:
    """Tokens x (F, N, D) as gates (F, N, 2R + 1, 1) say, to `out`."""
    own = 1 + gates[:, :, 0]
    pairs = [(gates[:, :, at], gates[:, :, at + 1]) for at in range(1, gates.shape[2], 2)]
    for k, (before, after) in enumerate(pairs, start=1):
        own[k:] -= before[k:]
        own[:-k] -= after[:-k]
    np.multiply(own, x, out=out)
    for k, (before, after) in enumerate(pairs, start=1):
        out[k:] += before[k:] * x[:-k]
        out[:-k] += after[:-k] * x[k:]
