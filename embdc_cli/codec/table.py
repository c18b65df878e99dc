"""Every number by which an archive names a codec or one of its stages. Permanent: never renumbered, never reused.

A stage whose bytes change in meaning gets a higher version here, and keeps decoding the lower ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from embdc_cli.errors import UnsupportedArchive, UsageError

if TYPE_CHECKING:
    import numpy as np

    from embdc_cli.codec.reconstruction.network import Network
    from embdc_cli.codec.stage import ChunkCodec
    from embdc_cli.codec.vq.levels import LearntLevel
    from embdc_cli.entropy.coding_tables import CodingTables
    from embdc_cli.values import StreamSpec


class ChunkKind(IntEnum):
    """The codec of a chunk: `kind` in its header."""

    LOSSLESS = 0
    TRANSFORM = 1


class StageId(IntEnum):
    """One stage of a codec, as the models of a segment list it (lossless chunks name a whole chain instead)."""

    # array -> array
    TOKEN_SCALE = 1
    NORMALISE = 2
    RECONSTRUCTION = 3
    IDENTITY = 16
    HADAMARD = 20
    REFLECTED_KLT = 17
    FREE_KLT = 18
    CODEBOOK_KLT = 19
    TIME_DCT = 32
    MIXTURE = 33
    # array -> codes
    DEAD_ZONE = 64
    BIT_PATTERN = 65
    RATE_ROUNDING = 67
    TRELLIS = 68
    VIDEO_SAMPLES = 69
    VECTOR_QUANTISER = 70
    STICKY = 66
    # codes -> codes
    ROW_DELTA = 96
    CHANNEL_MAJOR = 97
    BYTE_PLANES = 98
    # codes -> bytes
    PLANES = 128
    STORED = 129
    ZSTANDARD = 130
    TRACK_PLANES = 131
    TRACK_PATHS = 133
    VIDEO_BITSTREAM = 134
    VECTOR_INDICES = 135
    TIME_CONTEXT = 132


class LosslessMethod(IntEnum):
    """The chain of a lossless chunk: its first byte. A chain that changes gets a new number."""

    STORED = 0
    ZSTANDARD = 1
    CHANNEL_PLANES = 2
    DELTA_CHANNEL_PLANES = 3


VERSIONS: Final[dict[StageId, int]] = {**dict.fromkeys(StageId, 1), StageId.VECTOR_QUANTISER: 2}
"""The version of each stage that this embdc writes; it reads that one and all below."""


class Limits(Protocol):
    """What an archive's header promises about decode cost; what goes beyond is refused before allocating."""

    @property
    def max_chunk_rows(self) -> int: ...

    @property
    def max_chunk_values(self) -> int: ...

    @property
    def max_rank(self) -> int: ...

    @property
    def max_modes(self) -> int: ...

    @property
    def max_group(self) -> int: ...


class Codebook(Protocol):
    """What the codecs use of a codebook: R basis vectors of D channels, the mean they belong to, coding tables,
    levels of vector quantisation in that basis, and a network that improves decoded tokens.
    """

    @property
    def digest(self) -> bytes: ...

    @property
    def tables(self) -> CodingTables | None: ...

    @property
    def levels(self) -> tuple[LearntLevel, ...]: ...

    @property
    def network(self) -> Network | None: ...

    @property
    def channels(self) -> int: ...

    @property
    def rank(self) -> int: ...

    def vectors(self) -> np.ndarray:
        """(R, D) float64, rows of nearly unit length."""

    def centre(self) -> np.ndarray:
        """(D,) float64."""


LookupCodebook = Callable[[bytes], Codebook]
"""Digest -> codebook; raises MissingModel when it is not here."""


def check_stage(number: int, version: int) -> StageId:
    """The stage of that id. Raises UnsupportedArchive naming id and version when this embdc cannot decode it."""
    hint = "a newer embdc can read it"
    try:
        stage = StageId(number)
    except ValueError:
        raise UnsupportedArchive(
            f"codec stage: id {number} version {version} is unknown, expected one of "
            f"{', '.join(str(int(known)) for known in StageId)}",
            hint=hint,
        ) from None
    if not 1 <= version <= VERSIONS[stage]:
        raise UnsupportedArchive(
            f"codec stage {stage.name.lower()}: id {number} version {version}, expected at most {VERSIONS[stage]}",
            hint=hint,
        )
    return stage


@dataclass(frozen=True)
class DecoderChoices:
    """What is up to a decoder, and not in the archive.

    backend: who decodes video (`codec.video.backend`). levels: how many a vector quantiser reads, None for all.
    reconstruction: whether the network of a codebook is run, where the models ask for it and all levels are read.
    device: where codewords are looked up, in torch's words.
    """

    backend: str = "auto"
    levels: int | None = None
    reconstruction: bool = True
    device: str = "cpu"


def codec_for(
    kind: int,
    spec: StreamSpec,
    models: bytes | memoryview,
    limits: Limits,
    lookup_codebook: LookupCodebook,
    choices: DecoderChoices | None = None,
) -> ChunkCodec:
    """The codec of chunks of `kind`. models: the segment's models payload, b"" where the codec has none.

    Raises UnsupportedArchive for an unknown kind or stage, CorruptArchive for models that no encoder writes, UsageError
    for levels of a codec that has none.
    """
    choices = choices or DecoderChoices()
    # imported here because the codecs import the ids above
    if kind == ChunkKind.LOSSLESS and choices.levels is None:
        from embdc_cli.codec.lossless.codec import LosslessCodec

        return LosslessCodec(spec, limits)
    if kind == ChunkKind.TRANSFORM:
        from embdc_cli.codec.transform.codec import TransformCodec
        from embdc_cli.codec.transform.models import TransformModels

        reconstruction = choices.reconstruction and choices.levels is None
        read = TransformModels.from_bytes(
            models, spec, limits, lookup_codebook, backend=choices.backend, reconstruction=reconstruction
        )
        coarse = read if choices.levels is None else read.with_levels(choices.levels)
        if coarse is None:
            raise _without_levels(spec)
        return TransformCodec(spec, coarse.on_device(choices.device), limits)
    if kind == ChunkKind.LOSSLESS:
        raise _without_levels(spec)
    raise UnsupportedArchive(
        f"stream {spec.name!r}: chunk kind {kind} is unknown, expected one of "
        f"{', '.join(str(int(known)) for known in ChunkKind)}",
        hint="a newer embdc can read it",
    )


def _without_levels(spec: StreamSpec) -> UsageError:
    return UsageError(
        f"--levels: stream {spec.name!r} is not coded by vq", hint="leave out --levels, or choose --stream"
    )
