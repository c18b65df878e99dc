"""What the measures say in a word, by this rule.

    constant    nothing varies
    unknown     too few values to tell any gain
    noise       no gain of the plane's DCT, of the DCT in time or of the KLT, its basis paid for, reaches WORTH
    pictures    the plane's DCT gains most: neighbours are alike
    time        the DCT in time gains most: rows follow each other
    channels    the KLT, less its basis, gains most: channels vary together

Where massive channels hold more than MASSIVE of the energy, that is said as well: a plain error sees little else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORTH: Final = 1.0
"""dB: a sixth of a bit, about what models and headers of a small tensor cost."""
MASSIVE: Final = 0.5

_WORDS: Final = {
    "constant": "nothing varies: it costs next to nothing",
    "unknown": "too few values to tell",
    "noise": "like noise: entropy coding is all there is, in a video codec too",
    "pictures": "neighbours are alike, as in pictures: a video codec can predict them",
    "time": "rows follow each other: predict along time, a video codec between its frames",
    "channels": "channels vary together: a rotation of them (KLT) comes first, a video codec alone does not see it",
}
_ALSO: Final = {"dct": "neighbours", "time": "time", "klt_paid": "channels"}
_KINDS: Final = {"dct": "pictures", "time": "time", "klt_paid": "channels"}


def verdict(gain_db: Mapping[str, float | None], massive: float | None, *, varies: bool) -> dict[str, str]:
    """{kind, words} of gains {dct, time, klt_paid} in dB."""
    known = {name: gain for name in _KINDS if (gain := gain_db[name]) is not None}
    worth = sorted((name for name, gain in known.items() if gain >= WORTH), key=lambda name: -known[name])
    if not varies:
        kind = "constant"
    elif not known:
        kind = "unknown"
    else:
        kind = _KINDS[worth[0]] if worth else "noise"
    words = _WORDS[kind]
    if varies and len(worth) > 1:
        words += "; then " + ", ".join(f"{_ALSO[name]} {known[name]:.1f} dB" for name in worth[1:])
    if varies and massive is not None and massive > MASSIVE:
        words += f"; {100 * massive:.0f} % of the energy is in a hundredth of the channels"
    return {"kind": kind, "words": words}
