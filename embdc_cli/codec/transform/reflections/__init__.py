"""Orthonormal vectors as integers: each in the complement of those before it, by Householder reflections.

Vector i has D - i coordinates in the orthogonal complement of vectors 0..i-1, sent as integers q_i in units of some
precision. With v_i = (0, .., 0, q_i) the decoder forms u_i = v_i + sign(v_i[i]) |v_i| e_i, and the vectors are the
first r columns of

    H_0 H_1 .. H_{r-1} = I - U T U^T,   H_i = I - 2 u_i u_i^T / |u_i|^2,   T^-1 = striu(U^T U) + diag(U^T U) / 2

so any integers that are not all zero give exactly orthonormal vectors, whatever the precision was.
Source: Householder form as in LAPACK's orgqr; T after Joffrain et al., "Accumulating Householder transformations,
revisited", ACM TOMS 32, 2006.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embdc_cli.codec.fields import FieldReader
from embdc_cli.entropy.backend import kernels

Rounding = Callable[[np.ndarray, int], np.ndarray]
"""(values (n,) in units of the precision, number of the vector) -> integers (n,) int32."""


def plainly(values: np.ndarray, number: int) -> np.ndarray:
    """The nearest integers."""
    del number
    return np.asarray(np.rint(values).astype(np.int32))


def quantised(vectors: np.ndarray, precisions: np.ndarray, rounding: Rounding = plainly) -> np.ndarray:
    """int32 codes of orthonormal rows `vectors` (r, D) float64, D - i of vector i in units of precisions[i]."""
    remaining = np.array(vectors.T, order="C")  # a copy: it is reflected in place
    codes = []
    for i, precision in enumerate(precisions.tolist()):
        w = remaining[i:, i]
        q = rounding(w / (max(float(np.sqrt(w @ w)), 1e-300) * precision), i)
        if not q.any():
            q[np.argmax(np.abs(w))] = 2  # also a point that every trellis begins with
        codes.append(q)
        u = _reflector(q.astype(np.float64))
        rest = remaining[i:, i + 1 :]
        rest -= np.outer(2 * u, u @ rest)
    return np.concatenate(codes) if codes else np.zeros(0, np.int32)


def vectors_of(codes: np.ndarray, rank: int, channels: int) -> np.ndarray:
    """(rank, channels) float32, orthonormal rows."""
    u = np.zeros((rank, channels))
    u[np.arange(channels, dtype=np.int32) >= np.arange(rank, dtype=np.int32)[:, None]] = codes
    first = _diagonal(u)
    first += np.copysign(np.sqrt(np.einsum("ij,ij->i", u, u)), first)
    weights = -u[:, :rank]
    kernels(__name__).solve(u @ u.T, weights)
    basis = weights.T @ u
    _diagonal(basis)[:] += 1
    return basis.astype(np.float32)


def _diagonal(matrix: np.ndarray) -> np.ndarray:
    """A view of the main diagonal of (r, n), n >= r."""
    diagonal: np.ndarray = np.einsum("ii->i", matrix[:, : len(matrix)])
    return diagonal


def lengths_of(rank: int, channels: int) -> np.ndarray:
    """(rank,) int64: how many codes each vector has."""
    return channels - np.arange(rank)


def check_codes(codes: np.ndarray, rank: int, channels: int, fields: FieldReader) -> None:
    """Raises CorruptArchive when a vector is zero, which has no direction."""
    if are_zero(codes, lengths_of(rank, channels)).any():
        raise fields.corrupt("basis: a vector is zero")


def are_zero(codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(n,) bool: which of the vectors of these lengths (n,), at least 1, that lie in `codes` are zero."""
    return np.asarray(np.bitwise_or.reduceat(codes, np.cumsum(lengths) - lengths) == 0)


def _reflector(v: np.ndarray) -> np.ndarray:
    """The unit vector u of the reflection I - 2 u u^T that takes v (not zero) to the first axis; v is overwritten."""
    v[0] += np.copysign(np.sqrt(v @ v), v[0])
    v /= np.sqrt(v @ v)
    return v
