"""Codes as symbols under their contexts, and their rANS stream, in numpy: the definition of what `cpu.py` compiles.

Order: rows t, tokens n in raster order; from t = 1 on the class of the token, under table row CLASS_ROW + 9 a + b, with
a its class at t - 1 and b that of the token to its left, in the first column again a; then, unless the class is 0 and
t > 0, its D codes. A code of magnitude m after magnitude p (0 in a first row) is, where p < RELATIVE_FROM, symbol m
or from 15 on the escape and m - 15; else symbol 0 for m = 0, 8 + m - p where that is 1..14, or the escape and m.
Symbol i belongs to lane i mod L; frequencies of 15 bits, otherwise as in `entropy.rans.reference`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embdc_cli.codec.transform.time_context.model import (
    ABSENT_AT,
    ACTIVE_ROW,
    BUCKET,
    CHANGE_STEPS,
    CLASS_ROW,
    COUNT,
    ESCAPE,
    FEATURE,
    FEATURES,
    FIRST,
    FIRST_ROW,
    LEVEL_STEPS,
    PROBABILITY_BITS,
    QUIET_ROWS,
    RELATIVE_FROM,
    RENEW_AFTER,
    SCORE_BITS,
    TOKEN_CLASSES,
    TOTAL,
    ContextModel,
    class_of_changes,
    frequencies,
)
from embdc_cli.entropy.rans.layout import STATE_LOW, WORD_BITS


class Symbols(NamedTuple):
    """What codes are sent as: symbols (m,) uint8, their table rows (m,) uint16, escapes (k,) int32.

    ends: (F,) int64, how many symbols there are up to the end of each row of the chunk.
    """

    symbols: np.ndarray
    rows: np.ndarray
    escapes: np.ndarray
    ends: np.ndarray


def features_of(magnitudes: np.ndarray) -> np.ndarray:
    """int32 features of magnitudes, same shape."""
    return np.asarray(FEATURE[np.minimum(magnitudes, ABSENT_AT - 1)], np.int32)


def around(t: int, n: int, width: int, mapped: np.ndarray) -> np.ndarray:
    """Features 1..12 of token (t, n), (12, D) int32. mapped: (F, N, D) features of magnitudes, known before (t, n)."""
    tokens = mapped.shape[1]
    y, x = divmod(n, width)
    found = np.zeros((12, mapped.shape[2]), np.int32)
    if t:
        sides = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
        for i, (dy, dx) in enumerate(sides):
            other = n + dy * width + dx
            if y + dy >= 0 and 0 <= x + dx < width and other < tokens:
                found[i] = mapped[t - 1, other]
    places = [
        (x > 0, n - 1),
        (y > 0, n - width),
        (y > 0 and x > 0, n - width - 1),
        (y > 0 and x + 1 < width, n - width + 1),
    ]
    for i, (inside, other) in enumerate(places):
        if inside:
            found[8 + i] = mapped[t, other]
        elif t == 0:
            nearest = n - width if y > 0 else n - 1
            found[8 + i] = mapped[t, nearest] if nearest >= 0 else 0
    return found


class Contexts:
    """Table rows of one token after the other, from the codes before it."""

    def __init__(self, shape: tuple[int, int, int], width: int, model: ContextModel) -> None:
        """shape: (F, N, D) of the codes."""
        self.width = min(width, max(shape[1], 1))
        self.model = model
        self.magnitudes = np.zeros(shape, np.int32)
        self._mapped = np.zeros(shape, np.int32)
        self._change = np.zeros(shape[1:], np.int32)
        self._level = np.zeros(shape[1:], np.int32)
        self._classes = np.zeros(shape[:2], np.int64)

    def class_row(self, t: int, n: int) -> int:
        before = self._classes[t - 1, n]
        left = self._classes[t, n - 1] if n % self.width else before
        return int(CLASS_ROW + TOKEN_CLASSES * before + left)

    def rows(self, t: int, n: int, token_class: int) -> np.ndarray:
        """(D,) int64."""
        own = self._mapped[t - 1, n] if t else np.zeros_like(self._mapped[0, n])
        older = self._mapped[t - 2, n] if t > 1 else own
        found = np.empty((FEATURES, len(own)), np.int32)
        found[0], found[1:13], found[13] = older, around(t, n, self.width, self._mapped), own
        found[14], found[15] = self._change[n], self._level[n]
        return rows_of(self.before(t, n) if t else None, found, token_class, self.model)

    def before(self, t: int, n: int) -> np.ndarray:
        """(D,) int32 magnitudes of the token a row before; zeros in the first row."""
        return self.magnitudes[t - 1, n] if t else np.zeros_like(self.magnitudes[0, n])

    def put(self, t: int, n: int, token_class: int, magnitudes: np.ndarray) -> None:
        """The codes of token (t, n) are known."""
        self._classes[t, n] = token_class
        self.magnitudes[t, n] = magnitudes
        self._mapped[t, n] = features_of(magnitudes)
        if t == 0:
            self._level[n] = 4 * self._mapped[t, n]
            return
        changed = 256 * (magnitudes != self.magnitudes[t - 1, n]).astype(np.int32)
        self._change[n] += changed - self._change[n] >> 2
        self._level[n] += 4 * self._mapped[t, n] - self._level[n] >> 2


def rows_of(before: np.ndarray | None, features: np.ndarray, token_class: int, model: ContextModel) -> np.ndarray:
    """Table rows (D,) int64. before: (D,) magnitudes a row before, None in a first row; features: (16, D) int32."""
    if before is None:
        scores = model.change_weights[FIRST] @ features + model.change_biases[FIRST, 0]
        return np.asarray(FIRST_ROW + np.clip(scores.astype(np.int64) >> SCORE_BITS, 0, QUIET_ROWS - 1))
    buckets = BUCKET[np.minimum(before, ABSENT_AT - 1)].astype(np.int64)
    change = (model.change_weights[buckets] * features.T).sum(axis=1, dtype=np.int64)
    change = change + model.change_biases[buckets, token_class] >> SCORE_BITS
    level = (model.level_weights[buckets] * features.T).sum(axis=1, dtype=np.int64)
    level = level + model.level_biases[buckets, token_class] >> SCORE_BITS
    steps = (buckets - 1) * CHANGE_STEPS + np.clip(change, 0, CHANGE_STEPS - 1)
    active = ACTIVE_ROW + steps * LEVEL_STEPS + np.clip(level, 0, LEVEL_STEPS - 1)
    return np.asarray(np.where(buckets > 0, active, np.clip(change, 0, QUIET_ROWS - 1)))


def symbols_after(magnitudes: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Symbols int64 of magnitudes after the magnitudes a row before, same shapes."""
    wide = magnitudes.astype(np.int64)
    moved = wide - before
    near = (moved >= -7) & (moved <= 6)
    relative = np.where(wide == 0, 0, np.where(near, 8 + moved, ESCAPE))
    return np.where(before < RELATIVE_FROM, np.minimum(wide, ESCAPE), relative)


