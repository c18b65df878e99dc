"""Karhunen-Loeve transform with its own orthonormal basis, coded as Householder reflections.

Vector i is sent in coordinates of the orthogonal complement of vectors 0..i-1, so it has D - i entries, quantised to
integers q_i in units of 2^e_i. With v_i = (0, .., 0, q_i) the decoder forms u_i = v_i + sign(v_i[i]) |v_i| e_i, of unit
length, and the basis is the first r columns of

    H_0 H_1 .. H_{r-1} = I - U T U^T,   H_i = I - 2 u_i u_i^T,   T^-1 = striu(U^T U) + I / 2

so any integers that are not all zero give an exactly orthonormal basis: its transpose is the analysis, and no decoded
basis can amplify. Dimensions: D channels, r <= D vectors. x: (F, N, D) float32 -> (F, N, r).
Source: Householder form as in LAPACK's orgqr; T after Joffrain et al., "Accumulating Householder transformations,
revisited", ACM TOMS 32, 2006. Not here: several bases per segment (a mixture), bases predicted from other bases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.basis import Basis, entry_class, read_exponents, write_exponents
from embdc_cli.codec.transform.parameters import Scope, read_levels, write_levels


@dataclass(frozen=True, eq=False)
class ReflectedKlt(Basis):
    """codes: integers of all vectors one after the other, D - i of vector i. exponents: (r,) never falling."""

    stage = StageId.REFLECTED_KLT
    codes: np.ndarray
    exponents: np.ndarray
    channels: int

    @classmethod
    def fit(cls, vectors: np.ndarray, exponents: np.ndarray) -> ReflectedKlt:
        """The stage for orthonormal rows `vectors` (r, D) float64, each at the precision 2^exponents[i]."""
        remaining = np.array(vectors.T, order="C")  # a copy: it is reflected in place
        codes = []
        for i, exponent in enumerate(exponents):
            w = remaining[i:, i]
            w = w / max(float(np.sqrt(w @ w)), 1e-300)
            q = np.rint(np.ldexp(w, -exponent)).astype(np.int32)
            if not q.any():
                q[np.argmax(np.abs(w))] = 1
            codes.append(q)
            u = _reflector(q.astype(np.float64))
            rest = remaining[i:, i + 1 :]
            rest -= np.outer(2 * u, u @ rest)
        return cls(np.concatenate(codes) if codes else np.zeros(0, np.int32), exponents, vectors.shape[1])

    @cached_property
    def synthesis(self) -> np.ndarray:
        rank = len(self.exponents)
        reflectors = np.zeros((self.channels, rank))
        end = 0
        for i in range(rank):
            start, end = end, end + self.channels - i
            reflectors[i:, i] = _reflector(self.codes[start:end].astype(np.float64))
        inverse_t = np.triu(reflectors.T @ reflectors, 1) + np.eye(rank) / 2
        basis = np.eye(self.channels, rank) - reflectors @ np.linalg.solve(inverse_t, reflectors[:rank].T)
        return np.ascontiguousarray(basis.T, dtype=np.float32)

    @cached_property
    def analysis(self) -> np.ndarray:
        return np.ascontiguousarray(self.synthesis.T)

    def write(self, out: FieldWriter) -> None:
        write_exponents(out, self.exponents)
        write_levels(out, self.codes, _classes(self.exponents, self.channels))

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> ReflectedKlt:
        channels = scope.channels
        exponents = read_exponents(fields, scope)
        codes = read_levels(fields, _classes(exponents, channels))
        starts = np.concatenate([[0], np.cumsum(channels - np.arange(len(exponents)))])[:-1]
        nonzero = np.add.reduceat(codes != 0, starts) if len(starts) else np.zeros(0)
        if not nonzero.all():
            raise fields.corrupt("basis: a vector is zero")
        return cls(codes, exponents, channels)


def _reflector(v: np.ndarray) -> np.ndarray:
    """The unit vector u of the reflection I - 2 u u^T that takes v (not zero) to the first axis; v is overwritten."""
    v[0] += np.copysign(np.sqrt(v @ v), v[0])
    v /= np.sqrt(v @ v)
    return v


def _classes(exponents: np.ndarray, channels: int) -> np.ndarray:
    lengths = channels - np.arange(len(exponents))
    classes = [entry_class(int(e), int(length)) for e, length in zip(exponents, lengths, strict=True)]
    return np.repeat(np.array(classes, np.uint8), lengths)
