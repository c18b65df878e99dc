"""Raw bits, Exp-Golomb codes and varints: exact layout, round trips, and hostile bytes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embdc_cli.entropy.bits import (
    bit_lengths,
    decode_exp_golomb,
    decode_varint,
    encode_exp_golomb,
    encode_varint,
    pack_bits,
    unpack_bits,
)
from embdc_cli.errors import CorruptArchive

FIELDS = st.lists(st.integers(0, 32).flatmap(lambda w: st.tuples(st.integers(0, 2**w - 1), st.just(w))), max_size=200)
CODES = st.lists(
    st.integers(0, 31).flatmap(lambda k: st.tuples(st.integers(0, 2**32 - 1 - 2**k) | st.integers(0, 9), st.just(k))),
    max_size=60,
)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a for a, _ in pairs], np.uint32), np.array([b for _, b in pairs], np.uint8)


def packed_by_hand(values: np.ndarray, widths: np.ndarray) -> bytes:
    total, position = 0, 0
    for value, width in zip(values.tolist(), widths.tolist(), strict=True):
        total |= value << position
        position += width
    return total.to_bytes((position + 7) // 8, "little")


@given(FIELDS)
def test_bits_match_one_big_integer_and_come_back(pairs: list[tuple[int, int]]) -> None:
    values, widths = columns(pairs)
    data = pack_bits(values, widths)
    assert data == packed_by_hand(values, widths)
    assert np.array_equal(unpack_bits(data, widths), values)


def test_bits_come_low_first() -> None:
    assert pack_bits(np.array([1, 2, 0x1FF]), np.array([1, 3, 9])) == bytes([0b1111_0101, 0b0001_1111])


@pytest.mark.parametrize(
    ("values", "widths"), [([2], [1]), ([1], [0]), ([0], [33]), ([0], [-1]), ([0, 0], [1]), ([-1], [8])]
)
def test_bits_that_do_not_fit_are_refused(values: list[int], widths: list[int]) -> None:
    with pytest.raises(ValueError, match="raw bits"):
        pack_bits(np.array(values), np.array(widths))


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\0\0", b"\1\x20"])
def test_unpacking_wants_exactly_its_bytes_and_zero_padding(data: bytes) -> None:
    assert unpack_bits(b"\1\x1f", np.array([5, 8])).tolist() == [1, 248]
    with pytest.raises(CorruptArchive):
        unpack_bits(data, np.array([5, 8]))


@given(CODES)
def test_exp_golomb_comes_back_and_has_the_known_length(pairs: list[tuple[int, int]]) -> None:
    values, orders = columns(pairs)
    data = encode_exp_golomb(values, orders)
    assert np.array_equal(decode_exp_golomb(data, orders), values)
    prefix_bits = sum((v + (1 << k)).bit_length() - k for v, k in pairs)
    remainder_bits = sum((v + (1 << k)).bit_length() - 1 for v, k in pairs)
    assert len(data) == (prefix_bits + 7) // 8 + (remainder_bits + 7) // 8


def test_exp_golomb_by_hand() -> None:
    # order 0: 0 is 1; 1 is 01 and 0; 2 is 01 and 1; 3 is 001 and 00
    assert encode_exp_golomb(np.array([0, 1, 2, 3]), np.zeros(4)) == bytes([0b1001_0101, 0b0000_0010])


@pytest.mark.parametrize(("value", "order"), [(-1, 0), (2**32 - 1, 0), (2**32 - 2**31, 31), (2**40, 3)])
def test_exp_golomb_refuses_what_has_no_code(value: int, order: int) -> None:
    with pytest.raises(ValueError, match="exp-golomb"):
        encode_exp_golomb(np.array([value]), np.array([order]))


@given(st.binary(max_size=40), st.lists(st.integers(0, 31), max_size=12))
def test_any_bytes_are_exactly_one_list_or_corrupt(data: bytes, orders: list[int]) -> None:
    order_array = np.array(orders, np.uint8)
    try:
        values = decode_exp_golomb(data, order_array)
    except CorruptArchive:
        return
    assert encode_exp_golomb(values, order_array) == data


def test_exp_golomb_never_unpacks_more_than_its_prefixes_can_take() -> None:
    data = bytes(1 << 20)
    tracemalloc.start()
    with pytest.raises(CorruptArchive, match="prefixes"):
        decode_exp_golomb(data, np.zeros(3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 16


@pytest.mark.parametrize(("zeros", "order"), [(32, 0), (30, 2), (1, 31)])
def test_exp_golomb_codes_over_31_bits_are_corrupt(zeros: int, order: int) -> None:
    prefix = np.packbits(np.append(np.zeros(zeros, np.uint8), 1), bitorder="little").tobytes()
    with pytest.raises(CorruptArchive, match="at most 31 bits"):
        decode_exp_golomb(prefix + bytes((zeros + order + 7) // 8), np.array([order]))


def test_bit_lengths() -> None:
    values = [0, 1, 2, 3, 4, 255, 256, 2**32 - 1, 2**32, 2**53 - 1]
    assert bit_lengths(np.array(values)).tolist() == [v.bit_length() for v in values]


@given(st.integers(0, 2**35 - 1), st.binary(max_size=3))
def test_varints_come_back(value: int, rest: bytes) -> None:
    data = encode_varint(value)
    assert decode_varint(data + rest) == (value, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 5, b"\x80\x00", b"\xff" * 4 + b"\x80\x01"])
def test_varints_that_are_cut_long_or_padded_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptArchive, match="varint"):
        decode_varint(data)


@pytest.mark.parametrize("value", [-1, 2**35])
def test_varints_have_35_bits(value: int) -> None:
    with pytest.raises(ValueError, match="varint"):
        encode_varint(value)
