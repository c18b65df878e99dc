"""The models of one segment: for each token group a chain of stages with their parameters.

Layout: [byte] stages, then [varint] id and [varint] version of each; [varint] fold; [i8] exponent; [byte] flags
(1 chunks list non-finite values, 2 a codebook is used, 4 its tables code the planes, 8 chunks list padding); 32 bytes
digest if flag 2; then for every token group: [byte] group length, [byte] stages, [byte] place of each in the list,
their parameters in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.fields import MAX_VARINT, FieldReader, FieldWriter
from embdc_cli.codec.layout import Layout
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import Codebook, Limits, LookupCodebook, StageId, check_stage
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.free_klt import FreeKlt
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.parameters import Scope, SegmentStage
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.sticky import Sticky
from embdc_cli.codec.transform.time_context import TimeContext
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.video.hadamard import Hadamard
from embdc_cli.codec.video.samples import VideoBitstream, VideoSamples
from embdc_cli.codec.vq.quantiser import VectorIndices, VectorQuantiser
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive, MissingModel
from embdc_cli.values import StreamSpec

_CLASSES: Final[tuple[type[SegmentStage], ...]] = (
    TokenScale,
    Normalise,
    Reconstruction,
    Identity,
    ReflectedKlt,
    FreeKlt,
    CodebookKlt,
    TimeDct,
    Mixture,
    DeadZone,
    Planes,
    RateRounding,
    TrackPlanes,
    TrellisPoints,
    TrackPaths,
    Sticky,
    TimeContext,
    Hadamard,
    VideoSamples,
    VideoBitstream,
    VectorQuantiser,
    VectorIndices,
)
_STAGES: Final = {stage.stage: stage for stage in _CLASSES}

_MIXTURES: Final[tuple[list[type[SegmentStage]], ...]] = (
    [Mixture, RateRounding, TrackPlanes],
    [Mixture, TrellisPoints, TrackPaths],
)
_FLAT: Final = {kind for kinds in _MIXTURES for kind in kinds}
_MAX_STAGES: Final = 16
_MAX_GROUP: Final = 64
_NONFINITE = 1
_CODEBOOK = 2
_TABLES = 4
_PADDING = 8
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class GroupModels:
    """One token group: its chain, and the rows of a full temporal group.

    excess: bits that a codebook would have cost at equal error, relative to these, where it was left out for that.
    """

    chain: Chain
    group: int
    excess: float | None = None

    @property
    def by_codebook(self) -> bool:
        """Whether the basis is that of a codebook."""
        return any(isinstance(stage, CodebookKlt) for stage in self.chain)


@dataclass(frozen=True)
class TransformModels:
    """What encoder and decoder share about a segment.

    nonfinite_keep: chunks list NaN and infinities. padding: they list tokens of nothing but zeros. codebook: used by
    some stage, or for its tables (`codebook_tables`).
    """

    layout: Layout
    groups: tuple[GroupModels, ...]
    nonfinite_keep: bool = False
    codebook: Codebook | None = None
    codebook_tables: bool = False
    padding: bool = False

    @property
    def keeps_values(self) -> bool:
        """Whether chunks list values that are kept bit for bit."""
        return self.nonfinite_keep or self.padding

    def with_steps_scaled(self, factor: float) -> TransformModels:
        """The same models with every quantisation step times `factor`; bases and classes stay what they are."""
        groups = []
        for group in self.groups:
            stages = [_with_step_scaled(stage, factor) for stage in group.chain.stages]
            groups.append(GroupModels(Chain(stages), group.group))
        return replace(self, groups=tuple(groups))

    def with_levels(self, most: int) -> TransformModels | None:
        """The same models for a decoder of the first levels of a vector quantiser; None where there is none."""
        groups = []
        for group in self.groups:
            *links, coder = group.chain.stages
            if not isinstance(coder, VectorIndices):
                return None
            groups.append(GroupModels(Chain([*links, replace(coder, most=most)]), group.group))
        return replace(self, groups=tuple(groups))

    def on_device(self, device: str) -> TransformModels:
        """The same models with a vector quantiser, where there is one, that works on `device` (torch's words)."""
        if not any(isinstance(stage, VectorQuantiser) for group in self.groups for stage in group.chain):
            return self
        groups = []
        for group in self.groups:
            stages = [
                replace(stage, device=device) if isinstance(stage, VectorQuantiser) else stage
                for stage in group.chain.stages
            ]
            groups.append(replace(group, chain=Chain(stages)))
        return replace(self, groups=tuple(groups))

    def to_bytes(self) -> bytes:
        """The models payload of the segment."""
        used = sorted({(stage.stage, stage.version) for group in self.groups for stage in group.chain})
        out = FieldWriter()
        out.byte(len(used))
        for stage_id, version in used:
            out.varint(stage_id)
            out.varint(version)
        self.layout.write(out)
        named = self.codebook is not None
        flags = _NONFINITE * self.nonfinite_keep | _CODEBOOK * named | _TABLES * self.codebook_tables
        out.byte(flags | _PADDING * self.padding)
        if self.codebook is not None:
            out.raw(self.codebook.digest)
        for group in self.groups:
            out.byte(group.group)
            stages = group.chain.stages
            out.byte(len(stages))
            for stage in stages:
                out.byte(used.index((stage.stage, stage.version)))
            for stage in stages:
                if isinstance(stage, SegmentStage):
                    stage.write(out)
        return out.bytes()

    @classmethod
    def from_bytes(
        cls,
        payload: bytes | memoryview,
        spec: StreamSpec,
        limits: Limits,
        lookup_codebook: LookupCodebook,
        weighting: Weighting | None = None,
        backend: str = "auto",
        reconstruction: bool = True,
    ) -> TransformModels:
        """The models in `payload`. weighting: the encoder's, when chunks are still to be encoded with these models.

        backend: who codes video (`codec.video.backend`). reconstruction: False leaves out the network of the codebook,
        which need not be here if nothing else wants it.

        Raises: UnsupportedArchive for an unknown stage or version, MissingModel for a codebook that is not here,
        CorruptArchive for anything that no encoder writes or that exceeds `limits`.
        """
        fields = FieldReader(payload, f"models of stream {spec.name!r}")
        if reconstruction:
            return cls._read(fields, spec, limits, lookup_codebook, weighting, backend)
        missing: list[MissingModel] = []

        def lookup(digest: bytes) -> Codebook | None:
            try:
                return lookup_codebook(digest)
            except MissingModel as error:
                missing.append(error)
                return None

        try:
            return cls._read(fields, spec, limits, lookup, weighting, backend, reconstructs=False)
        except CorruptArchive:
            if missing:  # something else wanted the codebook
                raise missing[0] from None
            raise

    @classmethod
    def _read(
        cls,
        fields: FieldReader,
        spec: StreamSpec,
        limits: Limits,
        lookup_codebook: Callable[[bytes], Codebook | None],
        weighting: Weighting | None,
        backend: str,
        *,
        reconstructs: bool = True,
    ) -> TransformModels:
        listed = _read_stage_list(fields)
        layout = Layout.read(fields, spec)
        flags = fields.byte(limit=_NONFINITE | _CODEBOOK | _TABLES | _PADDING)
        codebook = lookup_codebook(bytes(fields.raw(_DIGEST_BYTES))) if flags & _CODEBOOK else None
        tables = fixed_tables()
        if flags & _TABLES:
            if codebook is None or codebook.tables is None:
                raise fields.corrupt("expected a codebook with tables")
            tables = codebook.tables
        metric = None if weighting is None else weighting.metric(layout.fold, spec.name)
        groups = []
        for _ in layout.tokens:
            group = fields.byte(limit=min(_MAX_GROUP, limits.max_group))
            if group == 0:
                raise fields.corrupt("group length: expected at least 1, found 0")
            scope = Scope(
                layout.fold, group, limits, tables, codebook, metric, backend=backend, reconstructs=reconstructs
            )
            groups.append(GroupModels(_read_chain(fields, listed, scope), group))
        fields.end()
        return cls(
            layout,
            tuple(groups),
            nonfinite_keep=bool(flags & _NONFINITE),
            codebook=codebook,
            codebook_tables=bool(flags & _TABLES),
            padding=bool(flags & _PADDING),
        )


def _with_step_scaled(stage: Stage, factor: float) -> Stage:
    if isinstance(stage, DeadZone | Sticky | TrellisPoints):
        return replace(stage, step=stage.step * factor)
    if isinstance(stage, VideoBitstream):
        return VideoBitstream(stage.samples.scaled(factor))
    if isinstance(stage, VectorIndices):
        return VectorIndices(stage.quantiser.scaled(factor))
    return stage.scaled(factor) if isinstance(stage, VideoSamples | VectorQuantiser | Reconstruction) else stage


def _read_stage_list(fields: FieldReader) -> list[tuple[type[SegmentStage], int]]:
    """(stage, version) of each."""
    listed = []
    for _ in range(fields.byte(limit=_MAX_STAGES)):
        # any number may become a stage or a version, so that none is corrupt
        number, version = fields.varint(limit=MAX_VARINT), fields.varint(limit=MAX_VARINT)
        stage_id = check_stage(number, version)
        if stage_id not in _STAGES:
            raise fields.corrupt(f"stage {StageId(stage_id).name.lower()} is none of the transform codec's")
        listed.append((_STAGES[stage_id], version))
    return listed


def _read_chain(fields: FieldReader, listed: Sequence[tuple[type[SegmentStage], int]], scope: Scope) -> Chain:
    count = fields.byte(limit=_MAX_STAGES)
    places = [fields.byte(limit=len(listed) - 1) for _ in range(count)]
    kinds = [listed[place][0] for place in places]
    # the coefficients of a mixture are flat: other stages take rows of tokens
    if _FLAT & set(kinds) and (kinds[-3:] not in _MIXTURES or _FLAT & set(kinds[:-3])):
        raise fields.corrupt("expected a mixture, its quantiser and its coder, and nothing after them")
    if (VectorQuantiser in kinds) != (VectorIndices in kinds):
        raise fields.corrupt("expected indices after a vector quantiser, and nowhere else")
    stages = []
    for place in places:
        kind, scope.version = listed[place]
        stages.append(kind.read(fields, scope))
    try:
        return Chain(stages)
    except ValueError as error:
        raise fields.corrupt(str(error)) from error
