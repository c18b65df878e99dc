"""Codes of planes and of tracks decoded on a device: the levels of many chunks at once, where Triton runs.

The CPU reads what tells the classes: flags of planes, extents, and how much each track moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Taken, Upload
from embdc_cli.codec.device.coders import Codes, Decoded, codes_from_cpu, faults_of
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import Shape
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.parameters import MAX_LEVEL
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.entropy.cuda import why_not
from embdc_cli.entropy.tables import CLASSES, Tables

if TYPE_CHECKING:
    from embdc_cli.entropy.levels.cuda import LevelTables

TILE: Final = 1024
"""Codes of one program of `cuda.track_classes`."""
_BYTES_PER_CODE: Final = 6
"""On the device beside what levels take while they are decoded: classes by chunk and together, and codes in order."""
_BYTES_PER_POINT: Final = 18
"""The same for points: for classes, symbols, states and quantisers a byte each, numbers of plane and track, points."""


@cache
def kernels_on(device: torch.device) -> ModuleType | None:
    """The decoder of levels, None where it does not run on `device`."""
    if why_not(str(device)) is not None:
        return None
    from embdc_cli.entropy.levels import cuda

    return cuda


def planes(coder: Planes, upload: Upload) -> Codes:
    """Codes (F, N, r)."""
    kernels = kernels_on(upload.device)
    if kernels is None:
        return codes_from_cpu(coder, upload)

    def take(data: memoryview, shape: Shape, side: bytes, crc: int | None) -> tuple[Taken, int | None]:
        parts = coder.part(data, shape)
        levels = np.frombuffer(parts.levels, np.uint8)
        arrays = levels, parts.classes.reshape(coder.group, shape[2]), parts.offsets
        return Taken(arrays, shape, _held_bytes(kernels, int(np.prod(shape)))), None

    def run(chunks: Sequence[Beside], staging: Staging) -> Decoded:
        classes = [level_classes(chunk.tensors[1], chunk.tensors[2], chunk.facts[0]) for chunk in chunks]
        data = [chunk.tensors[0] for chunk in chunks]
        levels, faults = _decoded(kernels, data, classes, coder.tables, staging)
        shapes = (chunk.facts for chunk in chunks)
        codes = [from_planes(one, shape, coder.group) for one, shape in zip(levels, shapes, strict=True)]
        return Decoded(codes, faults)

    return Codes(True, take, run)


def track_planes(coder: TrackPlanes, upload: Upload) -> Codes:
    """Codes of a mixture, flat."""
    kernels = kernels_on(upload.device)
    if kernels is None:
        return codes_from_cpu(coder, upload)

    def take(data: memoryview, shape: Shape, side: bytes, crc: int | None) -> tuple[Taken, int | None]:
        parts = coder.mixture.chunk(side).class_parts
        tables = tile_tables(parts.shapes)
        arrays = np.frombuffer(data, np.uint8), parts.planes, parts.symbols, *tables
        return Taken(arrays, shape[0], _held_bytes(kernels, shape[0])), None

    def run(chunks: Sequence[Beside], staging: Staging) -> Decoded:
        from embdc_cli.codec.device.cuda import track_classes

        classes = []
        for chunk in chunks:
            _, planes, symbols, blocks, tiles = chunk.tensors
            classes.append(track_classes(planes, symbols, blocks, tiles, chunk.facts))
        return Decoded(*_decoded(kernels, [chunk.tensors[0] for chunk in chunks], classes, coder.tables, staging))

    return Codes(True, take, run)


def track_paths(coder: TrackPaths, upload: Upload) -> Codes:
    """Points of a mixture's tracks in half steps, flat."""
    kernels = kernels_on(upload.device)
    if kernels is None:
        return codes_from_cpu(coder, upload)

    def take(data: memoryview, shape: Shape, side: bytes, crc: int | None) -> tuple[Taken, int | None]:
        parts = coder.mixture.chunk(side).class_parts
        paths = np.ascontiguousarray(parts.shapes[:, :2])
        arrays = np.frombuffer(data, np.uint8), parts.planes, parts.symbols, *tile_tables(parts.shapes), paths
        return Taken(arrays, shape[0], _held_bytes(kernels, shape[0], _BYTES_PER_POINT)), None

    def run(chunks: Sequence[Beside], staging: Staging) -> Decoded:
        from embdc_cli.codec.device.cuda import track_classes
        from embdc_cli.entropy.dependent import cuda

        data, classes, paths = [], [], []
        for chunk in chunks:
            payload, planes, symbols, blocks, tiles, path = chunk.tensors
            data.append(payload)
            classes.append(track_classes(planes, symbols, blocks, tiles, chunk.facts))
            paths.append(path)
        points: list[torch.Tensor] = []
        errors = []
        for part in kernels.launches([len(one) for one in classes]):
            chunks_of = data[part], classes[part], paths[part]
            sizes = [len(one) for one in classes[part]]
            where, spans, path_spans = staging.copied([ranges_of([len(one) for one in parts]) for parts in chunks_of])
            known = used_here(cuda.tables_on(coder.tables, where.device))
            together, all_classes, all_paths = (torch.cat(parts) for parts in chunks_of)
            levels, chosen, wrong = cuda.decode(
                *(together, where, all_classes, spans, max(sizes), all_paths, path_spans, known, MAX_LEVEL - 1)
            )
            points += torch.split(cuda.points_of(levels, chosen), sizes)
            errors.append(wrong)
        return Decoded(points, faults_of(torch.cat(errors)))

    return Codes(True, take, run)


