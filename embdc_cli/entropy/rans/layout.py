"""The numbers and the byte layout of a rANS payload, shared by every kernel.

[8 bits] lanes: 1, 2, 4, 8, 16 or 32; [32 bits] x lanes: state of each lane when decoding starts; [16 bits] x words:
all lanes' words in the order in which decoding takes them. Little-endian. No symbols: no bytes.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.entropy.tables import COST_UNIT
from embdc_cli.errors import CorruptArchive

STATE_LOW = 1 << 16  # a state is at least this between symbols; where encoding starts and decoding ends
WORD_BITS = 16
MAX_LANES = 32
_STATE_BYTES = 4
BYTES_PER_LANE = 400  # of payload: then the states are at most 1 % of it, and really cost half (16 bits each)


def choose_lanes(cost: int) -> int:
    """The lane count for symbols that cost `cost` / 256 bits: the largest power of two with 400 bytes to each lane."""
    lanes = 1
    while lanes < MAX_LANES and 2 * lanes * BYTES_PER_LANE * 8 * COST_UNIT <= cost:
        lanes *= 2
    return lanes


def join_payload(states: np.ndarray, words: np.ndarray) -> bytes:
    """The payload of these states (lanes,) uint32 and words (n,) uint16."""
    return bytes((states.size,)) + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()


def split_payload(data: bytes | memoryview) -> tuple[np.ndarray, np.ndarray]:
    """The states (lanes,) uint32 and words (n,) uint16 of a payload. Raises CorruptArchive where they cannot be."""
    lanes = data[0] if len(data) else 0
    if lanes not in (1, 2, 4, 8, 16, MAX_LANES):
        raise CorruptArchive(f"rans payload: lane count, expected a power of two up to {MAX_LANES}, found {lanes}")
    start = 1 + _STATE_BYTES * lanes
    if len(data) < start or (len(data) - start) % 2:
        raise CorruptArchive(f"rans payload: expected {start} bytes and whole 16-bit words, found {len(data)} bytes")
    states = np.frombuffer(data, "<u4", lanes, 1).astype(np.uint32)
    if states.min() < STATE_LOW:
        raise CorruptArchive(f"rans payload: expected states of at least {STATE_LOW}, found {states.min()}")
    return states, np.frombuffer(memoryview(data)[start:], "<u2").astype(np.uint16)