def token_classes(magnitudes: np.ndarray) -> np.ndarray:
    """(F, N) int64: the class of each token by how many of its codes (F, N, D) change; 0 in the first row."""
    classes = np.zeros(magnitudes.shape[:2], np.int64)
    changed = np.count_nonzero(magnitudes[1:] != magnitudes[:-1], axis=2)
    for (t, n), count in np.ndenumerate(changed):
        classes[t + 1, n] = class_of_changes(int(count), magnitudes.shape[2])
    return classes


def symbols_of(magnitudes: np.ndarray, width: int, model: ContextModel) -> Symbols:
    """What the magnitudes (F, N, D) int32 are sent as. width: tokens in a row of the grid, >= 1."""
    contexts = Contexts(magnitudes.shape, width, model)
    classes = token_classes(magnitudes)
    symbols, rows, escapes = [np.zeros(0, np.uint8)], [np.zeros(0, np.uint16)], [np.zeros(0, np.int32)]
    sent = np.zeros(len(magnitudes), np.int64)
    for t, n in np.ndindex(classes.shape):
        if t:
            sent[t] += 1
            symbols.append(np.array([classes[t, n]], np.uint8))
            rows.append(np.array([contexts.class_row(t, n)], np.uint16))
        if t == 0 or classes[t, n]:
            before, wanted = contexts.before(t, n), magnitudes[t, n]
            found = symbols_after(wanted, before)
            sent[t] += found.size
            symbols.append(found.astype(np.uint8))
            rows.append(contexts.rows(t, n, int(classes[t, n])).astype(np.uint16))
            escapes.append((wanted - np.where(before < RELATIVE_FROM, ESCAPE, 0))[found == ESCAPE].astype(np.int32))
        contexts.put(t, n, int(classes[t, n]), magnitudes[t, n])
    return Symbols(np.concatenate(symbols), np.concatenate(rows), np.concatenate(escapes), np.cumsum(sent))


class Frequencies:
    """The tables of a chunk, renewed between its rows."""

    def __init__(self, model: ContextModel) -> None:
        self._counts = model.counts.astype(np.int64)
        self._passed = 0
        self.freq = model.freq
        self.cum = cumulative(model.freq)

    def note(self, rows: np.ndarray, symbols: np.ndarray) -> None:
        """Symbols (k,) have been coded under rows (k,)."""
        np.add.at(self._counts, (rows, symbols), COUNT)
        self._passed += rows.size

    def end_row(self) -> None:
        """A row of the chunk is over."""
        if self._passed >= RENEW_AFTER:
            self._passed = 0
            self.freq = frequencies(self._counts)
            self.cum = cumulative(self.freq)


def cumulative(freq: np.ndarray) -> np.ndarray:
    """(rows, 17) int32: entry s is the sum of the frequencies before symbol s."""
    return np.pad(np.cumsum(freq, axis=1, dtype=np.int32), ((0, 0), (1, 0)))


