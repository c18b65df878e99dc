"""The modes of a mixture and how they are sent: for each a mean, an orthonormal basis, and how large its codes are.

Everything is integers: means in units of 2^e, basis vectors as reflections in units of 2^(-h/2), magnitudes as classes
of the entropy coder, for each vector one for frequency 0 and one for all others, or one for each octave, or one for
all, where tracks are single rows. What a track's level changes about magnitudes is told once for all modes: an offset
for each level and band.
Layout: [byte] kind of entries (`entries`); [byte] classes of a vector; [varint] modes; for each mode [varint] rank,
[i8] e, [byte] class of the mean's codes, [byte] first h, 0 where the vectors are the first axes; then the small
integers of all modes (falls of h; changes of class - h from vector to vector, for the third class and on of its
difference to the one before; the offsets), each kind under a class of its own; then means and basis entries of all
modes, under known classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import Limits
from embdc_cli.codec.transform.mixture.entries import PLAIN, TRELLIS, Entries, entry_classes
from embdc_cli.codec.transform.mixture.frequencies import BANDS, occurring
from embdc_cli.codec.transform.mixture.tracks import LEVELS
from embdc_cli.codec.transform.parameters import read_uniform_levels, write_uniform_levels
from embdc_cli.codec.transform.reflections import are_zero, lengths_of, quantised, vectors_of
from embdc_cli.entropy.dependent.tables import entry_path_tables
from embdc_cli.entropy.tables import CLASSES, classes_of_means, have_room, least_bits, static_tables

KINDS: Final = (PLAIN, TRELLIS)
MAX_MODES: Final = 64
COARSEST_H: Final = 4
FINEST_H: Final = 52
_EXPONENT_LIMIT: Final = 126
_MEAN_BITS: Final = 24  # float32 holds no more
_MAX_OFFSET: Final = 60


@dataclass(frozen=True, eq=False)
class Mode:
    """mean_codes: (D,) int32 in units of `entries.unit` 2^mean_exponent, coded under mean_class. h: (r,), never rising.

    basis_codes: `reflections` of r vectors; none where the vectors are the first r axes, which have h 0.
    classes: (kinds, r) int64, 1..63, of octaves 0, 1, ..; the last of all others (`frequencies.kind_of`).
    """

    entries: Entries
    mean_codes: np.ndarray
    mean_exponent: int
    mean_class: int
    h: np.ndarray
    basis_codes: np.ndarray
    classes: np.ndarray

    @property
    def rank(self) -> int:
        return len(self.h)

    @property
    def channels(self) -> int:
        return len(self.mean_codes)

    @cached_property
    def mean(self) -> np.ndarray:
        """(D,) float32."""
        return np.ldexp(self.mean_codes * self.entries.unit, self.mean_exponent).astype(np.float32)

    @property
    def on_axes(self) -> bool:
        """Whether the vectors are the first axes, because something before the mixture made them so."""
        return bool(self.rank) and not self.h[0]

    @cached_property
    def synthesis(self) -> np.ndarray:
        """(r, D) float32, orthonormal rows; the analysis is the transpose."""
        if self.on_axes:
            return np.eye(self.rank, self.channels, dtype=np.float32)
        return vectors_of(self.basis_codes, self.rank, self.channels)

    def analyse(self, x: np.ndarray) -> np.ndarray:
        """(n, r) coefficients of tokens (n, D)."""
        centred = x - self.mean
        return centred[:, : self.rank] if self.on_axes else np.asarray(centred @ self.synthesis.T)

    def synthesise(self, y: np.ndarray) -> np.ndarray:
        """(n, D) tokens of coefficients (n, r)."""
        if not self.on_axes:
            found = np.asarray(y @ self.synthesis)
            found += self.mean
            return found
        x = np.tile(self.mean, (len(y), 1))
        x[:, : self.rank] += y
        return x

    @classmethod
    def fit(
        cls,
        entries: Entries,
        mean: np.ndarray,
        precision: float,
        vectors: np.ndarray | None,
        h: np.ndarray,
        classes: np.ndarray,
    ) -> Mode:
        """The mode for a mean (D,) wanted to within `precision`, and orthonormal vectors (r, D) at the precisions h.

        vectors: None for the first axes; then h is 0.
        """
        largest = float(np.abs(mean).max(initial=0.0))
        finest = math.frexp(largest)[1] - _MEAN_BITS if largest > 0 else -_EXPONENT_LIMIT
        exponent = min(max(round(math.log2(precision)), finest, -_EXPONENT_LIMIT), _EXPONENT_LIMIT)
        wanted = np.ldexp(mean, -exponent)
        mean_class = int(classes_of_means(np.abs(np.rint(wanted)).sum(), max(1, len(wanted))))
        mean_class = max(mean_class, 1)
        codes = np.zeros(0, np.int32)
        if vectors is not None:
            own = entry_classes(h, lengths_of(len(h), len(mean)))
            codes = quantised(vectors, precisions_of(h), lambda values, i: entries.rounded(values, int(own[i])))
        return cls(entries, entries.rounded(wanted, mean_class), exponent, mean_class, h, codes, classes)


def precisions_of(h: np.ndarray) -> np.ndarray:
    """(r,) float64: what one unit of a basis entry is worth."""
    return np.asarray(np.exp2(-0.5 * h))


def write_modes(out: FieldWriter, modes: Sequence[Mode], offsets: np.ndarray) -> None:
    """offsets: (LEVELS, BANDS) int64 by level and band."""
    out.byte(KINDS.index(modes[0].entries))
    out.byte(len(modes[0].classes))
    out.varint(len(modes))
    for mode in modes:
        out.varint(mode.rank)
        out.signed_byte(mode.mean_exponent)
        out.byte(mode.mean_class)
        out.byte(int(mode.h[0]) if mode.rank else COARSEST_H)
    write_uniform_levels(out, _folded(np.concatenate([-np.diff(mode.h) for mode in modes])))
    for kind in range(len(modes[0].classes)):
        above = [mode.classes[kind] - (mode.classes[kind - 1] if kind > 1 else mode.h) for mode in modes]
        write_uniform_levels(out, np.diff(np.concatenate(above), prepend=0))
    write_uniform_levels(out, offsets[occurring()])
    integers = np.concatenate([codes for mode in modes for codes in (mode.mean_codes, mode.basis_codes)])
    entries = modes[0].entries
    ranks, mean_classes = [mode.rank for mode in modes], [mode.mean_class for mode in modes]
    large = _large(mean_classes, ranks, np.concatenate([mode.h for mode in modes]), modes[0].channels)
    entries.write(out, integers, np.repeat(large.classes, large.lengths), large.lengths)


def read_modes(fields: FieldReader, channels: int, limits: Limits) -> tuple[tuple[Mode, ...], np.ndarray]:
    """(modes, offsets) as `write_modes` wrote them. Raises CorruptArchive, before allocating what they claim."""
    entries = KINDS[fields.byte(limit=len(KINDS) - 1)]
    kinds = fields.byte(limit=LEVELS)
    if kinds < 1:
        raise fields.corrupt(f"classes of a vector: expected 1 to {LEVELS}, found {kinds}")
    count = fields.varint(limit=min(MAX_MODES, limits.max_modes))
    if count == 0:
        raise fields.corrupt("modes: expected at least 1, found 0")
    ranks, exponents, mean_classes, first_h = [], [], [], []
    for _ in range(count):
        ranks.append(fields.varint(limit=min(channels, limits.max_rank)))
        exponents.append(fields.signed_byte())
        mean_classes.append(fields.byte(limit=CLASSES - 1))
        first_h.append(fields.byte(limit=FINEST_H))
        if 0 < first_h[-1] < COARSEST_H:
            raise fields.corrupt(f"basis precision: expected 0 or at least {COARSEST_H}, found {first_h[-1]}")
        if abs(exponents[-1]) > _EXPONENT_LIMIT:
            raise fields.corrupt(f"exponent of means: expected at most {_EXPONENT_LIMIT}, found {exponents[-1]}")
    falls = _unfolded(read_uniform_levels(fields, sum(max(0, rank - 1) for rank in ranks)))
    h = _fallen(falls, ranks, first_h)
    if (h < np.where(np.repeat(first_h, ranks), COARSEST_H, 0)).any():
        raise fields.corrupt(f"basis precision: expected at least {COARSEST_H}")
    classes = np.empty((kinds, h.size), np.int64)
    for kind in range(kinds):
        np.cumsum(read_uniform_levels(fields, h.size), dtype=np.int64, out=classes[kind])
        classes[kind] += classes[kind - 1] if kind > 1 else h
    if h.size and not 1 <= classes.min() <= classes.max() < CLASSES:
        raise fields.corrupt(f"classes: expected 1 to {CLASSES - 1}")
    offsets = np.zeros((LEVELS, BANDS), np.int64)
    offsets[occurring()] = read_uniform_levels(fields, len(occurring()[0]))
    if np.abs(offsets).max() > _MAX_OFFSET:
        raise fields.corrupt(f"class offsets: expected at most {_MAX_OFFSET}, found {np.abs(offsets).max()}")
    large = _large(mean_classes, ranks, h, channels)
    if not have_room(fields.left, large.classes, large.lengths, _least_bits()):
        raise fields.corrupt(
            f"expected {large.lengths.sum()} means and basis entries, found {fields.left} bytes for them"
        )
    integers = entries.read(fields, np.repeat(large.classes, large.lengths), large.lengths)
    if np.delete(are_zero(integers, large.lengths), large.means).any():
        raise fields.corrupt("basis: a vector is zero")
    modes, row = [], 0
    own = np.split(integers, np.cumsum(np.add.reduceat(large.lengths, large.means))[:-1])
    for rank, exponent, mean_class, codes in zip(ranks, exponents, mean_classes, own, strict=True):
        mean, basis, vectors = codes[:channels], codes[channels:], slice(row, row + rank)
        modes.append(Mode(entries, mean, exponent, mean_class, h[vectors], basis, classes[:, vectors]))
        row += rank
    return tuple(modes), offsets


def _fallen(falls: np.ndarray, ranks: Sequence[int], first: Sequence[int]) -> np.ndarray:
    """(n,) int64: h of all modes' vectors, the first of each given, and how far each other is below the one before."""
    starts = np.cumsum(ranks) - ranks
    steps = np.zeros(sum(ranks) + 1, np.int64)
    falling = np.ones(len(steps), bool)
    falling[starts] = falling[-1] = False
    steps[falling] = falls
    depth = np.cumsum(steps)
    return np.asarray(np.repeat(first + depth[starts], ranks) - depth[:-1])


