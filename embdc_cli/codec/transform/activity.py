"""How much each track moves: an offset to the classes of its temporal frequencies, per token and group.

A track is one token over one group. Its codes of frequency 1 upwards are larger or smaller than the segment's classes
say by a factor that hardly depends on basis vector or frequency, so one integer per track, in half octaves,

    o = round(2 log2(sum |q| / sum of the classes' means)),   -12 <= o <= 11,

tells the entropy coder nearly all there is to know: 15 % of the bits of a juggler before a still background, 3 % of a
street seen from above. Frequency 0 is left out; what it holds does not depend on motion. Groups of one row have no
track, and no offsets are sent. Offsets are sent as differences to the token before, rows of tokens in raster order.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.transform.parameters import read_uniform_levels, write_uniform_levels
from embdc_cli.entropy.tables import UNIT_CLASS, classes_of_means

LOWEST: Final = -12
HIGHEST: Final = 11


def measure(codes: np.ndarray, group: int) -> np.ndarray:
    """(groups, N) int64: the sums of |q| over all but frequency 0 of codes (F, N, r); the last group may be short."""
    starts = range(0, len(codes), group)
    sums = [np.abs(codes[start + 1 : start + group]).sum(axis=(0, 2), dtype=np.int64) for start in starts]
    return np.array(sums, np.int64).reshape(len(starts), codes.shape[1])


def offsets_of(sums: np.ndarray, classes: np.ndarray, rows: int) -> np.ndarray:
    """(groups, N) int8 offsets of tracks with these `sums` (`measure`), of `rows` rows, under plane classes (G, r)."""
    group = len(classes)
    means = np.where(classes > 0, np.exp2((classes.astype(np.float64) - UNIT_CLASS) / 2), 0.0).sum(axis=1)
    offsets = np.zeros(sums.shape, np.int8)
    for number, own in enumerate(sums):
        expected = float(means[1 : min(group, rows - number * group)].sum())
        if expected > 0.0:
            octaves = classes_of_means(own, np.full(own.shape, expected)).astype(np.int64) - UNIT_CLASS
            offsets[number] = np.clip(octaves, LOWEST, HIGHEST)
    return offsets


def write(out: FieldWriter, offsets: np.ndarray) -> None:
    """offsets: (groups, N)."""
    write_uniform_levels(out, np.diff(offsets.astype(np.int32).ravel(), prepend=0))


def read(fields: FieldReader, groups: int, tokens: int) -> np.ndarray:
    """(groups, tokens) int8 as `write` wrote them. Raises CorruptArchive when one is out of range."""
    offsets = np.cumsum(read_uniform_levels(fields, groups * tokens), dtype=np.int64)
    if offsets.size and not LOWEST <= offsets.min() <= offsets.max() <= HIGHEST:
        raise fields.corrupt(f"track offsets: expected {LOWEST} to {HIGHEST}")
    return offsets.astype(np.int8).reshape(groups, tokens)
