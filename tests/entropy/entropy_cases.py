"""Symbols and levels that the tests of the entropy coder share; all from fixed seeds."""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy import dependent
from embdc_cli.entropy.levels import cost_levels
from embdc_cli.entropy.tables import CLASSES, ROWS, SYMBOLS, UNIT_CLASS, Tables, static_tables
from tests.entropy.pinned_tables import PINNED


def drawn_symbols(
    tables: Tables, count: int, seed: int = 0, rows: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and rows (count,) uint8, drawn from the tables themselves; `rows` bounds the rows, upper end excluded."""
    rng = np.random.default_rng(seed)
    row = rng.integers(*(rows or (0, tables.freq.shape[0])), count).astype(np.uint8)
    return tables.slots[row, rng.integers(0, 4096, count)], row


def drawn_levels(classes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Levels (n,) int32 of roughly the mean magnitude that their class (n,) uint8 stands for."""
    rng = np.random.default_rng(seed)
    scale = 2.0 ** ((classes.astype(np.float64) - UNIT_CLASS) / 2)
    magnitude = np.floor(rng.exponential(scale) + rng.random(classes.size) * np.minimum(scale, 1))
    magnitude = np.where(classes > 0, np.minimum(magnitude, 2**31 - 1), 0)
    return (magnitude * rng.choice([-1, 1], classes.size)).astype(np.int32)


def mixed_classes(count: int, seed: int = 0) -> np.ndarray:
    """Classes (count,) uint8 in runs, over all 64."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.integers(0, CLASSES, count // 7 + 1), 7)[:count].astype(np.uint8)


def table_cases() -> dict[str, Tables]:
    """Static tables, an even row, a row with one symbol, a large alphabet, and frequencies of zero."""
    rng = np.random.default_rng(5)
    wide = 1 + rng.multinomial(4096 - 256, rng.dirichlet(np.ones(256)), size=3)
    return {
        "static": static_tables(),
        "even": Tables(np.full((1, 2), 2048)),
        "sure": Tables(np.array([[4096]])),
        "wide": Tables(wide),
        "gaps": Tables(np.array([[0, 4095, 0, 1], [1, 0, 4095, 0]])),
    }


def dependent_cost(levels: np.ndarray, classes: np.ndarray, blocks: np.ndarray) -> float:
    """Bits of `dependent.encode` but for state flush and padding: those of plain levels under each quantiser's rows."""
    chosen = dependent.quantisers(levels, classes, blocks, PINNED)
    halves = [Tables(rows) for rows in PINNED.freq.reshape(2, ROWS, SYMBOLS)]
    parts = (cost_levels(levels[chosen == q], classes[chosen == q], half) for q, half in enumerate(halves))
    return sum(parts) / 256
