"""The class of every coefficient, from its position alone: temporal band and basis vector.

Frequency k of a group is in band bit_length(k): {0}, {1}, {2, 3}, {4..7}, {8..15}, {16..31}, {32..63}. The classes of
a segment are a table (bands, r) of half-octaves of the mean magnitude of the codes (embdc_cli.entropy.tables), sent as
differences along r. Position decides everything, so that a decoder knows all classes before the first symbol and any
division into lanes is legal. Not here: contexts of neighbouring codes (1 to 4 % on top, at the price of that freedom).
"""

from __future__ import annotations

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.parameters import read_uniform_levels, write_uniform_levels
from embdc_cli.entropy.tables import CLASSES


def band_count(group: int) -> int:
    """Bands of a group of that many rows."""
    return (group - 1).bit_length() + 1


def band_of(group: int) -> np.ndarray:
    """(group,) int64: the band of each frequency."""
    return np.array([k.bit_length() for k in range(group)])


def write_classes(out: FieldWriter, classes: np.ndarray) -> None:
    """classes: (bands, r) uint8."""
    wide = classes.astype(np.int32)
    steps = np.diff(wide, axis=1, prepend=0)
    if wide.size:
        steps[1:, 0] = np.diff(wide[:, 0])
    write_uniform_levels(out, steps.ravel())


def read_classes(fields: FieldReader, bands: int, rank: int) -> np.ndarray:
    """(bands, rank) uint8 as `write_classes` wrote them. Raises CorruptArchive when one is no class."""
    steps = read_uniform_levels(fields, bands * rank).reshape(bands, rank).astype(np.int64)
    if steps.size:
        steps[:, 0] = np.cumsum(steps[:, 0])
    classes = np.cumsum(steps, axis=1)
    if classes.size and not 0 <= classes.min() <= classes.max() < CLASSES:
        raise fields.corrupt(f"classes: expected 0 to {CLASSES - 1}, found {classes.min()} to {classes.max()}")
    return classes.astype(np.uint8)
