"""Columns of integers as bytes: LEB128 variable-length integers, zigzag signs, runs of zeros. All vectorised.

Arithmetic is modulo 2^64, so differences of any int64 values are exact and invertible.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.errors import CorruptArchive

_GROUP_BITS = 7
_MAX_GROUPS = 10  # ceil(64 / 7)
_FEW = 16
"""Values of a column that are decoded sooner one by one than by a dozen calls of numpy."""


def encode(values: np.ndarray) -> bytes:
    """LEB128 bytes of values: (n,) uint64, least significant group first, high bit set on all but the last byte."""
    if not len(values):
        return b""
    values = values.astype(np.uint64, copy=False)
    if values.max() < 0x80:
        return values.astype(np.uint8).tobytes()  # most columns hold small numbers only
    sizes = np.ones(len(values), np.int64)
    for group in range(1, _MAX_GROUPS):
        sizes += values >= np.uint64(1 << (_GROUP_BITS * group))
    ends = np.cumsum(sizes)
    starts = ends - sizes
    out = np.empty(int(ends[-1]), np.uint8)
    for group in range(int(sizes.max())):
        has = sizes > group
        bits = (values[has] >> np.uint64(_GROUP_BITS * group)).astype(np.uint8) & 0x7F
        more = (sizes[has] > group + 1).astype(np.uint8) << 7
        out[starts[has] + group] = bits | more
    return out.tobytes()


def decode_one(data: bytes | memoryview, start: int, what: str) -> tuple[int, int]:
    """(integer, offset behind it) at offset `start` of `data`. Raises: CorruptArchive."""
    if start >= len(data):
        raise CorruptArchive(f"{what}: a variable-length integer is missing")
    value = 0
    for place in range(start, min(start + _MAX_GROUPS, len(data))):
        octet = data[place]
        value |= (octet & 0x7F) << _GROUP_BITS * (place - start)
        if octet < 0x80:
            if value >> 64 or (octet == 0 and place > start):
                break
            return value, place + 1
    else:
        if len(data) - start < _MAX_GROUPS:
            raise CorruptArchive(f"{what}: a variable-length integer is cut")
    raise CorruptArchive(f"{what}: a variable-length integer is overlong")


def decode(data: bytes | memoryview, what: str) -> np.ndarray:
    """uint64 (n,): all integers in `data`. Raises: CorruptArchive for a cut, overlong or too wide integer."""
    octets = np.frombuffer(data, np.uint8)
    if not len(octets):
        return np.empty(0, np.uint64)
    ends = np.flatnonzero(octets < 0x80)
    if not len(ends) or ends[-1] != len(octets) - 1:
        raise CorruptArchive(f"{what}: a variable-length integer is cut")
    if len(ends) == len(octets):
        return octets.astype(np.uint64)  # most columns hold small numbers only
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    last = octets[ends]
    if ((sizes > 1) & (last == 0)).any() or (sizes > _MAX_GROUPS).any() or ((sizes == _MAX_GROUPS) & (last > 1)).any():
        raise CorruptArchive(f"{what}: a variable-length integer is overlong")
    values = np.zeros(len(ends), np.uint64)
    for group in range(int(sizes.max())):
        has = sizes > group
        bits = (octets[starts[has] + group] & 0x7F).astype(np.uint64)
        values[has] |= bits << np.uint64(_GROUP_BITS * group)
    return values


def pack(values: np.ndarray) -> bytes:
    """A column of values: (n,) int64: zigzag, then every run of zeros as 0 and its length, then LEB128."""
    signed = values.astype(np.int64, copy=False)
    zigzag = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    zero = zigzag == 0
    if not zero.any():
        return encode(zigzag)
    first = zero & ~np.concatenate([[False], zero[:-1]])
    run_starts = np.flatnonzero(first)
    run_ends = np.flatnonzero(zero & ~np.concatenate([zero[1:], [False]])) + 1
    keep = ~zero | first
    tokens = zigzag[keep]
    places = np.cumsum(keep)[run_starts]  # the run length goes behind its zero
    return encode(np.insert(tokens, places, (run_ends - run_starts).astype(np.uint64)))


def unpack(data: bytes | memoryview, count: int, what: str) -> np.ndarray:
    """int64 (count,): the column in `data`. Raises: CorruptArchive unless it has exactly `count` values.

    The count is checked before the runs are expanded.
    """
    if count <= _FEW:
        return np.array(_few(data, count, what), np.int64)
    tokens = decode(data, what)
    zero = tokens == 0
    if zero.any():
        marks = np.flatnonzero(zero)
        if marks[-1] == len(tokens) - 1 or zero[marks + 1].any() or (tokens[marks + 1] > np.uint64(count)).any():
            raise CorruptArchive(f"{what}: a run of zeros has an impossible length")
        repeats = np.ones(len(tokens), np.int64)
        repeats[marks] = tokens[marks + 1].astype(np.int64)
        repeats[marks + 1] = 0
        total = int(repeats.sum())
    else:
        repeats, total = None, len(tokens)
    if total != count:
        raise CorruptArchive(f"{what}: expected {count} values, found {total}")
    zigzag = tokens if repeats is None else np.repeat(tokens, repeats)
    signed = (zigzag >> np.uint64(1)).view(np.int64) ^ -(zigzag & np.uint64(1)).view(np.int64)
    return np.asarray(signed, dtype=np.int64)


def _few(data: bytes | memoryview, count: int, what: str) -> list[int]:
    """`unpack`, one integer after the other."""
    values: list[int] = []
    place = 0
    while place < len(data):
        token, place = decode_one(data, place, what)
        values.append((token >> 1) ^ -(token & 1))
        if token == 0:
            run, place = decode_one(data, place, what)
            if not 0 < run <= count:
                raise CorruptArchive(f"{what}: a run of zeros has an impossible length")
            values += [0] * (run - 1)
        if len(values) > count:
            break
    if len(values) != count:
        raise CorruptArchive(f"{what}: expected {count} values, found {len(values)}")
    return values


def pack_differences(values: np.ndarray) -> bytes:
    """A column of differences of values: (n,) int64, the first one from 0."""
    return pack(np.diff(values.astype(np.int64, copy=False), prepend=np.int64(0)))


def unpack_differences(data: bytes | memoryview, count: int, what: str) -> np.ndarray:
    """int64 (count,): the column that `pack_differences` made."""
    return np.cumsum(unpack(data, count, what), dtype=np.int64)
