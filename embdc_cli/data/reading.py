"""A clip out of the chunks that hold it: what is fetched, what is decoded, and the tensors that come of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from embdc_cli.data.cutting import Cut, Run, cut_by, runs_of
from embdc_cli.data.manifest import Manifest, Path, StreamRows
from embdc_cli.data.pool import OpenArchives
from embdc_cli.device import check_device, computing_device
from embdc_cli.errors import UsageError
from embdc_cli.stream_view import lost

Sample = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Decoded rows [row0, stop): (rows, *row_shape), or (tokens, D) with the count of each row."""

    row0: int
    stop: int
    values: torch.Tensor
    token_counts: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


class ClipSource:
    """The clips of many archives, by run and number. Arguments are those of `Clips`; it can be sent to other processes.

    runs: what they are cut from. counts: (runs,) int64, clips of each.
    """

    def __init__(
        self,
        archives: Sequence[Path] | Manifest,
        rows: int | None,
        every: int,
        seconds: float | None,
        fps: float | None,
        stride: float | None,
        stream: str | Sequence[str] | None,
        codebooks: Sequence[Path],
        device: str,
    ) -> None:
        check_device(device)
        self.cut: Cut = cut_by(rows, every, seconds, fps, stride)
        self._one = stream is None or isinstance(stream, str)
        self._names = [stream] if isinstance(stream, str) else None if stream is None else list(stream)
        if self._names is not None and (not self._names or len(set(self._names)) < len(self._names)):
            raise UsageError(f"stream: expected names that differ, found {self._names}")
        self._marks_rows = seconds is not None and fps is None
        manifest = Manifest.of(archives)
        self.runs: list[Run] = runs_of(manifest, self._names, self.cut)
        self.counts = np.array([self.cut.count(run) for run in self.runs], np.int64)
        self.archives = OpenArchives(manifest, [os.fspath(path) for path in codebooks], device)

    def fetch(self, run: Run, stream: StreamRows, chunks: Sequence[int]) -> list[Any]:
        """What `decode` takes for each of these chunks, in one round trip; in any thread. Raises: CorruptArchive."""
        if computing_device(self.archives.device) != "cpu" or not chunks:
            return [None] * len(chunks)
        with self.archives.using(run.archive) as archive:
            found = archive[stream.name].stream
            return list(archive.payloads(found, [found.entries[number] for number in chunks]))

    def decode(self, run: Run, stream: StreamRows, chunk: int, fetched: Any) -> Chunk:
        """Chunk number `chunk`. Raises: CorruptArchive, MissingModel."""
        with self.archives.using(run.archive) as archive:
            view = archive[stream.name]
            if fetched is None:  # the device reads for itself
                row0, stop = stream.chunks[chunk, :2].tolist()
                values = view[row0:stop]
                counts = archive.token_counts(view)[row0:stop] if stream.ragged else None
                return Chunk(row0, stop, values, counts)
            entry, payload = fetched
            values = torch.from_numpy(archive.decode(view.stream, entry, payload))
        if view.spec.dtype == "bfloat16":
            values = values.view(torch.bfloat16)
        if self.archives.device == "auto" and get_worker_info() is None and torch.cuda.is_available():
            values = values.to("cuda")
        counts = None if entry.record.token_counts is None else np.array(entry.record.token_counts, np.int64)
        return Chunk(entry.row0, entry.stop, values, counts)

    def rows(self, run: Run, stream: StreamRows, clip: int) -> np.ndarray:
        """The rows of a clip, as `Cut.rows`. Raises: CorruptArchive where their times are lost."""
        if self.cut.seconds(clip) is None:
            return self.cut.rows(run, stream, clip, None)
        with self.archives.using(run.archive) as archive:
            return self.cut.rows(run, stream, clip, archive[stream.name].timeline)

    def sample(self, run: Run, clip: int, rows: Sequence[np.ndarray], chunks: Sequence[Sequence[Chunk]]) -> Sample:
        """The clip, from its rows of every stream and chunks that hold them. Raises: CorruptArchive for lost rows."""
        found = []
        for stream, wanted, held in zip(run.streams, rows, chunks, strict=True):
            self._check_there(run, stream, wanted, held)
            one: Sample = {**_gathered(wanted, held, stream), "start": int(wanted[0]) if len(wanted) else 0}
            if self._marks_rows:
                one["row_count"] = len(wanted)
            found.append(one)
        seconds = self.cut.seconds(clip)
        common: Sample = {"archive": run.archive} | ({} if seconds is None else {"seconds": seconds})
        if self._one:
            return {**found[0], **common}
        assert self._names is not None
        return {**dict(zip(self._names, found, strict=True)), **common}

    def _check_there(self, run: Run, stream: StreamRows, wanted: np.ndarray, held: Sequence[Chunk]) -> None:
        there = np.zeros(len(wanted), bool)
        for chunk in held:
            there |= (wanted >= chunk.row0) & (wanted < chunk.stop)
        if not there.all():
            gone = wanted[~there]
            with self.archives.using(run.archive) as archive:
                raise lost(archive[stream.name], range(int(gone[0]), int(gone[-1]) + 1))


def _gathered(rows: np.ndarray, chunks: Sequence[Chunk], stream: StreamRows) -> Sample:
    """{"values": a tensor of its own}, of a ragged stream with "token_counts"."""
    parts, counts = [], []
    for chunk in chunks:
        low, high = np.searchsorted(rows, (chunk.row0, chunk.stop)).tolist()
        inside = rows[low:high] - chunk.row0
        if chunk.token_counts is not None:
            edges = np.concatenate([[0], np.cumsum(chunk.token_counts)]).tolist()
            parts += [chunk.values[edges[row] : edges[row + 1]] for row in inside.tolist()] or [chunk.values[:0]]
            counts.append(chunk.token_counts[inside])
        elif high - low > 1 and (np.diff(inside) == inside[1] - inside[0]).all() and inside[1] > inside[0]:
            parts.append(chunk.values[inside[0] : inside[-1] + 1 : inside[1] - inside[0]])
        else:
            parts.append(chunk.values[torch.from_numpy(inside).to(chunk.values.device)])
    values = parts[0].clone(memory_format=torch.contiguous_format) if len(parts) == 1 else torch.cat(parts)
    if not stream.ragged:
        return {"values": values}
    return {"values": values, "token_counts": torch.from_numpy(np.concatenate(counts))}
