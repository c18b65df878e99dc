"""Chunks of one segment, decoded on a device: first what the CPU reads of each, then the rest for many.

`take` may run in any thread. A codec is made, and `decode` runs, with one and the same stream current, on which rows
are then to be found. Chunks are decoded one by one but for their codes, which a coder on the device takes together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from embdc_cli import dtypes
from embdc_cli.codec import exact_values
from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.chain import DeviceChain, TakenChain
from embdc_cli.codec.device.rows import put_exact, write_rows
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import ChunkCodec, TokenCounts
from embdc_cli.codec.transform.codec import TransformCodec


@dataclass(frozen=True)
class TakenChunk:
    """What the CPU read of a chunk. groups: of every token group. others: exact values, or the rows themselves.

    length: of the first axis of its rows. symbol_crc: CRC-32 of its codes, None where they are decoded on the device.
    """

    groups: tuple[TakenChain, ...]
    others: Taken
    length: int
    symbol_crc: int | None

    @property
    def all(self) -> list[Taken]:
        return [*(one for group in self.groups for one in group.all), self.others]

    @property
    def device_bytes(self) -> int:
        """What the device has to hold until the chunk is decoded."""
        return sum(one.device_bytes for one in self.all)


@dataclass(frozen=True)
class CopiedChunk:
    """A chunk whose arrays are on the device. groups: for the coder and the inverses of every token group.

    device_bytes: what decoding holds on the device, nbytes of them by what was copied.
    """

    groups: tuple[tuple[Beside, ...], ...]
    others: Beside
    length: int
    device_bytes: int
    nbytes: int


class DeviceCodec(Protocol):
    """A `ChunkCodec` whose rows are wanted on a device."""

    @property
    def held_bytes(self) -> int:
        """Of parameters on the device."""

    @property
    def working_bytes(self) -> int:
        """Of the device, for each value of the one chunk that is on its way from codes to rows."""

    @property
    def together(self) -> bool:
        """Whether codes are decoded on the device, where several chunks at once are faster than one by one."""

    def take(self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None) -> TakenChunk:
        """What the CPU reads of a chunk. Raises CorruptArchive."""

    def decode(
        self, chunks: Sequence[CopiedChunk], outs: Sequence[torch.Tensor], staging: Staging
    ) -> list[torch.Tensor]:
        """Start decoding chunks into outs, (length, *row_shape) in storage type each; waits for nothing.

        Returns a number on the device for each, NaN where the chunk or its models are corrupt.
        """


def device_codec(codec: ChunkCodec, device: torch.device) -> DeviceCodec:
    """The codec on `device`: its stages there for the transform codec, else a copy of what the CPU decodes."""
    return OnDevice(codec, device) if isinstance(codec, TransformCodec) else OnCpu(codec)


class OnDevice:
    """The transform codec, its models uploaded."""

    working_bytes = 32

    def __init__(self, codec: TransformCodec, device: torch.device) -> None:
        self._codec = codec
        upload = Upload(device)
        self._chains = [DeviceChain(models.chain, upload) for models in codec.models.groups]
        self._upload = upload

    @property
    def held_bytes(self) -> int:
        return self._upload.bytes

    @property
    def together(self) -> bool:
        return all(chain.together for chain in self._chains)

    def take(self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None) -> TakenChunk:
        parts, record = self._codec.part(payload, rows, token_counts)
        crc: int | None = 0
        groups = []
        for chain, parted in zip(self._chains, parts, strict=True):
            group, crc = chain.take(parted, crc)
            groups.append(group)
        length = parts[0].shapes[0][0]
        values = length * self._codec.spec.row_values
        others = Taken()
        if record:
            width = dtypes.item_bytes(self._codec.spec.dtype)
            positions, patterns = exact_values.read(record, values, width)
            others = Taken((positions, patterns.view(f"<i{width}")))
        return TakenChunk(tuple(groups), others, length, crc)

    def decode(
        self, chunks: Sequence[CopiedChunk], outs: Sequence[torch.Tensor], staging: Staging
    ) -> list[torch.Tensor]:
        coded = [
            chain.codes([chunk.groups[number][0] for chunk in chunks], staging)
            for number, chain in enumerate(self._chains)
        ]
        flags = []
        for at, (chunk, out) in enumerate(zip(chunks, outs, strict=True)):
            tokens = [
                chain.tokens(found.codes[at], group[1:])
                for chain, found, group in zip(self._chains, coded, chunk.groups, strict=True)
            ]
            flag = write_rows(tokens, self._codec.models.layout, out)
            flags.append(sum((found.faults[at] for found in coded if found.faults is not None), flag))
            if chunk.others.tensors:
                put_exact(out, *chunk.others.tensors)
        return flags


class OnCpu:
    """Any other codec: decoded on the CPU, and copied. Lossless chunks are bytes that only general coders know."""

    held_bytes = 0
    working_bytes = 0
    together = False

    def __init__(self, codec: ChunkCodec) -> None:
        self._codec = codec

    def take(self, payload: bytes | memoryview, rows: int, token_counts: TokenCounts | None) -> TakenChunk:
        decoded, crc = self._codec.decode(payload, rows, token_counts)
        return TakenChunk((), Taken((decoded,)), len(decoded), crc)

    def decode(
        self, chunks: Sequence[CopiedChunk], outs: Sequence[torch.Tensor], staging: Staging
    ) -> list[torch.Tensor]:
        for chunk, out in zip(chunks, outs, strict=True):
            out.copy_(chunk.others.tensors[0].view(out.dtype))
        return [torch.zeros((), device=out.device) for out in outs]


def copied(chunk: TakenChunk, staging: Staging) -> CopiedChunk:
    """The chunk, its arrays on the device; the copy has only been started."""
    arrays = [array for one in chunk.all for array in one.arrays]
    tensors = iter(staging.copied(arrays))
    there = iter([Beside(tuple(next(tensors) for _ in one.arrays), one.facts) for one in chunk.all])
    groups = tuple(tuple(next(there) for _ in group.all) for group in chunk.groups)
    return CopiedChunk(groups, next(there), chunk.length, chunk.device_bytes, sum(array.nbytes for array in arrays))
