"""A chain: stages in an order that their types allow, run forward to bytes and back.

Side information of the stages that have some goes before the coder's bytes, each piece after its length (varint).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import ArrayStage, Coder, CodeStage, Kind, Quantiser, Shape, Stage
from embdc_cli.codec.table import StageId

_Link = ArrayStage | Quantiser | CodeStage


class Chain:
    """Stages from an array to bytes: array stages, one quantiser, code stages, one coder, in this order."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        """Raises ValueError, with both stages named, when one does not take what the one before it gives."""
        if not stages or stages[0].takes is not Kind.ARRAY or stages[-1].gives is not Kind.BYTES:
            raise ValueError(f"chain: expected array to bytes, found {_names(stages)}")
        for before, after in pairwise(stages):
            if before.gives is not after.takes:
                raise ValueError(
                    f"chain: {_name(after)} takes {after.takes.value}, but {_name(before)} before it gives "
                    f"{before.gives.value}"
                )
        self.links: tuple[_Link, ...] = tuple(stage for stage in stages if isinstance(stage, _Link))
        coder = stages[-1]
        if not isinstance(coder, Coder) or len(self.links) + 1 != len(stages):
            raise ValueError(f"chain: {_names(stages)} has a stage of no known kind")
        self.coder: Coder = coder

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.links, self.coder)

    def encode(self, x: np.ndarray, known: tuple[bytes, ...] | None = None) -> Coded:
        """The codes and side information of `x`, from which both `pack` and `reconstruct` start.

        known: the side information, where it has been measured before under another step; what a quantiser measures
        depends on its step, and is measured again.
        """
        sides = [] if known is None else list(known)
        for number, stage in enumerate(self.links):
            if known is None:
                sides.append(stage.measure(x))
            elif isinstance(stage, Quantiser):
                sides[number] = stage.measure(x)
            x = stage.forward(x, self.side_at(number, sides))
        return Coded(x, tuple(sides))

    def pack(self, coded: Coded) -> bytes:
        """The bytes of `coded`."""
        return self.framed(coded.sides, self.coder.encode(coded.codes, self.last_side(coded.sides)))

    def framed(self, sides: Sequence[bytes], data: bytes) -> bytes:
        """What `pack` gives for codes that the coder has made `data` of."""
        out = FieldWriter()
        for stage, side in zip(self.links, sides, strict=True):
            if stage.has_side:
                out.blob(side)
        return out.bytes() + data

    def unpack(self, data: bytes | memoryview, shape: Shape) -> Coded:
        """What `pack` put into `data` for an array of `shape`. Raises CorruptArchive."""
        parted = self.part(data, shape)
        return Coded(self.coder.decode(parted.codes, parted.shapes[-1], parted.known[-1]), parted.sides)

    def part(self, data: bytes | memoryview, shape: Shape) -> Parted:
        """`data` for an array of `shape`, its codes not yet decoded. Raises CorruptArchive."""
        fields = FieldReader(data, "chunk")
        sides = tuple(bytes(fields.blob()) if stage.has_side else b"" for stage in self.links)
        known = tuple(self.side_at(number, sides) for number in range(len(self.links)))
        shapes = [shape]
        for stage, side in zip(self.links, known, strict=True):
            shapes.append(stage.shape(shapes[-1], side))
        return Parted(sides, known, tuple(shapes), fields.rest())

    def plane_bits(self, coded: Coded) -> list[np.ndarray]:
        """As of the coder."""
        return self.coder.plane_bits(coded.codes, self.last_side(coded.sides))

    def last_side(self, sides: Sequence[bytes]) -> bytes:
        """What the coder may know of the chunk."""
        return self.side_at(len(self.links) - 1, sides)

    def side_at(self, number: int, sides: Sequence[bytes]) -> bytes:
        """What stage `number` may know of the chunk: its side information, or that of the last stage that had some."""
        return next((sides[n] for n in range(number, -1, -1) if self.links[n].has_side), b"")

    def reconstruct(self, coded: Coded) -> np.ndarray:
        """The array a decoder gives; the encoder calls this same function on the same codes."""
        y = coded.codes
        for number in reversed(range(len(self.links))):
            y = self.links[number].inverse(y, self.side_at(number, coded.sides))
        return y

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)


@dataclass(frozen=True)
class Coded:
    """An array after quantisation: integer codes, and the side information of each stage before the coder."""

    codes: np.ndarray
    sides: tuple[bytes, ...]


@dataclass(frozen=True)
class Parted:
    """The bytes of an array, told apart. sides: as of `Coded`. known: what each stage before the coder may know of the
    chunk. shapes: what each of them takes, and last that of the codes. codes: the coder's bytes.
    """

    sides: tuple[bytes, ...]
    known: tuple[bytes, ...]
    shapes: tuple[Shape, ...]
    codes: memoryview


def _name(stage: Stage) -> str:
    return StageId(stage.stage).name.lower()


def _names(stages: Sequence[Stage]) -> str:
    return ", ".join(_name(stage) for stage in stages) or "nothing"