@dataclass(frozen=True)
class _Large:
    """classes (n,) uint8, lengths (n,) int64: of every mean and basis vector as sent. means: (modes,) their places."""

    classes: np.ndarray
    lengths: np.ndarray
    means: np.ndarray


def _large(mean_classes: Sequence[int], ranks: Sequence[int], h: np.ndarray, channels: int) -> _Large:
    """What modes of these ranks send. h: of all their vectors, 0 for axes, which are not sent."""
    sent = h > 0
    lengths = channels - np.concatenate([np.arange(rank) for rank in ranks])[sent]
    before = np.append(0, np.cumsum(sent))[np.cumsum(ranks) - ranks]
    return _Large(
        np.insert(entry_classes(h[sent], lengths), before, mean_classes),
        np.insert(lengths, before, channels),
        before + np.arange(len(ranks)),
    )


@cache
def _least_bits() -> np.ndarray:
    """(CLASSES,) float64: what a level of each class takes at least, whichever way it is coded."""
    return least_bits(static_tables(), entry_path_tables())


def _folded(values: np.ndarray) -> np.ndarray:
    """0, 1, 2, 3, .. as 0, 1, -1, 2, ..: magnitudes that are never negative make use of their signs."""
    folded: np.ndarray = np.where(values % 2, (values + 1) // 2, -(values // 2))
    return folded.astype(np.int32)


def _unfolded(levels: np.ndarray) -> np.ndarray:
    wide = levels.astype(np.int64)
    return np.where(wide > 0, 2 * wide - 1, -2 * wide)