def intervals_of(sent: Symbols, model: ContextModel) -> tuple[np.ndarray, np.ndarray]:
    """(m,) uint16 frequency and cumulative frequency of every symbol, in the tables of its time."""
    tables = Frequencies(model)
    freq, cum = np.zeros(sent.rows.size, np.uint16), np.zeros(sent.rows.size, np.uint16)
    start = 0
    for end in sent.ends:
        rows, symbols = sent.rows[start:end].astype(np.int64), sent.symbols[start:end].astype(np.int64)
        freq[start:end], cum[start:end] = tables.freq[rows, symbols], tables.cum[rows, symbols]
        tables.note(rows, symbols)
        tables.end_row()
        start = int(end)
    return freq, cum


def encode(freq: np.ndarray, cum: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """States (lanes,) uint32 and words (m,) uint16 in decoding order, of symbols with these intervals (n,) uint16."""
    freq, cum = freq.astype(np.uint64), cum.astype(np.uint64)
    states = np.full(lanes, STATE_LOW, np.uint64)
    steps = []
    for start in reversed(range(0, freq.size, lanes)):
        f, c = freq[start : start + lanes], cum[start : start + lanes]
        x = states[: f.size]
        full = x >= f << np.uint64(32 - PROBABILITY_BITS)
        steps.append(x[full].astype(np.uint16))
        x = np.where(full, x >> np.uint64(WORD_BITS), x)
        states[: f.size] = (x // f << np.uint64(PROBABILITY_BITS)) + x % f + c
    words = np.concatenate(steps[::-1]) if steps else np.zeros(0, np.uint16)
    return states.astype(np.uint32), words


class Stream:
    """Takes symbols from states and words, in runs of known table rows."""

    def __init__(self, states: np.ndarray, words: np.ndarray, model: ContextModel) -> None:
        self._states, self._words, self.tables = states.astype(np.uint64), words, Frequencies(model)
        self._taken = 0
        self._at = 0

    def take(self, rows: np.ndarray) -> np.ndarray | None:
        """Symbols (k,) int64 of table rows (k,); None when the words run out."""
        lanes = self._states.size
        symbols = np.empty(rows.size, np.int64)
        start = 0
        while start < rows.size:
            lane = self._taken % lanes
            stop = min(start + lanes - lane, rows.size)
            row, state = rows[start:stop], self._states[lane : lane + stop - start]
            slot = state & np.uint64(TOTAL - 1)
            cum = self.tables.cum[row].astype(np.uint64)
            symbol = (cum[:, 1:] <= slot[:, None]).sum(axis=1)
            symbols[start:stop] = symbol
            f = self.tables.freq[row, symbol].astype(np.uint64)
            state = f * (state >> np.uint64(PROBABILITY_BITS)) + slot - cum[np.arange(row.size), symbol]
            empty = np.flatnonzero(state < STATE_LOW)
            if self._at + empty.size > self._words.size:
                return None
            taken = self._words[self._at : self._at + empty.size].astype(np.uint64)
            state[empty] = state[empty] << np.uint64(WORD_BITS) | taken
            self._at += empty.size
            self._states[lane : lane + stop - start] = state
            self._taken += stop - start
            start = stop
        self.tables.note(rows, symbols)
        return symbols

    @property
    def whole(self) -> bool:
        """Whether every word is used and every state is where encoding began."""
        return bool(self._at == self._words.size and np.all(self._states == STATE_LOW))


def decode(
    states: np.ndarray,
    words: np.ndarray,
    escapes: np.ndarray,
    shape: tuple[int, int, int],
    width: int,
    model: ContextModel,
) -> tuple[np.ndarray, bool]:
    """Magnitudes (F, N, D) int32 of `shape`, and whether all came out as `encode` leaves it; any input is safe.

    escapes: (k,) int32, 0..2^30.
    """
    contexts = Contexts(shape, width, model)
    stream = Stream(states, words, model)
    used = 0
    for t, n in np.ndindex(shape[:2]):
        token_class = 0
        if t:
            sent = stream.take(np.array([contexts.class_row(t, n)]))
            if sent is None or sent[0] >= TOKEN_CLASSES:
                return contexts.magnitudes, False
            token_class = int(sent[0])
        before = contexts.before(t, n)
        magnitudes = before
        if t == 0 or token_class:
            symbols = stream.take(contexts.rows(t, n, token_class))
            if symbols is None:
                return contexts.magnitudes, False
            escaped = np.flatnonzero(symbols == ESCAPE)
            if used + escaped.size > escapes.size:
                return contexts.magnitudes, False
            low = before < RELATIVE_FROM
            wide = np.where(low | (symbols == 0), symbols, before.astype(np.int64) + symbols - 8)
            wide[escaped] = escapes[used : used + escaped.size] + np.where(low[escaped], ESCAPE, 0).astype(np.int64)
            used += escaped.size
            if wide.min() < 0 or wide.max() > np.iinfo(np.int32).max or np.any(symbols_after(wide, before) != symbols):
                return contexts.magnitudes, False
            magnitudes = wide.astype(np.int32)
            changed = int(np.count_nonzero(magnitudes != before))
            if t and class_of_changes(changed, shape[2]) != token_class:
                return contexts.magnitudes, False
        contexts.put(t, n, token_class, magnitudes)
        if n + 1 == shape[1]:
            stream.tables.end_row()
    return contexts.magnitudes, stream.whole and used == escapes.size
