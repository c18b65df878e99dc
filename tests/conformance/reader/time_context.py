"""Codes under contexts of codes around them: embdc-codec(5), TIME_CONTEXT. One code after the other, and slowly."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.reader import bits, rans
from tests.conformance.reader.errors import check
from tests.conformance.reader.fields import Fields
from tests.conformance.reader.pages import context_counts, numbers
from tests.conformance.reader.stages import Coder, Scope

_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
_BEFORE = ((0, -1), (-1, 0), (-1, -1), (-1, 1))
"""Line and column of neighbours: of features 1 to 8, of 9 to 12."""
_FEATURE = [((2 * (1 + m) ** 16).bit_length() - 1) // 2 for m in range(256)]


class TimeContext(Coder):
    def __init__(self, fields: Fields, scope: Scope) -> None:
        self.width = fields.varint(1 << 31, 1)

    def codes(self, data: bytes, shape: tuple[int, ...], sides: list[Any]) -> np.ndarray:
        if 0 in shape:
            check(not data, "bytes of no codes")
            return np.zeros(shape, np.int64)
        fields = Fields(data)
        payload = rans.Payload(fields.blob(), bits=15)
        count, negative = divmod(fields.varint(), 2)
        escapes: list[int] = []
        if count:
            check(count <= shape[0] * shape[1] * shape[2], "more escapes than codes")
            escapes = bits.exp_golomb(fields.blob(), [2] * count)
        check(max(escapes, default=0) <= 1 << 30, "an escape is too large")
        magnitudes = _Walk(shape, self.width, payload, escapes).run()
        payload.end()
        if negative:
            places = np.flatnonzero(magnitudes)
            signs = np.array(bits.packed(fields.rest(), [1] * len(places)), bool)
            check(signs.any(), "signs of no negative code")
            magnitudes.reshape(-1)[places[signs]] *= -1
        fields.end()
        return magnitudes


class _Walk:
    """Everything that is known while the codes of a chunk come in."""

    def __init__(self, shape: tuple[int, ...], width: int, payload: rans.Payload, escapes: list[int]) -> None:
        self.rows, self.tokens, self.channels = shape
        self.width = min(width, self.tokens)
        self.payload, self.escapes = payload, escapes[::-1]
        self.magnitudes = np.zeros(shape, np.int64)
        self.features = np.zeros(shape, np.int64)
        self.classes = np.zeros(shape[:2], np.int64)
        self.changes, self.levels = (np.zeros(shape[1:], np.int64) for _ in range(2))
        self.counts = [list(row) for row in context_counts()]
        self.sums: dict[int, list[int]] = {}
        self.since = 0
        self.made = [list(row) for row in self.counts]

    def run(self) -> np.ndarray:
        for t in range(self.rows):
            for n in range(self.tokens):
                self._token(t, n)
            if self.since >= 1 << 13:
                self.since, self.sums, self.made = 0, {}, [list(row) for row in self.counts]
        check(not self.escapes, "escapes are left")
        return self.magnitudes

    def _symbol(self, row: int) -> int:
        if row not in self.sums:
            counts = self.made[row]
            frequencies = [1 + count * ((1 << 15) - 16) // sum(counts) for count in counts]
            frequencies[frequencies.index(max(frequencies))] += (1 << 15) - sum(frequencies)
            self.sums[row] = rans.cumulative(frequencies)
        found = self.payload.symbol(self.sums[row])
        self.counts[row][found] += 256
        self.since += 1
        return found

    def _token(self, t: int, n: int) -> None:
        token_class = 0
        if t:
            a = int(self.classes[t - 1, n])
            b = int(self.classes[t, n - 1]) if n % self.width else a
            token_class = self._symbol(1088 + 9 * a + b)
            check(token_class <= 8, "class of a token")
        before = self.magnitudes[t - 1, n] if t else np.zeros(self.channels, np.int64)
        found = before.copy()
        if not t or token_class:
            rows = self._table_rows(t, n, token_class, before)
            for c in range(self.channels):
                found[c] = self._magnitude(self._symbol(rows[c]), int(before[c]))
        changed = int((found != before).sum())
        if t:
            expected = min(8, 1 + (256 * changed // self.channels).bit_length()) if changed else 0
            check(token_class == expected, "class of a token and its codes disagree")
        self.classes[t, n], self.magnitudes[t, n] = token_class, found
        self.features[t, n] = [_FEATURE[min(m, 255)] for m in found.tolist()]
        if t:
            self.changes[n] += (256 * (found != before) - self.changes[n]) >> 2
            self.levels[n] += (4 * self.features[t, n] - self.levels[n]) >> 2
        else:
            self.levels[n] = 4 * self.features[t, n]

    def _magnitude(self, symbol: int, before: int) -> int:
        escape = 0
        if symbol == 15:
            check(self.escapes, "escapes run out")
            escape = self.escapes.pop()
        if before < 6:
            found = symbol + escape
        elif symbol == 15:
            found = escape
            check(found and not 1 <= found - before + 8 <= 14, "an escape of what a symbol says")
        else:
            found = before + symbol - 8 if symbol else 0
            check(not symbol or found > 0, "a magnitude below 1")
        check(0 <= found <= 1 << 30, "a magnitude is too large")
        return found

    def _table_rows(self, t: int, n: int, token_class: int, before: np.ndarray) -> list[int]:
        features = self._features(t, n)
        found = []
        for c, p in enumerate(before.tolist()):
            bucket = 9 if not t else next(b for b, top in enumerate((0, 1, 2, 3, 4, 5, 7, 11, p)) if p <= top)
            change = self._score("CHANGE", bucket, token_class, features[:, c])
            if bucket == 0:
                found.append(min(max(change, 0), 31))
            elif bucket == 9:
                found.append(32 + min(max(change, 0), 31))
            else:
                level = self._score("LEVEL", bucket, token_class, features[:, c])
                found.append(64 + 128 * (bucket - 1) + 8 * min(max(change, 0), 15) + min(max(level, 0), 7))
        return found

    def _score(self, what: str, bucket: int, token_class: int, features: np.ndarray) -> int:
        weights, biases = numbers(f"{what} WEIGHTS")[bucket], numbers(f"{what} BIASES")[bucket]
        return (int(features @ weights) + biases[token_class]) >> 8

    def _features(self, t: int, n: int) -> np.ndarray:
        """(16, D)."""
        found = np.zeros((16, self.channels), np.int64)
        if t:
            found[0] = self.features[max(t - 2, 0), n]
            for place, (down, right) in enumerate(_AROUND, 1):
                if (other := self._neighbour(n, down, right)) is not None:
                    found[place] = self.features[t - 1, other]
            found[13], found[14], found[15] = self.features[t - 1, n], self.changes[n], self.levels[n]
        for place, (down, right) in enumerate(_BEFORE, 9):
            other = self._neighbour(n, down, right)
            if other is None and not t and n:
                other = n - self.width if n >= self.width else n - 1
            if other is not None:
                found[place] = self.features[t, other]
        return found

    def _neighbour(self, n: int, down: int, right: int) -> int | None:
        """The token so many lines and columns away."""
        line, at = divmod(n, self.width)
        line, at = line + down, at + right
        if line < 0 or not 0 <= at < self.width or line * self.width + at >= self.tokens:
            return None
        return line * self.width + at