def _decoded(
    kernels: ModuleType,
    data: Sequence[torch.Tensor],
    classes: Sequence[torch.Tensor],
    tables: Tables,
    staging: Staging,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """(levels int32 of each chunk, (chunks,) float32 NaN where its bytes are corrupt)."""
    levels, errors = [], []
    for part in kernels.launches([len(one) for one in classes]):
        sizes = [len(one) for one in classes[part]]
        where, spans = staging.copied([ranges_of([len(one) for one in data[part]]), ranges_of(sizes)])
        together, device = torch.cat(list(data[part])), where.device
        known = used_here(kernels.tables_on(tables, device))
        found, wrong = kernels.decode_levels(
            together, where, torch.cat(list(classes[part])), spans, max(sizes), known, MAX_LEVEL
        )
        levels += found.split(sizes)
        errors.append(wrong)
    return levels, faults_of(torch.cat(errors))


def _held_bytes(kernels: ModuleType, codes: int, beside: int = _BYTES_PER_CODE) -> int:
    """Of so many codes of a chunk on the device, until they are decoded. beside: for each, what is not of levels."""
    return int(kernels.work_bytes(codes)) + beside * codes


def used_here(tables: LevelTables) -> LevelTables:
    """Tables that codecs on other streams may have made, and may drop: memory of theirs is kept until it is read here.

    They are complete: copies to a device from memory that is not page-locked are waited for.
    """
    coder = tables.coder
    for tensor in (
        *(coder.slots, coder.packed, coder.cost),
        *(tables.rows, tables.shifts, tables.orders, tables.direct),
    ):
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
    return tables


def ranges_of(sizes: Sequence[int]) -> np.ndarray:
    """(p, 2) int64: where each of these begins and ends, one after the other."""
    ends = np.cumsum(np.array(sizes, np.int64))
    return np.stack([ends - sizes, ends], axis=1)


def tile_tables(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(blocks (b, 7) int64, tiles (t,) int32) as of `cuda.track_classes`. shapes: of `motion.ClassParts`."""
    planes, tracks, ranks = shapes.T
    sizes = planes * tracks
    tiles = -(-sizes // TILE)
    columns = (sizes, planes, tracks, tiles)
    first_code, first_plane, first_track, first_tile = (np.cumsum(one) - one for one in columns)
    blocks = np.column_stack([first_code, sizes, first_plane, first_track, tracks, ranks, first_tile])
    return blocks, np.repeat(np.arange(len(blocks), dtype=np.int32), tiles)


def level_classes(classes: torch.Tensor, offsets: torch.Tensor, rows: int) -> torch.Tensor:
    """(F * N * r,) uint8 in plane order: `Planes` on a device. classes: (G, r) uint8; offsets: (groups, N) int8."""
    group, rank = classes.shape
    groups, rest = divmod(rows, group)
    base = classes.view(group, rank, 1, 1).to(torch.int8)
    lowest = (base > 0).to(torch.int8)
    highest = lowest * (CLASSES - 1)
    parts = [base[:1].expand(1, rank, *offsets.shape).reshape(-1)]
    for start, stop, count in ((1, rest, len(offsets)), (max(1, rest), group, groups)):
        if start < stop:
            k = slice(start, stop)
            limited = torch.minimum(torch.maximum(base[k] + offsets[:count], lowest[k]), highest[k])
            parts.append(limited.view(-1))
    return torch.cat(parts).view(torch.uint8)


def from_planes(levels: torch.Tensor, shape: Shape, group: int) -> torch.Tensor:
    """Levels in plane order as codes (F, N, r), contiguous: `Planes` on a device."""
    rows, tokens, rank = shape
    groups, rest = divmod(rows, group)
    whole = groups * group
    codes = levels.new_empty(shape)
    full = codes[:whole].view(groups, group, tokens, rank).permute(1, 3, 0, 2)
    size = rest * rank * tokens * (groups + 1)
    shared = levels[:size].view(rest, rank, groups + 1, tokens)
    full[:rest] = shared[:, :, :groups]
    codes[whole:] = shared[:, :, groups].permute(0, 2, 1)
    full[rest:] = levels[size:].view(group - rest, rank, groups, tokens)
    return codes
