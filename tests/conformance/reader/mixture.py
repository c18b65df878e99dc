"""The mixture of KLTs and its coders: embdc-codec(5), MIXTURE, TRACK_PLANES, TRACK_PATHS."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from tests.conformance.reader import bits, rans
from tests.conformance.reader.errors import check
from tests.conformance.reader.fields import Fields, bounded
from tests.conformance.reader.integers import class_of_entry, dependent, levels, table_in, uniform
from tests.conformance.reader.pages import numbers
from tests.conformance.reader.stages import Coder, Scope, Stage, dct, reflected, step_in

BANDS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Where they begin."""
LARGE = 1 << 16


@dataclass
class Mode:
    rank: int
    exponent: int
    mean_class: int
    h: list[int]
    classes: list[list[int]]
    mean: np.ndarray
    vectors: np.ndarray

    @property
    def on_axes(self) -> bool:
        return bool(self.h) and self.h[0] == 0


@dataclass(frozen=True)
class Track:
    row: int
    token: int
    level: int
    mode: int
    activity: int


@dataclass
class Block:
    """Tracks of one mode and level. classes: of its codes, (2^level, r, tracks)."""

    mode: int
    level: int
    tracks: list[Track]
    classes: np.ndarray


@dataclass(frozen=True)
class Cut:
    """What a chunk's side information says. rows, tokens: of the array."""

    rows: int
    tokens: int
    blocks: list[Block]


