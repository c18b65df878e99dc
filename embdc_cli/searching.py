"""`embdc search` as a function: the nearest tokens or rows of archives, chunk by chunk.

Chunks of vector quantisation are scored by their codes (`codec.vq.scores`), all others by their decoded values, so that
every archive can be searched. Memory holds a few chunks and the hits so far, however long the archives are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from embdc_cli.archive import Archive
from embdc_cli.codec.vq.scores import CodedTokens, Synthesis, Tables
from embdc_cli.comparison.block import sum_rows
from embdc_cli.comparison.opening import opened
from embdc_cli.container.contents import Entry
from embdc_cli.decoding import cut_off, losses, lost_words, select
from embdc_cli.dtypes import FLOATS
from embdc_cli.errors import CorruptArchive, IncompleteError, SourceError, UsageError
from embdc_cli.item_streams import owner
from embdc_cli.nearest import Nearest, Queries
from embdc_cli.options import DecodeOptions, EncodeOptions, SearchOptions
from embdc_cli.parallel import one_blas_thread, ordered_map
from embdc_cli.recent import Recent
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.slicing import rows_of
from embdc_cli.stream_view import StreamView
from embdc_cli.tokens import as_tokens
from embdc_cli.traffic import Traffic
from embdc_cli.values import StreamSpec, Tensor, Timeline

if TYPE_CHECKING:
    from embdc_cli.source.array import ArrayInput

_TOGETHER: Final = 32
"""Queries that are scored at once: so many tables fit into a few MB."""
_TABLE_BYTES: Final = 64 << 20
_RESCORED: Final = 4
"""Times k: hits that are scored anew by the original."""
ON_DAMAGE: Final = ("fail", "skip")


@dataclass(frozen=True)
class Place:
    """A stream that is searched. archive: as given, if by name. rows: which. behind: those that a cut has cost."""

    archive: str | None
    view: StreamView
    rows: range
    behind: range = range(0)


@dataclass(frozen=True)
class Origin:
    """What is kept of a place after its archive is closed."""

    archive: str | None
    item: int
    stream: str
    spec: StreamSpec
    timeline: Timeline | None


def search(
    archives: Sequence[str], query: str | ArrayInput, options: SearchOptions, reporter: Reporter
) -> dict[str, Any]:
    """The `--json` document of `embdc search`.

    Raises: UsageError for a query of another dimension, SourceError, CorruptArchive, UnsupportedArchive, MissingModel.
    """
    if options.rescore is not None and len(archives) != 1:
        raise UsageError(f"--rescore: one dump for {len(archives)} archives, expected one archive")
    shown, vectors = read_query(query, options, reporter)
    found = Search(Queries(vectors, options.metric), options)
    complete = True
    traffic: list[Traffic] = []
    for path in archives:
        with Archive(path, codebooks=options.codebooks) as archive:
            if not archive.complete:
                complete = False
                reporter.note(f"{path}: archive is incomplete, searching what is readable")
            for place in _places(path, archive, shown, vectors.shape[1], options):
                found.add(archive, place, reporter)
            traffic.append(archive.reader.traffic)
    if options.rescore is not None:
        found.rescore(options.rescore, reporter)
    document = {"query": shown, "metric": options.metric, "pooled": options.pooled, "k": options.k}
    exit_code = 0 if complete and not found.lost else IncompleteError.exit_code
    io = Traffic.total(traffic).document()
    return {**document, "vectors": found.vectors, **found.hits(), "lost": found.lost, "io": io, "exit": exit_code}


def search_view(archive: Archive, view: StreamView, query: Any, options: SearchOptions) -> dict[str, Any]:
    """The hits in one stream of an open archive."""
    shown, vectors = read_query(query, options, Silent())
    _check_channels(shown, vectors.shape[1], view)
    found = Search(Queries(vectors, options.metric), options)
    found.add(archive, Place(None, view, range(view.spec.known_rows), cut_off(view, None, None)), Silent())
    return {"vectors": found.vectors, **found.hits(), "lost": found.lost}


def read_query(query: str | ArrayInput, options: SearchOptions, reporter: Reporter) -> tuple[str, np.ndarray]:
    """(its name, (Q, D) float64) of a dump or array of shape (D,) or (Q, D). Raises: UsageError, SourceError."""
    if isinstance(query, list | tuple):
        query = np.asarray(query, np.float32)
    with opened(query, EncodeOptions(key=options.key), options.codebooks, reporter) as side:
        tensors = [tensor for tensor in side.tensors.values() if tensor.spec.dtype in FLOATS]
        if len(tensors) != 1:
            names = ", ".join(side.tensors)
            raise UsageError(f"--query: {side.shown}: expected one array, found {names}", hint="choose one with --key")
        spec = tensors[0].spec
        if spec.ragged or not 1 <= len(spec.shape) <= 2:
            shape = " x ".join(map(str, spec.shape))
            raise UsageError(f"--query: {side.shown}: expected D or Q x D numbers, found {shape or 'one'}")
        vectors = as_tokens(tensors[0].read(0, spec.known_rows), spec).astype(np.float64)
        if not np.isfinite(vectors).all():
            raise UsageError(f"--query: {side.shown}: expected finite numbers, found NaN or infinity")
        if not len(vectors):
            raise UsageError(f"--query: {side.shown}: expected at least one vector, found none")
        if options.metric == "cosine" and not vectors.any(axis=1).all():
            raise UsageError(f"--query: {side.shown}: a vector of zeros has no direction", hint="--metric dot or l2")
        return side.shown, vectors


class Search:
    """The hits so far, and in `lost` the rows that could not be searched."""

    def __init__(self, queries: Queries, options: SearchOptions) -> None:
        if options.on_damage not in ON_DAMAGE:
            raise UsageError(f"--on-damage: expected one of {', '.join(ON_DAMAGE)}, found {options.on_damage!r}")
        self._queries, self._options = queries, options
        kept = options.k * (_RESCORED if options.rescore is not None else 1)
        self._nearest = [Nearest(kept) for _ in queries.vectors]
        self._origins: list[Origin] = []
        self._tables = Recent(_TABLE_BYTES)
        self.vectors = 0
        self.lost: list[dict[str, Any]] = []

    def add(self, archive: Archive, place: Place, reporter: Reporter) -> None:
        """Take in the wanted rows of a stream.

        Raises: CorruptArchive for rows or times that are damaged or lost, unless these are to be skipped.
        """
        view, number = place.view, len(self._origins)
        item = owner(archive.reader.items, view.item.number).number
        self._origins.append(Origin(place.archive, item, view.spec.name, view.spec, self._times(view)))
        done = 0
        damaged = []
        pieces = list(view.pieces(place.rows))
        work = partial(self._tried, archive, view)
        with one_blas_thread(), archive.ahead(view.stream, pieces):
            for (entry, wanted), found in zip(pieces, ordered_map(work, pieces, self._options.jobs), strict=True):
                if isinstance(found, CorruptArchive):
                    damaged.append(wanted)
                    if entry is not None:  # what is lost is named below
                        reporter.note(str(found))
                else:
                    self._take(number, *found)
                done += len(wanted)
                reporter.progress(f"search {view.name}", done, len(place.rows), "rows")
        shown = "" if place.archive is None else f"{place.archive}: "
        for loss in losses(view, damaged, place.behind):
            reporter.note(f"{shown}{lost_words(loss)}")
            self.lost.append({"archive": place.archive, "item": item, **loss, "stream": view.spec.name})

    def _times(self, view: StreamView) -> Timeline | None:
        try:
            return view.timeline
        except CorruptArchive:
            if self._options.on_damage == "fail":
                raise
            return None

    def _tried(
        self, archive: Archive, view: StreamView, piece: tuple[Entry | None, range]
    ) -> tuple[int, list[Nearest]] | CorruptArchive:
        """What `_scored` gives, or the damage that is to be skipped."""
        try:
            return self._scored(archive, view, piece)
        except CorruptArchive as damage:
            if self._options.on_damage == "fail":
                raise
            return damage

    def _take(self, number: int, count: int, found: Sequence[Nearest]) -> None:
        self.vectors += count
        for nearest, near in zip(self._nearest, found, strict=True):
            near.labels[:, 0] = number
            nearest.add(near.nearness, near.labels)

    def _scored(
        self, archive: Archive, view: StreamView, piece: tuple[Entry | None, range]
    ) -> tuple[int, list[Nearest]]:
        """(how many vectors, the nearest of them to every query) in the wanted rows of a chunk."""
        entry, wanted = piece
        if entry is None:
            archive.rows(view, entry, wanted)  # says what is lost
            return 0, []
        full, groups = archive.coded(view.stream, entry)
        vectors = np.zeros((0, 0))
        if groups is None:
            full, rows = archive.decoded(view.stream, entry)
            vectors = as_tokens(rows, view.spec)
        counts = _counts(view.spec, full)
        if self._options.pooled:
            vectors, groups = _pooled(view.spec, counts, groups, vectors), None
            counts = np.minimum(counts, 1)
        frames = np.repeat(np.arange(len(counts)), counts)
        tokens = np.arange(len(frames)) - np.repeat(np.cumsum(counts) - counts, counts)
        frames += full.record.row0
        inside = (frames >= wanted.start) & (frames < wanted.stop) & ((frames - wanted.start) % wanted.step == 0)
        labels = np.stack([np.zeros_like(frames), frames, tokens], axis=1)[inside]
        found = []
        for first in range(0, len(self._queries.vectors), _TOGETHER):
            queries = self._queries.part(first, first + _TOGETHER)
            near = queries.of(vectors) if groups is None else self._by_codes(groups, queries, first, len(counts))
            for column in near[inside].T:
                found.append(Nearest(self._nearest[0].k))
                found[-1].add(column, labels)
        return len(labels), found

    def _by_codes(self, groups: Sequence[CodedTokens], queries: Queries, first: int, rows: int) -> np.ndarray:
        """(n, q) nearness of the tokens of `groups`, row by row."""
        wide = [(rows, -1)] if len(groups) > 1 else [(-1,)]  # a ragged chunk has as many rows here as tokens
        inner, squares = [], []
        for tokens in groups:
            tables = self._tables_of(tokens.synthesis, queries, first)
            inner.append(tokens.inner(tables).reshape(*wide[0], len(queries.vectors)))
            squares.append(tokens.squares.reshape(wide[0]))
        axis = len(wide[0]) - 1
        flat = np.concatenate(inner, axis).reshape(-1, len(queries.vectors))
        return queries.nearness(flat, np.concatenate(squares, axis).ravel())

    def _tables_of(self, synthesis: Synthesis, queries: Queries, first: int) -> Tables:
        def make() -> tuple[Synthesis, Tables]:
            return synthesis, synthesis.tables(queries.vectors)

        # kept with what it was made of, so that the id is no other's
        return self._tables.get((id(synthesis), first), make, lambda found: found[1].tables.nbytes)[1]

    def rescore(self, source: str, reporter: Reporter) -> None:
        """Score the hits by the values of a dump. Raises: UsageError where it has no such stream or shape."""
        with opened(source, EncodeOptions(), self._options.codebooks, reporter) as side, one_blas_thread():
            for number, nearest in enumerate(self._nearest):
                again = Nearest(self._options.k)
                queries = self._queries.part(number, number + 1)
                order = np.lexsort(nearest.labels.T[::-1])
                for label in nearest.labels[order]:
                    origin = self._origins[label[0]]
                    vectors = _row(_original(side.tensors, origin, source), int(label[1]), source)
                    if self._options.pooled:
                        vectors = vectors.mean(axis=0, keepdims=True, dtype=np.float64)
                    token = 0 if self._options.pooled else int(label[2])
                    near = queries.of(vectors[token : token + 1])[:, 0]
                    again.add(near, label[None])
                self._nearest[number] = again

    def hits(self) -> dict[str, Any]:
        """`hits` of one query, `queries` of several."""
        found = [{"hits": [self._hit(*one) for one in zip(n.nearness, n.labels, strict=True)]} for n in self._nearest]
        return found[0] if len(found) == 1 else {"queries": found}

    def _hit(self, nearness: float, label: np.ndarray) -> dict[str, Any]:
        number, frame, token = map(int, label)
        origin = self._origins[number]
        known = origin.timeline is not None and frame < len(origin.timeline)
        return {
            "archive": origin.archive,
            "item": origin.item,
            "stream": origin.stream,
            "frame": frame,
            "token": None if self._options.pooled else token,
            "time": origin.timeline.seconds(frame) if origin.timeline is not None and known else None,
            "score": self._queries.score(float(nearness)),
        }


def _places(path: str, archive: Archive, shown: str, channels: int, options: SearchOptions) -> Iterator[Place]:
    """The streams to search: those of floats with the channels of the query."""
    named = select(archive, DecodeOptions(item=options.item, stream=options.stream))
    views = [view for view in named if view.dtype in FLOATS]
    fitting = [view for view in views if view.spec.channels == channels]
    if not views:
        raise UsageError(f"{path}: expected a stream of floats, found none")
    if not fitting:
        _check_channels(shown, channels, views[0])
    for view in fitting:
        timeline = view.timeline if options.time else None
        rows = rows_of(options.frames, options.time, view.spec.known_rows, timeline)
        yield Place(path, view, rows, cut_off(view, options.frames, options.time))


def _check_channels(shown: str, channels: int, view: StreamView) -> None:
    if view.spec.channels != channels:
        raise UsageError(
            f"--query: {shown} has {channels} channels, stream {view.name!r} has {view.spec.channels}",
            hint="the query is a token, or the mean of tokens, of the same encoder",
        )


def _counts(spec: StreamSpec, entry: Entry) -> np.ndarray:
    """(F,) tokens of each row of a chunk."""
    if entry.record.token_counts is not None:
        return np.asarray(entry.record.token_counts, np.int64)
    return np.full(entry.record.rows, spec.row_values // max(1, spec.channels))


def _pooled(
    spec: StreamSpec, counts: np.ndarray, groups: Sequence[CodedTokens] | None, vectors: np.ndarray
) -> np.ndarray:
    """(rows with tokens, D) float64: the mean of the tokens of each row."""
    if groups is None:
        sums = sum_rows(vectors, counts)
    else:
        sums = np.zeros((len(counts), spec.channels))
        for tokens in groups:
            share = counts if len(groups) == 1 else np.full(len(counts), len(tokens.squares) // max(1, len(counts)))
            sums += tokens.added(np.concatenate([[0], np.cumsum(share)]))
    filled = counts > 0
    return np.asarray(sums[filled] / counts[filled, None])


def _original(tensors: Any, origin: Origin, source: str) -> Tensor:
    """The tensor of a dump that a stream was made from."""
    found: Tensor | None = tensors.get(origin.stream)
    if found is None and len(tensors) == 1:
        (found,) = tensors.values()
    if found is None or found.spec.row_shape != origin.spec.row_shape:
        raise UsageError(
            f"--rescore: {source} is not what stream {origin.stream!r} was made from: expected rows of "
            f"{list(origin.spec.row_shape)}, found {'none' if found is None else list(found.spec.row_shape)}"
        )
    return found


def _row(tensor: Tensor, row: int, source: str) -> np.ndarray:
    """(N, D): the tokens of a row."""
    if row >= tensor.spec.known_rows:
        raise SourceError(f"--rescore: {source}: row {row} is not there, it has {tensor.spec.known_rows}")
    return as_tokens(tensor.read(row, row + 1), tensor.spec)
