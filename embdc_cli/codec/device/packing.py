"""Codes of many chunks packed on a device, where Triton runs: what the coders of the CPU make of them, to the byte.

The CPU has no codes. What it has to know of those of planes, to choose classes, are a few numbers for each plane and
track; flags, offsets and side information it writes as ever. It waits for the device three times for any number of
chunks: for these numbers (which come with the errors), for how many bytes every part takes, and for these bytes, in one
copy to page-locked memory.
Read or written on the device, for each code of 4 bytes: 8 in the order of planes, 4 for a CRC-32, 11 for its class and
to have those of all chunks in a row, 10 to count and to split them; for each that has a symbol another 4, and what it
becomes. A batch has as many chunks as its memory allows: rANS takes as long for thousands of payloads as for the
longest of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial, singledispatch
from types import ModuleType
from typing import Final, Protocol

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Taken
from embdc_cli.codec.device.narrow import Narrow
from embdc_cli.codec.device.plane_coders import level_classes, ranges_of, tile_tables, used_here
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.device.symbol_crc import crc_behind, joined
from embdc_cli.codec.stage import Coder, Shape
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.entropy.bits import encode_varint
from embdc_cli.entropy.cuda import why_not
from embdc_cli.entropy.tables import Tables

BYTES_PER_CODE: Final = 24
"""On the device for each code of a batch: levels and classes, the same in a row, and `cuda_encode.work_bytes`."""
BYTES_PER_CHUNK: Final = 4096
"""For each chunk and token group beside that: tables of where what is, and what small tensors are rounded up to."""


@cache
def kernels_on(device: torch.device) -> tuple[ModuleType, ModuleType] | None:
    """(`entropy.levels.cuda_encode`, `cuda_codes`), None where they do not run on `device`."""
    if why_not(str(device)) is not None:
        return None
    from embdc_cli.codec.device import cuda_codes
    from embdc_cli.entropy.levels import cuda_encode

    return cuda_encode, cuda_codes


@dataclass(frozen=True)
class Packing:
    """A coder on a device.

    order: codes to (levels (n,) int32 in the order of the coder, what the CPU has to know of them). head: that, the
    shape of the codes and side information to (bytes before those of the levels, what tells the classes). classes:
    the latter, once it is on the device, to (n,) uint8. tables: of the entropy coder.
    """

    order: Callable[[torch.Tensor], tuple[torch.Tensor, list[torch.Tensor]]]
    head: Callable[[list[np.ndarray], Shape, bytes], tuple[bytes, Taken]]
    classes: Callable[[Beside], torch.Tensor]
    tables: Tables


@singledispatch
def packing_of(coder: Coder, kernels: ModuleType) -> Packing | None:
    """The coder with `kernels`, of `cuda_codes`; None for one that only the CPU has."""
    del coder, kernels
    return None


@packing_of.register
def _planes(coder: Planes, kernels: ModuleType) -> Packing:
    def order(codes: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        levels, present, sums = kernels.plane_levels(codes.contiguous(), coder.group)
        return levels, [present, sums]

    def head(known: list[np.ndarray], shape: Shape, side: bytes) -> tuple[bytes, Taken]:
        present, sums = known
        found = coder.head(present > 0, sums, shape)
        return found.data, Taken((found.classes.reshape(coder.group, shape[2]), found.offsets), shape[0])

    def classes(beside: Beside) -> torch.Tensor:
        planes, offsets = beside.tensors
        return level_classes(planes, offsets, beside.facts)

    return Packing(order, head, classes, coder.tables)


@packing_of.register
def _track_planes(coder: TrackPlanes, kernels: ModuleType) -> Packing:
    def order(codes: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return codes.contiguous(), []

    def head(known: list[np.ndarray], shape: Shape, side: bytes) -> tuple[bytes, Taken]:
        parts = coder.mixture.chunk(side).class_parts
        return b"", Taken((parts.planes, parts.symbols, *tile_tables(parts.shapes)), shape[0])

    def classes(beside: Beside) -> torch.Tensor:
        from embdc_cli.codec.device.cuda import track_classes

        planes, symbols, blocks, tiles = beside.tensors
        return track_classes(planes, symbols, blocks, tiles, beside.facts)

    return Packing(order, head, classes, coder.tables)


@dataclass(frozen=True)
class Ordered:
    """The codes of a token group of a chunk, on the device, flat or not. known: to be fetched; shape: of the codes."""

    levels: torch.Tensor
    known: list[torch.Tensor]
    shape: Shape


@dataclass(frozen=True)
class Packed:
    """The bytes of a coder, and the CRC-32 of its codes behind another."""

    data: Callable[[], bytes]
    crc_behind: Callable[[int], int]


class Packer(Protocol):
    """The coder of a token group."""

    @property
    def together(self) -> bool:
        """Whether it packs on the device, where many chunks at once are faster than one by one."""

    def ordered(self, codes: torch.Tensor) -> Ordered:
        """Start with the codes of a chunk on the device."""

    def packed(
        self, chunks: Sequence[Ordered], fetched: Sequence[list[np.ndarray]], sides: Sequence[bytes]
    ) -> list[Packed]:
        """What becomes of chunks. fetched: what was known of each. sides: what the coder may know of each.

        Nothing of the chunks is needed on the device afterwards. Raises ValueError for levels that their classes or
        tables cannot code.
        """


def packer_of(coder: Coder, staging: Staging) -> Packer:
    """The coder on the device of `staging`, or on the CPU where that has no kernels, or none for it."""
    kernels = kernels_on(staging.device)
    packing = None if kernels is None else packing_of(coder, kernels[1])
    return ByCpu(coder, staging) if kernels is None or packing is None else OnDevice(packing, kernels, staging)


class ByCpu:
    """Codes come back in as few bytes as those before them fitted; packed are they when their bytes are asked for."""

    together = False

    def __init__(self, coder: Coder, staging: Staging) -> None:
        self._coder = coder
        self._staging = staging
        self._narrow = Narrow()

    def ordered(self, codes: torch.Tensor) -> Ordered:
        return Ordered(codes, self._narrow.started(codes), tuple(codes.shape))

    def packed(
        self, chunks: Sequence[Ordered], fetched: Sequence[list[np.ndarray]], sides: Sequence[bytes]
    ) -> list[Packed]:
        packed = []
        for chunk, known, side in zip(chunks, fetched, sides, strict=True):
            codes = self._narrow.ended(chunk.levels, known, self._staging)
            crc = partial(zlib.crc32, np.ascontiguousarray(codes, "<i4").data)
            packed.append(Packed(partial(self._coder.encode, codes, side), crc))
        return packed


class OnDevice:
    """With kernels (of `kernels_on`)."""

    together = True

    def __init__(self, packing: Packing, kernels: tuple[ModuleType, ModuleType], staging: Staging) -> None:
        self._packing = packing
        self._levels, self._codes = kernels
        self._staging = staging

    def ordered(self, codes: torch.Tensor) -> Ordered:
        levels, known = self._packing.order(codes)
        return Ordered(levels, [self._codes.remainders(codes.contiguous()), *known], tuple(codes.shape))

    def packed(
        self, chunks: Sequence[Ordered], fetched: Sequence[list[np.ndarray]], sides: Sequence[bytes]
    ) -> list[Packed]:
        heads, crcs = [], []
        for chunk, (remainders, *known), side in zip(chunks, fetched, sides, strict=True):
            heads.append(self._packing.head(known, chunk.shape, side))
            remainder = joined(remainders.view(np.uint32).tolist(), self._codes.REMAINDER_WORDS)
            crcs.append(partial(crc_behind, remainder=remainder, words=len(chunk.levels)))
        there = iter(self._staging.copied([array for _, taken in heads for array in taken.arrays]))
        classes = [
            self._packing.classes(Beside(tuple(next(there) for _ in taken.arrays), taken.facts)) for _, taken in heads
        ]
        levels = self._encoded([chunk.levels for chunk in chunks], classes)
        return [
            Packed(partial(bytes.__add__, head, own), crc)
            for (head, _), own, crc in zip(heads, levels, crcs, strict=True)
        ]

    def _encoded(self, levels: Sequence[torch.Tensor], classes: Sequence[torch.Tensor]) -> list[bytes]:
        """As of `encode_levels`, for each."""
        from embdc_cli.entropy.levels import cuda

        found = []
        for part in cuda.launches([len(one) for one in levels]):
            sizes = [len(one) for one in levels[part]]
            (spans,) = self._staging.copied([ranges_of(sizes)])
            tables = used_here(cuda.tables_on(self._packing.tables, spans.device))
            together = torch.cat(list(levels[part])), torch.cat(list(classes[part]))
            found.append(self._levels.encode_levels(*together, spans, max(sizes), tables))
        numbers = self._staging.fetched_together([t for one in found for t in (one.payloads, one.raw_bits, one.errors)])
        if any(errors.any() for errors in numbers[2::3]):
            raise ValueError("levels: expected only zeros in class 0 and what tables can code, found another level")
        parts = []
        for one, payloads, raw_bits in zip(found, numbers[0::3], numbers[1::3], strict=True):
            for (begin, end), (raw_begin, raw_end) in zip(payloads.tolist(), raw_bits.tolist(), strict=True):
                parts += [one.data[begin:end], one.raw[raw_begin:raw_end]]
        fetched = [one.tobytes() for one in self._staging.fetched_together(parts)]
        return [encode_varint(len(rans)) + rans + raw for rans, raw in zip(fetched[::2], fetched[1::2], strict=True)]
