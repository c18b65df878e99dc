"""The coders of the downstream benchmark, at each of their settings: embdc, its rivals, and both together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from material import Material
from peers import present
from peers.coder import Coder as Peer
from peers.product_quantisation import product
from peers.rounding import rounding
from peers.tiles import channels
from token_dropping import dropped, most_attended, stored

import embdc_cli as embdc

DEPTHS = (8, 4, 3, 2)
RUNS = (96, 32, 16, 8, 4)  # channels of a byte
QUANTISERS = (42, 36, 30, 26, 22, 18, 14)
SHARES = (0.5, 0.25, 0.1)  # of tokens kept
RATES_OF_KEPT = (0.25, 0.5, 1.0)  # bits per value of these

Coder = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Decoded:
    """All dumps of a material through one coder."""

    setting: str
    bits_per_value: float
    dumps: list[np.ndarray]
    kept: list[np.ndarray] | None = None


@dataclass(frozen=True)
class Bench:
    """Every method on one material."""

    material: Material
    rates: Sequence[float]
    weightings: Sequence[str]
    effort: int
    scratch: Path

    def methods(self) -> Iterator[tuple[str, Iterator[Decoded]]]:
        """Names, and what each setting decodes to."""
        for weighting in self.weightings:
            name = f"embdc effort {self.effort}, weighting {weighting}"
            yield name, (self._whole(f"{rate} b/v", partial(self._archived, rate, weighting)) for rate in self.rates)
        yield "token dropping", (self._fewer("float16", share, stored) for share in SHARES)
        for share in SHARES:
            coders = ((f"{rate} b/v", partial(self._archived, rate, "none")) for rate in RATES_OF_KEPT)
            name = f"token dropping to {share:.0%}, embdc effort {self.effort}"
            yield name, (self._fewer(setting, share, coder) for setting, coder in coders)
        yield "x265", (self._whole(f"qp {qp}", partial(self._beside_special, channels(), qp)) for qp in QUANTISERS)
        for along in ("token", "channel"):
            coder = rounding(along)
            yield f"rtn per {along}", (self._whole(f"int{depth}", partial(through, coder, depth)) for depth in DEPTHS)
        for coder in present([product()]):
            runs = ((f"{run} channels", partial(self._beside_special, coder, (run, 8))) for run in RUNS)
            yield "pq", (self._whole(setting, one) for setting, one in runs)

    def _whole(self, setting: str, coder: Coder) -> Decoded:
        found = [coder(x) for x in self.material.dumps]
        return Decoded(setting, self._mean([bits for bits, _ in found]), [y for _, y in found])

    def _fewer(self, setting: str, share: float, coder: Coder) -> Decoded:
        kept = [most_attended(attention, share) for attention in self.material.attention]
        found = [dropped(x, mask, coder) for x, mask in zip(self.material.dumps, kept, strict=True)]
        bits = self._mean([bits for bits, _ in found])
        return Decoded(f"{share:.0%} kept, {setting}", bits, [y for _, y in found], kept)

    def _mean(self, bits: Sequence[float]) -> float:
        """Bits per value of all dumps together."""
        return float(np.average(bits, weights=[x.size for x in self.material.dumps]))

    def _archived(self, rate: float, weighting: str, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Through a file of its own; CLS is coded apart from the patches."""
        archive, out = str(self.scratch / "a.embdc"), str(self.scratch / "a.npy")
        special = str(self.material.special)
        options: dict[str, Any] = {"target_bpv": rate, "weighting": weighting, "effort": self.effort}
        result = embdc.encode(x, archive, force=True, special_tokens=special, **options)
        embdc.decode(archive, out, force=True)
        return float(result["bits_per_value"]), np.load(out)

    def _beside_special(self, coder: Peer, setting: Any, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Patches through `coder`, special tokens in float16 beside them, counted."""
        special, patches = np.split(x, [self.material.special], axis=1)
        bits, decoded = through(coder, setting, patches)
        whole = np.concatenate([special.astype(np.float32), decoded], axis=1)
        return (bits * patches.size + 16 * special.size) / x.size, whole


def through(coder: Peer, setting: Any, x: np.ndarray) -> tuple[float, np.ndarray]:
    """(bits per value, x decoded)."""
    found = coder.coded(x, setting)
    return found.bits, found.decoded