class Mixture(Stage):
    has_side = True

    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.channels = scope.channels
        step_in(fields)
        shifts = fields.blob()
        self.cut = bool(shifts)
        if self.cut:
            self.shifts, self.matches = _one_row(shifts, 13), _one_row(fields.blob(), 4)
        self.modes, self.offsets = _modes(fields, scope)
        check(self.cut or len(self.modes) == 1, "modes of single rows")

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape  # of the tokens still; codes are flat

    def side(self, data: bytes, shape: tuple[int, ...]) -> Cut:
        rows, tokens = shape[:2]
        fields = Fields(data)
        check((fields.varint(), fields.varint()) == (rows, tokens), "tracks of another array")
        if self.cut:
            count = fields.varint(rows * tokens)
            cut = _cut(rans.symbols(fields.blob(), count, self.shifts), rows, tokens)
        else:
            cut = [(row, token, 0) for row in range(rows) for token in range(tokens)]
        modes = self._modes_of(fields, cut, tokens)
        moving = sum(1 for _, _, level in cut if level)
        symbols = iter(rans.symbols(fields.blob(), moving, numbers("ACTIVITY TABLE")[0]))
        tracks = [
            Track(row, token, level, mode, next(symbols) if level else 0)
            for (row, token, level), mode in zip(cut, modes, strict=True)
        ]
        blocks = self._blocks(fields, tracks)
        fields.end()
        return Cut(rows, tokens, blocks)

    def _modes_of(self, fields: Fields, cut: list[tuple[int, int, int]], tokens: int) -> list[int]:
        """The mode of each track."""
        if len(self.modes) == 1:
            return [0] * len(cut)
        matches = rans.symbols(fields.blob(), len(cut), self.matches)
        width = (len(self.modes) - 1).bit_length()
        sent = matches.count(3)
        told = iter(bits.packed(fields.raw(-(-sent * width // 8)), [width] * sent))
        last: dict[int, int] = {}
        found = []
        for (_, token, _), match in zip(cut, matches, strict=True):
            if match == 3:
                mode = bounded(next(told), 0, len(self.modes) - 1)
            else:
                neighbour = token - (1, isqrt(tokens), 0)[match]
                check(neighbour in last, "a mode of a token that has none")
                mode = last[neighbour]
            found.append(mode)
            last[token] = mode
        return found

    def _blocks(self, fields: Fields, tracks: list[Track]) -> list[Block]:
        blocks = []
        for mode in range(len(self.modes)):
            for level in range(7):
                own = [track for track in tracks if (track.mode, track.level) == (mode, level)]
                if own:
                    shape = (1 << level, self.modes[mode].rank, len(own))
                    blocks.append(Block(mode, level, own, np.zeros(shape, np.int64)))
        large = [block for block in blocks if block.classes.size >= LARGE]
        counts = [sum(start < 1 << block.level for start in BANDS) for block in large]
        fewer = iter(uniform(fields, sum(counts)) if large else [])
        for block in blocks:
            rank = self.modes[block.mode].rank
            extents = [rank] * len(BANDS)
            if block in large:
                reach = rank
                for band in range(counts[large.index(block)]):
                    reach = bounded(reach - next(fewer), 0, rank)
                    extents[band] = reach
            self._classify(block, extents)
        return blocks

    def _classify(self, block: Block, extents: list[int]) -> None:
        classes = self.modes[block.mode].classes
        moves = [track.activity for track in block.tracks]
        for k in range(1 << block.level):
            band = max(place for place, start in enumerate(BANDS) if start <= k)
            kind = min(BANDS[band].bit_length(), len(classes) - 1)
            for i in range(extents[band]):
                base = _limited(classes[kind][i] + self.offsets[block.level][band])
                block.classes[k, i] = [base if not k else _limited(base + s - 13) if s else 0 for s in moves]

    def undo(self, y: np.ndarray, step: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        x, at = np.empty((side.rows, side.tokens, self.channels)), 0
        for block in side.blocks:
            part = y[at : at + block.classes.size].reshape(block.classes.shape)
            at += part.size
            in_time = np.einsum("kt,kin->nti", dct(1 << block.level), part)
            mode = self.modes[block.mode]
            for track, values in zip(block.tracks, in_time, strict=True):
                x[track.row : track.row + len(values), track.token] = mode.mean + values @ mode.vectors
        return x, step


class TrackPlanes(Coder):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.table = scope.table("ROUNDED TABLES")

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        return np.array(levels(data, _classes(_blocks_in(sides)), self.table), np.int64)


class TrackPaths(Coder):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.table = scope.table("PATH TABLES")

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        blocks = _blocks_in(sides)
        shapes = [(one.classes.shape[0] * one.classes.shape[1], len(one.tracks)) for one in blocks]
        return np.array(dependent(data, _classes(blocks), shapes, self.table), np.int64)


def _blocks_in(sides: list[Any]) -> list[Block]:
    (found,) = [side for side in sides if isinstance(side, Cut)]
    return found.blocks


def _classes(blocks: list[Block]) -> list[int]:
    return [one for block in blocks for one in block.classes.ravel().tolist()]


def _limited(level_class: int) -> int:
    return min(max(level_class, 1), 63)


def _one_row(data: bytes, symbols: int) -> list[int]:
    table = table_in(data)
    check(len(table) == 1 and len(table[0]) == symbols, "a table of tracks of another size")
    return table[0]


def _cut(shifts: list[int], rows: int, tokens: int) -> list[tuple[int, int, int]]:
    """(first row, token, level) of each track."""
    found: list[tuple[int, int, int]] = []
    until, last = [0] * tokens, [6] * tokens
    for row in range(rows):
        longest = max(level for level in range(7) if not row % 64 % (1 << level) and row + (1 << level) <= rows)
        for token in range(tokens):
            if until[token] > row:
                continue
            check(len(found) < len(shifts), "tracks do not cover the chunk")
            told = min(last[token - 1] if token else 6, longest)
            level = bounded(shifts[len(found)] + told - 6, 0, longest)
            found.append((row, token, level))
            last[token], until[token] = level, row + (1 << level)
    check(len(found) == len(shifts), "more tracks than the chunk has")
    return found


def _modes(fields: Fields, scope: Scope) -> tuple[list[Mode], list[list[int]]]:
    channels = scope.channels
    entries_dependent = fields.byte(1) == 1
    kinds = bounded(fields.byte(), 1, 7)
    modes = []
    for _ in range(fields.varint(min(64, scope.limits["max_modes"]), 1)):
        rank = fields.varint(min(channels, scope.limits["max_rank"]))
        exponent, mean_class, first = fields.i8(126), fields.byte(63), fields.byte(52)
        check(first == 0 or first >= 4, "precision of a basis")
        none = np.zeros(0)
        modes.append(Mode(rank, exponent, mean_class, [first][:rank], [[] for _ in range(kinds)], none, none))
    falls = iter(uniform(fields, sum(max(0, mode.rank - 1) for mode in modes)))
    for mode in modes:
        for _ in range(mode.rank - 1):
            level = next(falls)
            mode.h.append(mode.h[-1] - (2 * level - 1 if level > 0 else -2 * level))
        check(min(mode.h, default=4) >= (4 if not mode.on_axes else 0), "precision of a basis")
    for kind in range(kinds):
        above = iter(np.cumsum(uniform(fields, sum(mode.rank for mode in modes)), dtype=np.int64).tolist())
        for mode in modes:
            base = mode.h if kind < 2 else mode.classes[kind - 1]
            mode.classes[kind] = [bounded(one + next(above), 1, 63) for one in base]
    places = [(level, band) for level in range(7) for band, start in enumerate(BANDS) if start < 1 << level]
    offsets = [[0] * len(BANDS) for _ in range(7)]
    for (level, band), offset in zip(places, uniform(fields, len(places)), strict=True):
        offsets[level][band] = bounded(offset, -60, 60)
    _read_large(fields.blob(), modes, channels, entries_dependent)
    return modes, offsets


def _read_large(data: bytes, modes: list[Mode], channels: int, entries_dependent: bool) -> None:
    """Means and vectors of all modes."""
    runs = []  # class and length of each
    for mode in modes:
        runs.append((mode.mean_class, channels))
        if mode.rank and not mode.on_axes:
            runs += [(class_of_entry(channels - i, h // 2, h % 2), channels - i) for i, h in enumerate(mode.h)]
    classes = [one for one, length in runs for _ in range(length)]
    if entries_dependent:
        found = dependent(data, classes, [(length, 1) for _, length in runs], numbers("ENTRY PATH TABLES"))
    else:
        found = levels(data, classes, numbers("ENTRY TABLES"))
    at = 0
    for mode in modes:
        unit = 0.65 if entries_dependent else 1.0
        mode.mean = np.ldexp(unit * np.array(found[at : at + channels], float), mode.exponent)
        at += channels
        if not mode.rank or mode.on_axes:
            mode.vectors = np.eye(mode.rank, channels)
            continue
        size = sum(channels - i for i in range(mode.rank))
        mode.vectors = reflected(found[at : at + size], mode.rank, channels)
        at += size
