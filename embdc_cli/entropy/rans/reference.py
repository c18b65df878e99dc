"""Interleaved rANS in numpy: the definition that every other kernel must match word for word.

Symbol i belongs to lane i % L; step t codes symbols t L .. t L + L - 1, one in each lane. With f the frequency and c
the cumulative frequency of a symbol, 12-bit tables and 32-bit states x,
    encode: if x >= f 2^20: emit x mod 2^16, x = x >> 16;    x = (x div f) 2^12 + x mod f + c
    decode: slot = x mod 2^12, symbol owns slot;             x = f (x >> 12) + slot - c;  if x < 2^16: x = x 2^16 + word
Encoding runs from the last symbol to the first and starts from x = 2^16 in every lane. Lanes share one stream of words:
in each decoding step the lanes that need a word take the next ones in lane order (an exclusive prefix sum on a GPU).
Decoding must end with every state at 2^16 and no word left over, which catches nearly all damage.

Source: Duda, "Asymmetric numeral systems" (2014); Giesen, "Interleaved entropy coders" (2014).
Not adaptive: the class of each symbol is known to both sides before the first one is coded.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy.rans.layout import STATE_LOW, WORD_BITS
from embdc_cli.entropy.tables import PROBABILITY_BITS, TOTAL, Tables


def total_cost(symbols: np.ndarray, rows: np.ndarray, tables: Tables) -> tuple[int, int]:
    """The ideal length of all symbols and the largest of one symbol, both in 1/256 bit.

    symbols, rows: (n,) uint8, n >= 1.
    """
    cost = tables.cost[rows, symbols]
    return int(cost.sum(dtype=np.int64)), int(cost.max())


def encode(symbols: np.ndarray, rows: np.ndarray, tables: Tables, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """States (lanes,) uint32 and words (m,) uint16 in decoding order.

    symbols, rows: (n,) uint8, every symbol with a frequency above 0 in its row.
    """
    freq = tables.freq[rows, symbols].astype(np.uint64)
    cum = tables.cum[rows, symbols].astype(np.uint64)
    states = np.full(lanes, STATE_LOW, np.uint64)
    steps = []
    for start in reversed(range(0, symbols.size, lanes)):
        f, c = freq[start : start + lanes], cum[start : start + lanes]
        x = states[: f.size]
        full = x >= f << np.uint64(32 - PROBABILITY_BITS)
        steps.append(x[full].astype(np.uint16))
        x = np.where(full, x >> np.uint64(WORD_BITS), x)
        states[: f.size] = (x // f << np.uint64(PROBABILITY_BITS)) + x % f + c
    words = np.concatenate(steps[::-1]) if steps else np.zeros(0, np.uint16)
    return states.astype(np.uint32), words


def decode(
    states: np.ndarray, words: np.ndarray, position: int, rows: np.ndarray, tables: Tables, done: int = 0
) -> tuple[np.ndarray, int]:
    """The next symbols (n,) uint8, and the words taken so far; -1 when there are too few.

    states: (lanes,) uint32, moved on in place; words: (m,) uint16, `position` of them taken; rows: (n,) uint8 below the
    number of table rows; done: symbols decoded before. Any input is safe.
    """
    lanes = states.size
    symbols = np.zeros(rows.size, np.uint8)
    start = 0
    while start < rows.size:
        first = (done + start) % lanes
        row = rows[start : start + lanes - first]
        part = slice(first, first + row.size)
        x = states[part].astype(np.uint64)
        slot = x & np.uint64(TOTAL - 1)
        symbol = tables.slots[row, slot]
        symbols[start : start + row.size] = symbol
        f, c = tables.freq[row, symbol].astype(np.uint64), tables.cum[row, symbol].astype(np.uint64)
        x = f * (x >> np.uint64(PROBABILITY_BITS)) + slot - c
        empty = np.flatnonzero(x < STATE_LOW)
        if position + empty.size > words.size:
            return symbols, -1
        taken = words[position : position + empty.size].astype(np.uint64)
        x[empty] = x[empty] << np.uint64(WORD_BITS) | taken
        states[part] = x.astype(np.uint32)
        position += empty.size
        start += row.size
    return symbols, position
