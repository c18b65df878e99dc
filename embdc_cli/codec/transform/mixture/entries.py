"""How the large integers of modes, means and basis entries, are rounded and coded: by rate, or by a trellis.

Both hand out integers in units that the caller knows: levels of `PLAIN`, points in half steps of `TRELLIS`, where a
half step is HALF_STEP of the plain step. Each mean and each basis vector is one path of the trellis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform import rdoq, trellis
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.parameters import MAX_LEVEL, read_levels, write_levels
from embdc_cli.entropy import dependent
from embdc_cli.entropy.dependent.points import levels_of
from embdc_cli.entropy.dependent.tables import entry_path_tables
from embdc_cli.entropy.tables import classes_of_means, entry_tables

HALF_STEP: Final = 0.65
"""Of the step of a scalar quantiser that leaves the same slope of error against bits."""
LAGRANGIAN: Final = 0.38
"""Squared half steps per bit."""


@dataclass(frozen=True)
class Entries:
    """unit: of the integers, in plain steps."""

    unit: float

    def rounded(self, values: np.ndarray, cls: int) -> np.ndarray:
        """int32 integers for values (n,) in plain steps, coded under class `cls`."""
        classes = np.full(len(values), cls, np.uint8)
        return rdoq.quantise(values.astype(np.float32), classes, _thresholds())

    def write(self, out: FieldWriter, integers: np.ndarray, classes: np.ndarray, lengths: np.ndarray) -> None:
        """lengths: of the means and vectors, one after the other."""
        write_levels(out, integers, classes, entry_tables())

    def read(self, fields: FieldReader, classes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """int32 as `write` wrote them. Raises CorruptArchive."""
        return read_levels(fields, classes, entry_tables())


class _TrellisEntries(Entries):
    def rounded(self, values: np.ndarray, cls: int) -> np.ndarray:
        classes = np.full(len(values), cls, np.uint8)
        paths = np.array([[len(values), 1]])
        levels = trellis.choose(
            (values / self.unit).astype(np.float32), classes, paths, LAGRANGIAN, entry_path_tables()
        )
        return dependent.path_points(levels, classes, paths, entry_path_tables())

    def write(self, out: FieldWriter, integers: np.ndarray, classes: np.ndarray, lengths: np.ndarray) -> None:
        out.blob(dependent.encode(levels_of(integers), classes, _paths(lengths), entry_path_tables()))

    def read(self, fields: FieldReader, classes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        levels, chosen = dependent.decode(fields.blob(), classes, _paths(lengths), entry_path_tables(), MAX_LEVEL - 1)
        return dependent.points_of(levels, chosen)


@cache
def _thresholds() -> np.ndarray:
    return rdoq.thresholds(LAMBDA, (0, 0, 0), entry_tables())


def _paths(lengths: np.ndarray) -> np.ndarray:
    return np.stack([lengths, np.ones_like(lengths)], axis=1)


PLAIN: Final = Entries(1.0)
TRELLIS: Final = _TrellisEntries(HALF_STEP)


def entry_classes(h: np.ndarray, dimensions: np.ndarray) -> np.ndarray:
    """(n,) uint8: the class of a random unit vector's entries in steps of 2^(-h/2), h (n,): mean 0.8 / sqrt(D).

    Integers below 2^53, their root and their quotient correctly rounded: what integers alone would give, as no D that a
    layout allows is so near to the border of a class.
    """
    root = np.floor(np.sqrt(dimensions * 2.0**32))
    half = np.where(h % 2, 92682, 65536)  # sqrt(2) and 1 in 1/65536
    return classes_of_means(3277 * half << h // 2 >> 12, root)
