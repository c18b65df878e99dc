"""The network of a codebook, and the stage that runs it: embdc-codec(5), CODEBOOKS and RECONSTRUCTION."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.conformance.reader.errors import check
from tests.conformance.reader.fields import Fields, bounded


@dataclass(frozen=True, eq=False)
class Network:
    """matrices: (outputs, inputs) and (outputs,) of each layer, float64."""

    radius: int
    layers: list[tuple[np.ndarray, np.ndarray]]

    def gates(self, f: np.ndarray) -> np.ndarray:
        """(.., 2R + 1) of (.., 2R + 4)."""
        for number, (weights, biases) in enumerate(self.layers):
            f = np.maximum(f, 0) if number else f
            f = f @ weights.T + biases
        return f

    def added(self, x: np.ndarray, step: float, coarseness: int, vector: int) -> np.ndarray:
        """What a strength of 1 adds to tokens (F, N, D) float64."""
        rows, tokens = x.shape[:2]
        out = np.zeros_like(x)
        for t in range(rows):
            around = [t + sign * k for k in range(1, self.radius + 1) for sign in (-1, 1)]
            squares = [_apart(x, t, other) for other in around]
            squares += [_apart(x, t - 1, t + 1), np.mean(x[t] ** 2, axis=1)]
            f = [np.minimum(8, np.log2(one / step**2 + 2**-10) / 4) for one in squares]
            f += [np.full(tokens, coarseness / 8), np.full(tokens, float(vector))]
            gates = self.gates(np.stack(f, axis=1))
            out[t] = gates[:, :1] * x[t]
            for number, other in enumerate(around, start=1):
                if 0 <= other < rows:
                    out[t] += gates[:, number : number + 1] * (x[other] - x[t])
        return out


def network_in(fields: Fields) -> Network:
    """The payload of a section NETW."""
    radius, hidden = bounded(fields.byte(), 1, 4), bounded(fields.byte(), 1, 64)
    layers = []
    for inputs, outputs in ((2 * radius + 4, hidden), (hidden, hidden), (hidden, 2 * radius + 1)):
        lines, biases = [], []
        for _ in range(outputs):
            exponent = bounded(fields.i8(), -40, 20)
            biases.append(int.from_bytes(fields.raw(2), "little", signed=True) * 2.0 ** (exponent - 4))
            lines.append(np.frombuffer(fields.raw(inputs), np.int8) * 2.0**exponent)
        layers.append((np.array(lines), np.array(biases)))
    fields.end()
    return Network(radius, layers)


def _apart(x: np.ndarray, one: int, other: int) -> np.ndarray:
    """(N,) mean squares between rows; 0 where one is not there."""
    if not (0 <= one < len(x) and 0 <= other < len(x)):
        return np.zeros(x.shape[1])
    check(x.ndim == 3, "tokens that are not in rows")
    return np.asarray(np.mean((x[other] - x[one]) ** 2, axis=1))
