"""The tables of one chunk and the lanes that read symbols by them, in Triton, for `cuda.py`.

A table row is 16 cumulative frequencies in int16. Counts are symbols coded so far, beside those that all chunks start
from. Everything is integer arithmetic, so that every device finds the same tables.
"""

from __future__ import annotations

import triton
import triton.language as tl

from embdc_cli.codec.transform.time_context import model
from embdc_cli.entropy.rans import layout
from embdc_cli.entropy.rans.cuda import bit_counts

_ROWS = tl.constexpr(model.ROWS)
_SYMBOLS = tl.constexpr(model.SYMBOLS)
_COUNT = tl.constexpr(model.COUNT)
_TOTAL = tl.constexpr(model.TOTAL)
_BITS = tl.constexpr(model.PROBABILITY_BITS)
_LOW = tl.constexpr(layout.STATE_LOW)
_LANES = tl.constexpr(layout.MAX_LANES)
_SHARE = tl.constexpr(model.TOTAL - model.SYMBOLS << 48)  # below 2^63
_AT_ONCE = tl.constexpr(128)  # table rows


@triton.jit
def renew(starts: tl.tensor, hits: tl.tensor, cums: tl.tensor) -> None:
    """Fills cums (ROWS, 16) int16 as `model.frequencies` of starts (ROWS, 16) int32 + COUNT hits (ROWS, 16) int32.

    One division for each row: with r = floor(2^48 (2^15 - 16) / sum), floor(count r / 2^48) is the quotient that
    `frequencies` wants or one less, as long as counts are below 2^48; the remainder tells which.
    """
    symbol = tl.arange(0, _SYMBOLS)[None, :]
    for first in range(0, _ROWS, _AT_ONCE):
        row = first + tl.arange(0, _AT_ONCE)[:, None]
        place = row * _SYMBOLS + symbol
        inside = (row < _ROWS) & (symbol < _SYMBOLS)
        hit = tl.load(hits + place, mask=inside, other=0, cache_modifier=".cg")  # where atomic sums are made
        count = tl.load(starts + place, mask=inside, other=1).to(tl.int64) + _COUNT * hit.to(tl.int64)
        total = tl.sum(count, 1)
        share = tl.full([_AT_ONCE], _SHARE, tl.int64) // total
        quotient = (count * share[:, None]) >> 48
        missing = count * (_TOTAL - _SYMBOLS) - quotient * total[:, None] >= total[:, None]
        freq = 1 + quotient.to(tl.int32) + missing.to(tl.int32)
        largest = tl.argmax(freq, 1, tie_break_left=True)
        freq += tl.where(symbol == largest[:, None], _TOTAL - tl.sum(freq, 1)[:, None], 0)
        tl.store(cums + place, (tl.cumsum(freq, 1) - freq).to(tl.int16), mask=inside)


@triton.jit
def quarters(cums: tl.tensor, row: tl.tensor) -> tl.tensor:
    """Cumulative frequencies of symbols 4, 8 and 12 of table rows (n,): all that is known before a state is."""
    start = cums + row * _SYMBOLS
    four, eight = tl.load(start + 4).to(tl.int32), tl.load(start + 8).to(tl.int32)
    return four, eight, tl.load(start + 12).to(tl.int32)


@triton.jit
def read_states(data: tl.tensor, lanes: tl.tensor) -> tl.tensor:
    """(32,) uint32 from bytes; where there is no such lane, where decoding ends."""
    lane = tl.arange(0, _LANES)
    state = tl.zeros([_LANES], tl.uint32)
    for i in tl.static_range(4):
        byte = tl.load(data + 4 * lane + i, mask=lane < lanes, other=0).to(tl.uint32)
        state |= byte << (8 * i)
    return tl.where(lane < lanes, state, _LOW)


@triton.jit
def take(
    words: tl.tensor,
    word_count: tl.tensor,
    cums: tl.tensor,
    state: tl.tensor,
    at: tl.tensor,
    valid: tl.tensor,
    row: tl.tensor,
    four: tl.tensor,
    eight: tl.tensor,
    twelve: tl.tensor,
) -> tl.tensor:
    """One symbol of each valid lane: the new states, words taken so far, and symbols (32,) int32.

    words: bytes; at: words taken before, any number; row: (32,) int32; four, eight, twelve: its `quarters`.
    """
    next_word = at + tl.arange(0, _LANES)
    low = tl.load(words + 2 * next_word, mask=next_word < word_count, other=0).to(tl.uint32)
    high = tl.load(words + 2 * next_word + 1, mask=next_word < word_count, other=0).to(tl.uint32)

    slot = (state & (_TOTAL - 1)).to(tl.int32)
    a, b, c = slot >= four, slot >= eight, slot >= twelve
    quarter = 4 * (a.to(tl.int32) + b.to(tl.int32) + c.to(tl.int32))
    lower = tl.where(c, twelve, tl.where(b, eight, tl.where(a, four, 0)))
    upper = tl.where(a, tl.where(b, tl.where(c, _TOTAL, twelve), eight), four)
    start = cums + row * _SYMBOLS + quarter
    one, two, three = tl.load(start + 1).to(tl.int32), tl.load(start + 2).to(tl.int32), tl.load(start + 3).to(tl.int32)
    a, b, c = slot >= one, slot >= two, slot >= three
    symbol = quarter + a.to(tl.int32) + b.to(tl.int32) + c.to(tl.int32)
    lower = tl.where(c, three, tl.where(b, two, tl.where(a, one, lower)))
    upper = tl.where(a, tl.where(b, tl.where(c, upper, three), two), one)

    moved = (upper - lower).to(tl.uint32) * (state >> _BITS) + (slot - lower).to(tl.uint32)
    short = valid & (moved < _LOW)
    bit = tl.full([_LANES], 1, tl.uint32) << tl.arange(0, _LANES).to(tl.uint32)
    ballot = tl.sum(tl.where(short, bit, 0))
    rank = bit_counts(ballot & (bit - 1))
    moved = tl.where(short, (moved << 16) | tl.gather(low | (high << 8), rank, 0), moved)
    return tl.where(valid, moved, state), at + bit_counts(ballot), symbol
