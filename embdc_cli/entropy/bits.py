"""Raw bits: arrays of unsigned values of given widths as a byte string, Exp-Golomb codes, and byte-sized varints.

Bit 0 of a byte comes first, and the low bit of a value comes first. The last byte is padded with zero bits, and a
decoder insists on them, so that one array has one representation. Values have up to 32 bits.
"""

from __future__ import annotations

import numpy as np

from embdc_cli.errors import CorruptArchive

MAX_WIDTH = 32
_VARINT_BYTES = 5  # 35 bits: more than any chunk may hold


def packed_bytes(bits: int) -> int:
    """Bytes that `bits` bits take."""
    return (bits + 7) // 8


def pack_bits(values: np.ndarray, widths: np.ndarray) -> bytes:
    """The values, each in its own number of bits, low bit first.

    values: (n,) integers with 0 <= values < 2^widths; widths: (n,) integers 0..32. Raises ValueError otherwise.
    """
    values = np.asarray(values).astype(np.uint64)
    widths = np.asarray(widths).astype(np.int64)
    if values.shape != widths.shape or values.ndim != 1:
        raise ValueError(f"raw bits: expected one width per value, found {widths.shape} for {values.shape}")
    if widths.size and (widths.min() < 0 or widths.max() > MAX_WIDTH):
        raise ValueError(f"raw bits: expected widths 0..{MAX_WIDTH}, found {widths.min()}..{widths.max()}")
    if np.any(values >> widths.astype(np.uint64)):
        raise ValueError("raw bits: expected values below 2^width, found a larger one")
    ends = np.cumsum(widths)
    total = int(ends[-1]) if ends.size else 0
    starts = ends - widths
    words = np.zeros(total // 32 + 2, np.uint64)
    shifted = values << (starts & 31).astype(np.uint64)  # at most 63 bits
    # bits of different values never overlap, so that sums are unions; each 32-bit word is one run of starts
    word_of = starts >> 5
    if word_of.size:
        firsts = np.flatnonzero(np.diff(word_of, prepend=-1))
        words[word_of[firsts]] += np.add.reduceat(shifted & np.uint64(0xFFFFFFFF), firsts)
        words[word_of[firsts] + 1] += np.add.reduceat(shifted >> np.uint64(32), firsts)
    return words.astype("<u4").tobytes()[: packed_bytes(total)]


def check_packed(data: bytes | memoryview, bits: int) -> None:
    """Raises CorruptArchive unless `data` has the bytes for exactly `bits` bits, and zero padding."""
    if len(data) != packed_bytes(bits):
        raise CorruptArchive(f"raw bits: expected {packed_bytes(bits)} bytes, found {len(data)}")
    if bits & 7 and data[len(data) - 1] >> (bits & 7):
        raise CorruptArchive("raw bits: last byte, expected zero padding, found other bits")


def unpack_bits(data: bytes | memoryview, widths: np.ndarray) -> np.ndarray:
    """The values (n,) uint32 that `pack_bits` wrote with these widths (n,), each 0..32.

    Raises CorruptArchive unless `data` holds exactly these bits and zero padding.
    """
    widths = np.asarray(widths).astype(np.int64)
    ends = np.cumsum(widths)
    total = int(ends[-1]) if ends.size else 0
    check_packed(data, total)
    words = np.zeros(total // 32 + 2, "<u4")
    words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
    starts = ends - widths
    first = starts >> 5
    pairs = words[first].astype(np.uint64) | (words[first + 1].astype(np.uint64) << np.uint64(32))
    masks = (np.uint64(1) << widths.astype(np.uint64)) - np.uint64(1)
    values: np.ndarray = pairs >> (starts & 31).astype(np.uint64) & masks
    return values.astype(np.uint32)


def bit_lengths(values: np.ndarray) -> np.ndarray:
    """The bit length (int64) of each non-negative integer below 2^53."""
    return np.frexp(np.asarray(values).astype(np.float64))[1].astype(np.int64)


def encode_exp_golomb(values: np.ndarray, orders: np.ndarray) -> bytes:
    """Exp-Golomb codes: first every prefix in unary (zeros, then a one), byte aligned, then every remainder.

    values: (n,) integers 0 <= v, v + 2^order < 2^32; orders: (n,) integers 0..31.
    With u = v + 2^order of b bits, the prefix is b - 1 - order and the remainder is u without its top bit.
    """
    orders = np.asarray(orders).astype(np.int64)
    biased = np.asarray(values).astype(np.int64) + (np.int64(1) << orders)
    if biased.size and (biased.max() >> MAX_WIDTH or np.asarray(values).min() < 0):
        raise ValueError("exp-golomb: expected values from 0 to 2^32 - 1 - 2^order, found one outside")
    remainder_bits = bit_lengths(biased) - 1
    ends = np.cumsum(remainder_bits - orders + 1)
    unary = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    unary[ends - 1] = 1
    prefixes = np.packbits(unary, bitorder="little").tobytes()
    return prefixes + pack_bits(biased - (np.int64(1) << remainder_bits), remainder_bits)


def decode_exp_golomb(data: bytes | memoryview, orders: np.ndarray) -> np.ndarray:
    """The values (n,) uint32 that `encode_exp_golomb` wrote with these orders (n,).

    Raises CorruptArchive unless `data` holds exactly them.
    """
    orders = np.asarray(orders).astype(np.int64)
    if orders.size == 0:
        if len(data):
            raise CorruptArchive(f"exp-golomb: expected no bytes, found {len(data)}")
        return np.zeros(0, np.uint32)
    # a prefix has at most 32 bits, which bounds what is unpacked
    bits = np.unpackbits(np.frombuffer(data, np.uint8)[: 4 * orders.size + 1], bitorder="little")
    ones = np.flatnonzero(bits)[: orders.size]
    if ones.size < orders.size:
        raise CorruptArchive(f"exp-golomb: expected {orders.size} prefixes, found {ones.size}")
    prefixes = np.diff(ones, prepend=-1) - 1
    remainder_bits = prefixes + orders
    if remainder_bits.max() >= MAX_WIDTH:
        raise CorruptArchive(f"exp-golomb: expected codes of at most 31 bits, found {remainder_bits.max()}")
    used = packed_bytes(int(ones[-1]) + 1)
    if bits[ones[-1] + 1 : 8 * used].any():
        raise CorruptArchive("exp-golomb: after the prefixes, expected zero padding, found other bits")
    remainders = unpack_bits(data[used:], remainder_bits).astype(np.int64)
    values: np.ndarray = remainders + (np.int64(1) << remainder_bits) - (np.int64(1) << orders)
    return values.astype(np.uint32)


def encode_varint(value: int) -> bytes:
    """A non-negative integer below 2^35, seven bits a byte, low bits first, the top bit set on all but the last."""
    if not 0 <= value < 1 << 7 * _VARINT_BYTES:
        raise ValueError(f"varint: expected 0..2^35 - 1, found {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes | memoryview) -> tuple[int, int]:
    """A varint at the start of `data` and the number of bytes it takes. Raises CorruptArchive."""
    value = 0
    for index in range(min(len(data), _VARINT_BYTES)):
        byte = data[index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise CorruptArchive("varint: expected the shortest form, found a zero last byte")
            return value, index + 1
    raise CorruptArchive(f"varint: expected its last byte within {_VARINT_BYTES} bytes, found {len(data)} without")
