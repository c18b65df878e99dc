"""What every part of vector quantisation is worth: bits at equal error with one part off, against everything on.

    python tests/bench/vq_ablation.py [--dumps WORD] [--variants NAME ...] [--rows N]

As `ablation.py`, for `--codec vq` at effort 1. A part is switched off by replacing it in memory; flags are counted and
priced anew without it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import curves
import numpy as np
import record
from ablation import inputs, row, summary

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.vq.quantiser import VectorQuantiser
from embdc_cli.codec.vq.search import Prices
from embdc_cli.parallel import one_blas_thread

ERRORS = (0.3, 0.1, 0.03, 0.01)
OCTAVES = np.arange(3.0, -5.0, -0.5)
"""Of steps, over the rms."""
QUANTISER = "embdc_cli.codec.vq.quantiser.VectorQuantiser"
FIT = "embdc_cli.codec.vq.fit"
_PRICES: Any = VectorQuantiser.prices.func  # type: ignore[attr-defined]


def priced(**bits: float) -> property:
    """In the place of `VectorQuantiser.prices`: some answers at another price, which the search then avoids."""

    def prices(quantiser: VectorQuantiser) -> Prices:
        found: Prices = _PRICES(quantiser)
        return replace(found, **{name: np.full_like(getattr(found, name), value) for name, value in bits.items()})

    return property(prices)


@dataclass(frozen=True)
class Variant:
    """replaced: names of the package and what they are while the variant runs."""

    name: str
    replaced: tuple[tuple[str, object], ...] = ()


VARIANTS = (
    Variant("everything"),
    Variant("no gains", ((f"{FIT}.VectorQuantiser", partial(VectorQuantiser, gains=False)),)),
    Variant("no index is kept", ((f"{QUANTISER}.prices", priced(keep=1e6)),)),
    Variant("every token has all levels", ((f"{QUANTISER}.prices", priced(stop=1e6)),)),
    Variant("no levels of its own", ((f"{FIT}._MOST_LEARNT", 0),)),
    Variant("no Gaussian levels", ((f"{FIT}.gaussian_levels", lambda energies, lagrangian: 0),)),
)


def measured(variant: Variant, x: np.ndarray, errors: Sequence[float]) -> list[float]:
    """Bits per value at the errors, models and payload."""
    with ExitStack() as replaced:
        for name, value in variant.replaced:
            replaced.enter_context(mock.patch(name, value))
        spec = curves.spec_of(x)
        fit = Fit(spec, [x], options=FitOptions(vector=True))
        points: list[tuple[float, float]] = []
        for octave in OCTAVES:
            models = fit.models(fit.rms * 2.0**octave)
            coded = TransformCodec(spec, models).encode(x)
            bits = 8 * (len(models.to_bytes()) + len(coded.payload)) / x.size
            points.append((curves.error("nmse", x, coded.decoded), bits))
            if points[-1][0] < min(errors):
                break
    return [curves.bits_at(points, error) for error in errors]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dumps", default="", help="only dumps with this in their name")
    parser.add_argument("--variants", nargs="*", default=[], help="only these")
    parser.add_argument("--rows", type=int, default=1 << 30, help="at most so many rows of each dump")
    args = parser.parse_args()
    folder = Path(os.environ["EMBDC_TEST_DATA"]) / "data/embeddings"
    others = [one for one in VARIANTS[1:] if not args.variants or one.name in args.variants]
    ratios: dict[str, list[float]] = {}
    with one_blas_thread():
        for dump, rate, _, x in inputs(folder, args.dumps, args.rows):
            if rate != "native":
                continue
            reference = measured(VARIANTS[0], x, ERRORS)
            rows = [row(dump, rate, "nmse", "everything", dict(zip(ERRORS, reference, strict=True)), 1.0)]
            for variant in others:
                bits = measured(variant, x, ERRORS)
                both = [a / b for a, b in zip(bits, reference, strict=True)]
                ratio = curves.geometric_mean(both) if np.isfinite(both).any() else float("nan")
                ratios.setdefault(variant.name, []).append(ratio)
                rows.append(row(dump, rate, "nmse", variant.name, dict(zip(ERRORS, bits, strict=True)), ratio))
            record.append("vq_ablation", rows)
    record.append("vq_ablation", [summary("native", name, found, ERRORS) for name, found in ratios.items()])


if __name__ == "__main__":
    main()
