"""Which chunks of a stream stand for all of it: in fits and trials of `encode`, and in forecasts."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from embdc_cli.tokens import Cut

SAMPLE_BYTES: Final = 128 << 20
"""Of raw rows, for models and rate trials."""
VIDEO_SAMPLE_BYTES: Final = 16 << 20
"""Of them for video codecs, which take longer by far."""
_SEED: Final = 20260101


@dataclass(frozen=True)
class Part:
    """What a forecast looks at of a stream.

    coded: the chunks that trials code, and how much each one counts. read: the only chunks that may be read, from which
    all else about the stream is inferred, those of `coded` among them; None for all.
    """

    coded: Mapping[Cut, float]
    read: frozenset[Cut] | None = None

    def on(self, cuts: Sequence[Cut]) -> Part:
        """The same part of a stream that is cut at scenes too, and of which all may be read."""
        firsts = [start for start, _ in cuts]
        middles = {(start + stop) // 2: weight for (start, stop), weight in self.coded.items()}
        return Part({cuts[bisect_right(firsts, row) - 1]: weight for row, weight in middles.items()})


def drawn_evenly(cuts: Sequence[Cut], count: int) -> list[Cut]:
    """At most `count` of these chunks, in order: one from each of `count` equal stretches, by a fixed seed."""
    if count >= len(cuts):
        return list(cuts)
    rng = random.Random(_SEED)
    drawn = (int((i + rng.random()) * len(cuts) / count) for i in range(count))
    return [cuts[number] for number in dict.fromkeys(drawn)]
