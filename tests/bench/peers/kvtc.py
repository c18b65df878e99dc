"""Principal components in groups of as many bits as dynamic programming finds best, and a general packer.

Source: Staniszewski and Lancucki, "KV cache transform coding for compact storage in LLM inference", 2025. Here along
channels of embeddings; bits are given under a Lagrangian, basis, ranges and packing counted.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from peers.coder import Coder, Parts, Shape, packed, unpacked
from peers.principal import basis

_SIZES: Final = (1, 16, 64, 256, 1024)  # components of a group
_BITS: Final = np.arange(9)
_SAMPLE: Final = 1000  # tokens by which bits are given
_RANGE: Final = 32  # bits of a group's low and step

Group = tuple[int, int, int]
"""First component, components, bits of each."""

PACKERS: Final = {"zstd": (packed, unpacked), "deflate": (lambda data: zlib.compress(data, 9), zlib.decompress)}


def kvtc(name: str, packer: str, known: np.ndarray | None = None) -> Coder:
    """packer: of PACKERS. known: the basis, not counted. Setting: error that a bit must save, over that of all zeros.

    Each group of components has low and step in float16 for all of it; groups of no bits are zeros.
    """
    pack, unpack = PACKERS[packer]

    def encode(x: np.ndarray, worth: float) -> Parts:
        tokens = x.reshape(-1, x.shape[-1])
        vectors = (basis(x)[1] if known is None else known).astype(np.float16)
        planes = np.ascontiguousarray((tokens @ vectors.astype(np.float32)).T)
        groups = allocated(planes, worth, 0 if known is not None else 16 * x.shape[-1])
        codes, ranges, kept = [], [], []
        for first, count, bits in groups:
            if bits:
                group = planes[first : first + count]
                low, step = _range(group, bits)
                codes.append(np.rint((group - low) / step).clip(0, (1 << bits) - 1).astype(np.uint8))
                ranges.append((low, step))
                kept += range(first, first + count)
        sent = vectors[:, kept].tobytes() if known is None else b""
        sizes = np.array([(_SIZES.index(count), bits) for _, count, bits in groups], np.uint8)
        plan = sizes[:, 0] << 4 | sizes[:, 1]
        return (
            pack(b"".join(map(np.ndarray.tobytes, codes))),
            np.array(ranges, np.float16).tobytes(),
            plan.tobytes(),
            sent,
        )

    def decode(parts: Parts, shape: Shape, worth: float) -> np.ndarray:
        codes = np.frombuffer(unpack(parts[0]), np.uint8).reshape(-1, shape[0] * shape[1])
        ranges = iter(np.frombuffer(parts[1], np.float16).astype(np.float32).reshape(-1, 2))
        planes, kept, first = np.empty(codes.shape, np.float32), [], 0
        for entry in parts[2]:
            count, bits = _SIZES[entry >> 4], entry & 15
            if bits:
                low, step = next(ranges)
                rows = slice(len(kept), len(kept) + count)
                planes[rows] = codes[rows] * step + low
                kept += range(first, first + count)
            first += count
        if known is None:
            vectors = np.frombuffer(parts[3], np.float16).reshape(shape[2], -1)
        else:
            vectors = known.astype(np.float16)[:, kept]
        return (vectors.astype(np.float32) @ planes).T

    worths = (1e-1, 3e-2, 1e-2, 4e-3, 1.5e-3, 6e-4, 2e-4, 1e-4, 4e-5, 1.5e-5, 5e-6)
    return Coder(name, worths, encode, decode)


def allocated(planes: np.ndarray, worth: float, overhead: int) -> list[Group]:
    """Groups in order, of least error + worth x error of all zeros x bits per token. planes: (D, tokens).

    overhead: bits for a vector of the basis. Dynamic programming over where groups end: single components anywhere,
    larger groups from multiples of 16.
    """
    count, tokens = planes.shape
    sample = planes[:, :: max(1, tokens // _SAMPLE)]
    price = worth * float((sample**2).sum(axis=0).mean())
    best, chosen = np.full(count + 1, np.inf), [(0, 0, 0)] * (count + 1)
    best[0] = 0
    for first in range(count):
        for size in _SIZES if first % 16 == 0 else _SIZES[:1]:
            if first + size > count:
                break
            side = (_RANGE + overhead * size) / tokens
            costs = errors(sample[first : first + size]) + price * (_BITS * size + np.where(_BITS > 0, side, 0))
            bits = int(costs.argmin())
            if best[first] + costs[bits] < best[first + size]:
                best[first + size] = best[first] + costs[bits]
                chosen[first + size] = (first, size, bits)
    groups = []
    while count:
        groups.append(chosen[count])
        count = groups[-1][0]
    return groups[::-1]


def errors(group: np.ndarray) -> np.ndarray:
    """Squared error per token of (components, tokens) at each of _BITS."""
    found = [float((group**2).sum())]
    for bits in _BITS[1:]:
        low, step = _range(group, int(bits))
        found.append(float(((np.rint((group - low) / step) * step + low - group) ** 2).sum()))
    return np.array(found) / group.shape[1]


def _range(group: np.ndarray, bits: int) -> tuple[np.float32, np.float32]:
    """(low, step), as float16 has them."""
    low = np.float32(np.float16(group.min()))
    step = np.float32(np.float16((group.max() - low) / ((1 << bits) - 1)))
    return low, step if step else np.float32(1)
