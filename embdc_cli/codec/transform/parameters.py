"""How the stages of a transform keep their parameters in the models of a segment: a few fields, and coded integers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import Codebook, Limits
from embdc_cli.entropy.coding_tables import CodingTables
from embdc_cli.entropy.levels import decode_levels, encode_levels
from embdc_cli.entropy.tables import Tables, class_of_mean, have_room, least_bits, static_tables

if TYPE_CHECKING:
    from embdc_cli.codec.transform.mixture.stage import Mixture
    from embdc_cli.codec.video.samples import VideoSamples
    from embdc_cli.codec.vq.quantiser import VectorQuantiser

MAX_LEVEL: Final = 1 << 30
"""Largest magnitude of any integer that is coded: room for the escape codes within 32 bits."""

_MAX_CLASS = 63


@dataclass
class Scope:
    """What is known while the stages of one token group are read, front to back.

     channels: of the array at this point of the chain. group: rows in a full temporal group. tables: for the codes.
     metric: the encoder's metric between channels (D, D), its diagonal (D,), None for plain error and in decoders.
     mixture, samples, vectors: the mixture, video samples or vector quantiser of the chain, once read.
    backend: who decodes video. reconstructs: whether the network of the codebook is run. version: of the stage that is
    being read.
    """

    channels: int
    group: int
    limits: Limits
    tables: CodingTables
    codebook: Codebook | None
    metric: np.ndarray | None
    mixture: Mixture | None = None
    samples: VideoSamples | None = None
    vectors: VectorQuantiser | None = None
    backend: str = "auto"
    version: int = 1
    reconstructs: bool = True


class SegmentStage(Stage, ABC):
    """A stage with parameters for one segment."""

    @abstractmethod
    def write(self, out: FieldWriter) -> None:
        """Write the parameters."""

    @classmethod
    @abstractmethod
    def read(cls, fields: FieldReader, scope: Scope) -> Self:
        """The stage that `write` wrote; updates `scope`. Raises CorruptArchive, before allocating what it claims."""


def write_levels(out: FieldWriter, levels: np.ndarray, classes: np.ndarray, tables: Tables) -> None:
    """Integers (n,) within +-MAX_LEVEL whose classes (n,) uint8 the reader knows."""
    out.blob(encode_levels(levels.astype(np.int32, copy=False), classes, tables))


def read_levels(fields: FieldReader, classes: np.ndarray, tables: Tables) -> np.ndarray:
    """int32 (n,) of these classes, each within +-MAX_LEVEL. Raises CorruptArchive."""
    return decode_levels(fields.blob(), classes, tables, MAX_LEVEL)


def check_room(fields: FieldReader, classes: np.ndarray, counts: np.ndarray | int, tables: Tables) -> None:
    """Raises CorruptArchive when what is left is too short for so many levels of each of these classes."""
    if not have_room(fields.left, classes, counts, least_bits(tables)):
        integers = np.broadcast_to(counts, classes.shape).sum()
        raise fields.corrupt(f"expected {integers} integers, found {fields.left} bytes for them")


def write_uniform_levels(out: FieldWriter, levels: np.ndarray) -> None:
    """Integers (n,) under one class, and that class."""
    cls = class_of_mean(int(np.abs(levels.astype(np.int64)).sum()), max(1, levels.size))
    out.byte(cls)
    write_levels(out, levels, np.full(levels.size, cls, np.uint8), static_tables())


def read_uniform_levels(fields: FieldReader, count: int) -> np.ndarray:
    """The `count` integers that `write_uniform_levels` wrote."""
    cls = fields.byte(limit=_MAX_CLASS)
    return read_levels(fields, np.full(count, cls, np.uint8), static_tables())
