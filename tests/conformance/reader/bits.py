"""Packed bits, Exp-Golomb codes, and the columns of the container: embdc-codec(5), Bits; embdc(5), COLUMNS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.conformance.reader.errors import check

_WORD = 1 << 64


def packed(data: bytes, widths: Sequence[int]) -> list[int]:
    """One value of each width, from exactly the bytes that these take."""
    total = sum(widths)
    check(len(data) == -(-total // 8), f"{len(data)} bytes of packed bits for {total} bits")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist()
    check(not any(bits[total:]), "padding of packed bits is not zero")
    values, at = [], 0
    for width in widths:
        values.append(sum(bit << place for place, bit in enumerate(bits[at : at + width])))
        at += width
    return values


def exp_golomb(data: bytes, orders: Sequence[int]) -> list[int]:
    """One value of each order, from all of `data`."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist()
    widths, at = [], 0
    for order in orders:
        start = at
        while at < len(bits) and not bits[at]:
            at += 1
        check(at < len(bits) and at - start + order < 32, "an Exp-Golomb prefix is cut or too long")
        widths.append(at - start + order)
        at += 1
    used = -(-at // 8)
    check(not any(bits[at : 8 * used]), "padding of Exp-Golomb prefixes is not zero")
    lowest = packed(data[used:], widths)
    return [(1 << width) + low - (1 << order) for width, low, order in zip(widths, lowest, orders, strict=True)]


def leb128(data: bytes, at: int) -> tuple[int, int]:
    """(integer of up to 64 bits in its shortest form, where it ends)."""
    value, shift = 0, 0
    while True:
        check(at < len(data) and shift < 70, "a variable-length integer is cut or too long")
        octet = data[at]
        value |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octet < 0x80:
            check(value < _WORD and (octet or shift == 7), "a variable-length integer is overlong")
            return value, at


def signed(value: int) -> int:
    """A 64-bit integer in two's complement."""
    value %= _WORD
    return value - _WORD if value >> 63 else value


def column(data: bytes, count: int) -> list[int]:
    """A column of `count` values."""
    values: list[int] = []
    at = 0
    while at < len(data):
        found, at = leb128(data, at)
        if found:
            values.append(signed(found >> 1 ^ -(found & 1)))
        else:
            run, at = leb128(data, at)
            check(1 <= run <= count - len(values), "a run of zeros has an impossible length")
            values += [0] * run
        check(len(values) <= count, "a column has too many values")
    check(len(values) == count, f"a column has {len(values)} values, expected {count}")
    return values


def differences(data: bytes, count: int) -> list[int]:
    """A column of differences, summed up."""
    values, last = [], 0
    for step in column(data, count):
        last = signed(last + step)
        values.append(last)
    return values


def predicted(data: bytes, spans: Sequence[int]) -> list[int]:
    """A column of predicted starts."""
    values, end = [], 0
    for step, span in zip(column(data, len(spans)), spans, strict=True):
        values.append(signed(end + step))
        end = signed(values[-1] + span)
    return values
