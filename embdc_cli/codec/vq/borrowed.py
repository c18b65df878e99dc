"""Levels that a segment takes from the codebook it names: some of the codebook's, in the codebook's order.

Which ones are worth it differs from segment to segment, and every token that wants a later level pays an index for each
one before it: so levels are named one by one, a bit each. Nothing else of them is in the archive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.table import Codebook
from embdc_cli.codec.vq.levels import MAX_LEVELS, LearntLevel


@dataclass(frozen=True, eq=False)
class Borrowed:
    """offered: all levels of the codebook. places: of those that are used, rising."""

    offered: tuple[LearntLevel, ...]
    places: tuple[int, ...]

    @property
    def levels(self) -> tuple[LearntLevel, ...]:
        """Those that are used."""
        return tuple(self.offered[place] for place in self.places)

    def write(self, out: FieldWriter) -> None:
        """[byte] levels used; if any, a bit for each of the codebook's, the first one highest."""
        out.byte(len(self.places))
        if self.places:
            used = np.zeros(len(self.offered), np.uint8)
            used[list(self.places)] = 1
            out.raw(np.packbits(used).tobytes())

    @classmethod
    def read(cls, fields: FieldReader, codebook: Codebook | None, channels: int) -> Borrowed:
        """channels: of the tokens. Raises CorruptArchive."""
        count = fields.byte(limit=MAX_LEVELS)
        if not count:
            return NONE
        offered = () if codebook is None else codebook.levels
        if count > len(offered):
            raise fields.corrupt(f"vector quantiser: expected a codebook of at least {count} levels")
        used = np.unpackbits(np.frombuffer(fields.raw((len(offered) + 7) // 8), np.uint8))
        if used[len(offered) :].any():
            raise fields.corrupt("vector quantiser: expected zeros behind the bits of levels")
        places = tuple(int(place) for place in np.flatnonzero(used))
        if len(places) != count:
            raise fields.corrupt(f"vector quantiser: expected {count} levels of the codebook, found {len(places)}")
        if any(offered[place].channels[-1] >= channels for place in places):
            raise fields.corrupt(f"vector quantiser: expected levels of the codebook for {channels} coefficients")
        return cls(offered, places)


NONE: Final = Borrowed((), ())
