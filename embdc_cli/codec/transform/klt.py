"""Karhunen-Loeve transform with its own orthonormal basis, coded as reflections (`reflections`).

Its transpose is the analysis, exactly, and no decoded basis can amplify. Vector i is sent in units of 2^e_i.
Dimensions: D channels, r <= D vectors. x: (F, N, D) float32 -> (F, N, r).
Not here: several bases per segment (`mixture`), bases predicted from other bases, which saved next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.basis import Basis, entry_class, read_exponents, write_exponents
from embdc_cli.codec.transform.parameters import Scope, check_room, read_levels, write_levels
from embdc_cli.codec.transform.reflections import check_codes, lengths_of, quantised, vectors_of
from embdc_cli.entropy.tables import entry_tables


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
        return cls(quantised(vectors, np.ldexp(1.0, exponents)), exponents, vectors.shape[1])

    @cached_property
    def synthesis(self) -> np.ndarray:
        return vectors_of(self.codes, len(self.exponents), self.channels)

    @cached_property
    def analysis(self) -> np.ndarray:
        return np.ascontiguousarray(self.synthesis.T)

    def write(self, out: FieldWriter) -> None:
        write_exponents(out, self.exponents)
        write_levels(out, self.codes, np.repeat(*_classes(self.exponents, self.channels)), entry_tables())

    @classmethod
    def read(cls, fields: FieldReader, scope: Scope) -> ReflectedKlt:
        channels = scope.channels
        exponents = read_exponents(fields, scope)
        classes, lengths = _classes(exponents, channels)
        check_room(fields, classes, lengths, entry_tables())
        codes = read_levels(fields, np.repeat(classes, lengths), entry_tables())
        check_codes(codes, len(exponents), channels, fields)
        return cls(codes, exponents, channels)


def _classes(exponents: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """(classes (r,) uint8, lengths (r,) int64) of the vectors."""
    lengths = lengths_of(len(exponents), channels)
    classes = [entry_class(int(e), int(length)) for e, length in zip(exponents, lengths, strict=True)]
    return np.array(classes, np.uint8), lengths
