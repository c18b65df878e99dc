"""Makes the fixed frequency tables of the entropy coder that follow from its own quantisers; prints them as Python.

    python tests/bench/make_tables.py [--rounds 10] [--curves] rounded | paths | entries | entry-paths

Nothing but random numbers goes in: planes of Laplacian and of Gaussian values in equal parts, each value's scale spread
log-normally by SPREAD octaves (what classes half an octave wide leave open), planes of all scales. The class of a plane
is what an encoder finds, the mean level of a dead-zone quantiser; the levels are what rounding by rate, or the trellis,
makes of it with the tables of the round before. Both steps lower squared error plus bits, so the rounds converge.
Means and basis entries are Gaussian of a known deviation.

With --curves: bits and squared error per value by class, with the tables that ship (`transform.expected`). For
coefficients the error is what is added to that of a dead zone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from embdc_cli.codec.transform import rdoq, trellis
from embdc_cli.codec.transform.dead_zone import OFFSET_UNIT, THETA
from embdc_cli.codec.transform.estimate import LAMBDA
from embdc_cli.codec.transform.mixture.entries import HALF_STEP, LAGRANGIAN
from embdc_cli.entropy import dependent
from embdc_cli.entropy.bits import bit_lengths
from embdc_cli.entropy.dependent.points import points_of
from embdc_cli.entropy.dependent.tables import coefficient_path_tables, direct_magnitudes, entry_path_tables
from embdc_cli.entropy.tables import (
    CLASSES,
    ESCAPE,
    FINE_COST_UNIT,
    ROWS,
    SYMBOLS,
    TOTAL,
    UNIT_CLASS,
    Tables,
    class_rows,
    class_shifts,
    entry_tables,
    escape_orders,
    rounded_tables,
)

SPREAD = 0.3  # octaves
SEED = 20261121
PLANES, TRACKS, BLOCKS = 96, 1024, 48
LAW_SAMPLE = 1 << 19
LARGEST = 1 << 14
FEWEST = 2000  # levels in a row; rows with fewer keep what they have


@dataclass(frozen=True)
class Coded:
    """Of one block, flat. levels: int32, rows: int64 of their tables, points: what they stand for, float, in steps."""

    levels: np.ndarray
    rows: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Block:
    """values (planes, tracks) float32 in steps, classes (planes,)."""

    values: np.ndarray
    classes: np.ndarray

    @property
    def level_classes(self) -> np.ndarray:
        return np.repeat(self.classes.astype(np.uint8), self.values.shape[1])

    @property
    def paths(self) -> np.ndarray:
        return np.array([self.values.shape])


Quantise = Callable[[Block, Tables], Coded]


@cache
def coefficients() -> list[Block]:
    """Blocks of planes of falling scale, as the frequencies and vectors of a transform are."""
    rng = np.random.default_rng(SEED)
    blocks = []
    for draw in (_laplacian, _gaussian):
        law = np.abs(_spread(draw(rng, (LAW_SAMPLE,)), rng))
        for _ in range(BLOCKS // 2):
            scales = np.exp2(np.linspace(rng.uniform(-1, 9), -3.3, PLANES) + rng.normal(0, 0.3, PLANES))
            values = scales[:, None] * _spread(draw(rng, (PLANES, TRACKS)), rng)
            means = np.array([np.floor(law * scale + THETA).mean() for scale in scales])
            blocks.append(Block(values.astype(np.float32), _classes(means)))
    return blocks


@cache
def entries() -> list[Block]:
    """One plane of one class a block: a mean or a basis vector."""
    rng = np.random.default_rng(SEED)
    blocks = []
    for cls in range(12, 44):
        for off in np.linspace(-0.4375, 0.4375, 8):  # a class holds means within a quarter octave
            mean = 2.0 ** ((cls + off - UNIT_CLASS) / 2)
            values = mean * np.sqrt(np.pi / 2) * rng.standard_normal((2 * PLANES, TRACKS))
            blocks.append(Block(values.astype(np.float32), np.full(2 * PLANES, cls)))
    return blocks


def _laplacian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.laplace(size=shape) / np.sqrt(2)


def _gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def _spread(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(values * np.exp2(rng.normal(0, SPREAD, values.shape)))


def _classes(means: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(2 * np.log2(np.maximum(means, 2.0**-11))) + UNIT_CLASS, 1, 63).astype(np.int64)


def _offsets(blocks: Sequence[Block]) -> tuple[int, int, int]:
    u = np.concatenate([np.abs(block.values).ravel() for block in blocks])
    levels = np.floor(u + THETA)
    found = [round(float((u - levels)[mask].mean()) / OFFSET_UNIT) for mask in (levels == 1, levels == 2, levels > 2)]
    return found[0], found[1], found[2]


def rounded_by_rate(block: Block, tables: Tables) -> Coded:
    """What `rdoq` makes of it."""
    levels = rdoq.quantise(block.values.ravel(), block.level_classes, _thresholds(tables))
    magnitudes = np.abs(levels)
    points = magnitudes + np.array([0, *_offsets()])[np.minimum(magnitudes, 3)] * OFFSET_UNIT
    return Coded(levels, class_rows()[block.level_classes].astype(np.int64), np.copysign(points, levels))


def entries_by_rate(block: Block, tables: Tables) -> Coded:
    """What `rdoq` makes of means and basis entries, whose points are the levels."""
    thresholds = _entry_thresholds(tables)
    levels = rdoq.quantise(block.values.ravel(), block.level_classes, thresholds)
    return Coded(levels, class_rows()[block.level_classes].astype(np.int64), levels)


def chosen_by_trellis(block: Block, tables: Tables) -> Coded:
    """What `trellis` makes of it."""
    classes = block.level_classes
    halves = block.values.ravel() * np.float32(1 / HALF_STEP)
    levels = trellis.choose(halves, classes, block.paths, LAGRANGIAN, tables)
    quantisers = dependent.quantisers(levels, classes, block.paths, tables)
    rows = class_rows()[classes] + ROWS * quantisers.astype(np.int64)
    return Coded(levels, rows, points_of(levels, quantisers) * HALF_STEP)


@cache
def _offsets() -> tuple[int, int, int]:
    u = np.concatenate([np.abs(block.values).ravel() for block in coefficients()])
    levels = np.floor(u + THETA)
    found = [round(float((u - levels)[mask].mean()) / OFFSET_UNIT) for mask in (levels == 1, levels == 2, levels > 2)]
    return found[0], found[1], found[2]


@cache
def _entry_thresholds(tables: Tables) -> np.ndarray:
    return rdoq.thresholds(LAMBDA, (0, 0, 0), tables)


@cache
def _thresholds(tables: Tables) -> np.ndarray:
    return rdoq.thresholds(LAMBDA, _offsets(), tables)


def counted(blocks: Sequence[Block], quantise: Quantise, tables: Tables) -> np.ndarray:
    """(rows, LARGEST) int64: how often each magnitude, without the low bits of its class, stands in each row."""
    counts = np.zeros((len(tables.freq), LARGEST), np.int64)
    for block in blocks:
        coded = quantise(block, tables)
        high = np.minimum(np.abs(coded.levels) >> class_shifts()[block.level_classes], LARGEST - 1)
        np.add.at(counts, (coded.rows, high), 1)
    return counts


def curves(blocks: Sequence[Block], quantise: Quantise, tables: Tables, *, added: bool) -> list[tuple[float, float]]:
    """(bits, squared error) per value by class, where there are enough. added: to a dead zone's error."""
    sums = np.zeros((3, CLASSES))
    direct = direct_magnitudes(tables) if len(tables.freq) > ROWS else tables.direct
    for block in blocks:
        classes, values = block.level_classes, block.values.ravel().astype(np.float64)
        coded = quantise(block, tables)
        shifts = class_shifts()[classes].astype(np.int64)
        high = np.abs(coded.levels) >> shifts
        escaped = high >= direct[class_rows()[classes]]
        bits = tables.fine_cost[coded.rows, np.where(escaped, ESCAPE, high)] / FINE_COST_UNIT
        orders = escape_orders()[class_rows()[classes]].astype(np.int64)
        excess = np.where(escaped, high - direct[class_rows()[classes]], 0) + (1 << orders)
        bits += shifts + (coded.levels != 0) + escaped * (2 * bit_lengths(excess) - 1 - orders)
        errors = (values - coded.points) ** 2
        if added:
            levels = np.floor(np.abs(values) + THETA)
            points = levels + np.array([0, *_offsets()])[np.minimum(levels, 3).astype(np.int64)] * OFFSET_UNIT
            errors -= (np.abs(values) - points) ** 2
        for row, weights in enumerate((np.ones(classes.size), bits, errors)):
            sums[row] += np.bincount(classes, weights, minlength=CLASSES)
    known = sums[0, 1:] >= FEWEST
    first, last = int(known.argmax()), CLASSES - 1 - int(known[::-1].argmax())
    return [(float(sums[1, c] / sums[0, c]), float(sums[2, c] / sums[0, c])) for c in range(first + 1, last)]


