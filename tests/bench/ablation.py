"""What every stage is worth: bits at equal error with one stage off, against everything on, over real dumps.

    python tests/bench/ablation.py [--dumps WORD] [--variants NAME ...] [--rows N] [--errors E ... --csv NAME]

Stages have no switches in the product; here they are replaced while a variant runs. A choice among chains stays: where
a crippled chain costs more by the encoder's own reckoning than the next best, the next best is taken.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import curves
import numpy as np
import record

from embdc_cli.codec.transform.activity import LOWEST
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.mixture.entries import PLAIN
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.statistics import ModeStatistics, Principal
from embdc_cli.codec.transform.mixture.tracks import Tracks, longest_levels
from embdc_cli.entropy.tables import TOTAL, Tables
from embdc_cli.parallel import one_blas_thread

ERRORS = (0.1, 0.05, 0.02, 0.01)
IMAGES = 48  # of the dump of single images: enough to tell, and they are 197 tokens each
SPARSER = 12  # every 12th row: 2 to 2.5 a second
LEAST_ROWS = 5

TRANSFORM = "embdc_cli.codec.transform"
MIXTURE = f"{TRANSFORM}.mixture"


@dataclass(frozen=True)
class Variant:
    """effort: of the fit. replaced: names of the package and what they are while the variant runs."""

    name: str
    replaced: tuple[tuple[str, object], ...] = ()
    effort: int = 3


def one_length(level: int) -> object:
    """A cut of every token into tracks of 2^level rows, shorter only where the span ends."""

    def cut(
        least: Sequence[np.ndarray], chosen: Sequence[np.ndarray], rows: int, tokens: int
    ) -> tuple[np.ndarray, np.ndarray]:
        levels, modes = np.zeros((rows, tokens), np.int8), np.zeros((rows, tokens), np.int16)
        longest = np.minimum(longest_levels(rows), level)
        row = 0
        while row < rows:
            own = int(longest[row])
            here = slice(row, row + (1 << own))
            levels[here], modes[here] = own, chosen[own][row >> own]
            row = here.stop
        return levels, modes

    return cut


def same_activity(motion: object, magnitudes: np.ndarray, tracks: Tracks) -> np.ndarray:
    """In the place of `Motion.activities`: every track as active as its mode."""
    return np.full(len(tracks.level), 1 - LOWEST, np.uint8)


def without_mean(fit: MixtureFit, tokens: np.ndarray, first: int) -> ModeStatistics:
    """In the place of `MixtureFit._mode_statistics`: no centroids, every basis through the mean of the segment."""
    axes = fit._principal if fit.count == 1 else Principal.of_tokens(tokens)
    return ModeStatistics(len(tokens), np.zeros(tokens.shape[1]), axes.variances, axes.vectors, first)


def free(symbol: int, symbols: int = 25) -> Tables:
    """Under which `symbol` costs next to nothing."""
    freq = np.ones((1, symbols), np.int64)
    freq[0, symbol] = TOTAL - symbols + 1
    return Tables(freq)


def modes(*numbers: int) -> tuple[str, object]:
    """These numbers of modes are tried."""
    return f"{TRANSFORM}.group_fit._MODES", (numbers,) * 4


NO_TRELLIS = (f"{TRANSFORM}.group_fit._TRELLIS", 4)
ROUNDING = (f"{MIXTURE}.rate_rounding.RateRounding.forward", DeadZone.forward)
VARIANTS = (
    Variant("everything"),
    Variant("no trellis for means and bases", ((f"{MIXTURE}.mixture_fit.TRELLIS", PLAIN),)),
    Variant("no trellis", (NO_TRELLIS,)),
    Variant("no trellis, plain dead zone", (NO_TRELLIS, ROUNDING)),
    Variant("one mode", (modes(1),)),
    Variant("one mode not offered", (modes(4, 8, 16, 32, 64),)),
    Variant("at most 4 modes", (modes(1, 4),)),
    Variant("at most 16 modes", (modes(1, 4, 8, 16),)),
    Variant("at most 32 modes", (modes(1, 4, 8, 16, 32),)),
    Variant("up to 128 modes", (modes(1, 4, 8, 16, 32, 64, 128),)),
    Variant("no centroids", ((f"{MIXTURE}.mixture_fit.MixtureFit._mode_statistics", without_mean),)),
    Variant("modes of effort 1", (modes(1, 8, 48),)),
    Variant("modes learnt in one round", ((f"{MIXTURE}.learning.ROUNDS", 1),)),
    Variant("all tracks of 16 rows", ((f"{MIXTURE}.search._cut", one_length(4)),)),
    Variant("no transform in time", ((f"{MIXTURE}.search._cut", one_length(0)),)),
    Variant(
        "no activities",
        ((f"{MIXTURE}.motion.Motion.activities", same_activity), (f"{MIXTURE}.motion._ACTIVITIES", free(1 - LOWEST))),
    ),
    Variant("no sparse path", ((f"{TRANSFORM}.group_fit._MOSTLY_ZERO", 2.0),)),
    Variant("single KLT (effort 0)", effort=0),
)


def inputs(folder: Path, word: str, limit: int) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """(dump, rate, measure, values) of all 3-D dumps, at native rate and, where that leaves enough rows, sparser."""
    for path in sorted(folder.glob("*.npy")):
        x = np.load(path, mmap_mode="r")
        if x.ndim != 3 or word not in path.stem:
            continue
        measure = "channel_nmse" if "penultimate" in path.stem else "nmse"
        images = path.stem.startswith("images")
        x = np.array(x[: min(limit, IMAGES if images else len(x))])
        yield path.stem, "native", measure, x
        every = min(SPARSER, (len(x) - 1) // (LEAST_ROWS - 1))
        if not images and every > SPARSER // 2:
            yield path.stem, "sparser", measure, np.ascontiguousarray(x[::every])


def measured(variant: Variant, x: np.ndarray, measure: str, errors: Sequence[float]) -> list[float]:
    """Bits per value at the errors."""
    with ExitStack() as replaced:
        for name, value in variant.replaced:
            replaced.enter_context(mock.patch(name, value))
        points = curves.curve(x, variant.effort, measure, errors)
    return [curves.bits_at(points, error) for error in errors]


def row(
    dump: str, rate: str, measure: str, variant: str, bits: Mapping[float, float | None], ratio: float
) -> dict[str, Any]:
    """A line of the table; the change is against everything. bits: by error, None in a summary."""
    columns = {f"bits_at_{error}": "" if one is None else f"{one:.5f}" for error, one in bits.items()}
    change = {"change_percent": round(100 * (ratio - 1), 2), "low": "", "high": ""}
    return {"dump": dump, "rate": rate, "measure": measure, "variant": variant, **columns, **change}


def summary(rate: str, variant: str, ratios: Sequence[float], errors: Sequence[float]) -> dict[str, Any]:
    """The geometric mean over dumps and its bootstrap interval."""
    low, high = (round(100 * (one - 1), 2) for one in curves.interval(ratios))
    return {
        **row("all", rate, "both", variant, dict.fromkeys(errors), curves.geometric_mean(ratios)),
        "low": low,
        "high": high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dumps", default="", help="only dumps with this in their name")
    parser.add_argument("--variants", nargs="*", default=[], help="only these")
    parser.add_argument("--rows", type=int, default=1 << 30, help="at most so many rows of each dump")
    parser.add_argument("--errors", type=float, nargs="+", default=ERRORS)
    parser.add_argument("--csv", default="ablation", help="where to: a file has one set of errors")
    args = parser.parse_args()
    folder = Path(os.environ["EMBDC_TEST_DATA"]) / "data/embeddings"
    others = [one for one in VARIANTS[1:] if not args.variants or one.name in args.variants]
    ratios: dict[tuple[str, str], list[float]] = {}
    with one_blas_thread():
        for dump, rate, measure, x in inputs(folder, args.dumps, args.rows):
            reference = measured(VARIANTS[0], x, measure, args.errors)
            by_error = dict(zip(args.errors, reference, strict=True))
            rows = [row(dump, rate, measure, VARIANTS[0].name, by_error, 1.0)]
            for variant in others:
                bits = measured(variant, x, measure, args.errors)
                ratio = curves.geometric_mean([a / b for a, b in zip(bits, reference, strict=True)])
                ratios.setdefault((rate, variant.name), []).append(ratio)
                by_error = dict(zip(args.errors, bits, strict=True))
                rows.append(row(dump, rate, measure, variant.name, by_error, ratio))
            record.append(args.csv, rows)
    record.append(args.csv, [summary(rate, variant, found, args.errors) for (rate, variant), found in ratios.items()])


if __name__ == "__main__":
    main()
