"""Damage to a file in memory: what disks, networks and programs do to bytes."""

from __future__ import annotations

import random


def flipped(data: bytes, bit: int) -> bytes:
    """One bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def spliced(data: bytes, rng: random.Random) -> tuple[bytes, int, int]:
    """(bytes, start, stop): those from start to stop removed, zeroed, made noise, or a copy of others of the file."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 8, 40, 512)))
    size = stop - start
    other = rng.randrange(len(data) - size + 1)
    piece = rng.choice((b"", bytes(size), rng.randbytes(size), data[other : other + size]))
    return data[:start] + piece + data[stop:], start, stop