def frequencies(counts: np.ndarray, before: Tables) -> Tables:
    """12-bit rows; magnitudes from where it is cheaper on are escaped, from the same on in both halves of paths."""
    freq = before.freq.astype(np.int64)
    for row in range(1, ROWS):
        halves = list(range(row, len(counts), ROWS))
        if min(counts[half].sum() for half in halves) < FEWEST:
            continue
        made = [[_row(counts[half], symbols) for half in halves] for symbols in range(2, SYMBOLS)]
        best = min(made, key=lambda rows: sum(bits for _, bits in rows))
        for half, (one, _) in zip(halves, best, strict=True):
            freq[half] = one
    freq[0] = freq[1]
    freq[len(counts) - ROWS] = freq[len(counts) - ROWS + 1]
    return Tables(freq)


def _row(counts: np.ndarray, symbols: int) -> tuple[np.ndarray, float]:
    """(16 frequencies, bits) with `symbols` magnitudes sent directly."""
    direct, escaped = counts[:symbols], counts[symbols:]
    weights = np.append(direct, escaped.sum())
    share = np.maximum(1, np.rint(weights / weights.sum() * TOTAL)).astype(np.int64)
    share[share.argmax()] += TOTAL - share.sum()
    excess = np.arange(escaped.size)
    bits = -float((weights * np.log2(share / TOTAL)).sum()) + float((escaped * (2 * np.log2(excess + 1) + 1)).sum())
    freq = np.zeros(SYMBOLS, np.int64)
    freq[:symbols], freq[ESCAPE] = share[:-1], share[-1]
    return freq, bits


KINDS: dict[str, tuple[Callable[[], list[Block]], Quantise, Callable[[], Tables]]] = {
    "rounded": (coefficients, rounded_by_rate, rounded_tables),
    "paths": (coefficients, chosen_by_trellis, coefficient_path_tables),
    "entries": (entries, entries_by_rate, entry_tables),
    "entry-paths": (entries, chosen_by_trellis, entry_path_tables),
}


def made(kind: str, rounds: int) -> Tables:
    """The tables after that many rounds, starting from those that ship."""
    source, quantise, shipped = KINDS[kind]
    blocks, tables = source(), shipped()
    for _ in range(rounds):
        tables = frequencies(counted(blocks, quantise, tables), tables)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--curves", action="store_true")
    args = parser.parse_args()
    if args.curves:
        source, quantise, shipped = KINDS[args.kind]
        for bits, error in curves(source(), quantise, shipped(), added=source is coefficients):
            print(f"    ({bits:.4f}, {error:.4f}),")
        return
    for row in made(args.kind, args.rounds).freq.tolist():
        print("    (" + ", ".join(map(str, row)) + "),")


if __name__ == "__main__":
    main()
