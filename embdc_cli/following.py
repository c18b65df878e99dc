"""Rows of an archive that is still being written, decoded as they come: `embdc.follow`, `embdc decode --follow`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codebook import file as codebook_file
from embdc_cli.codebook.find import find
from embdc_cli.codec.table import DecoderChoices, codec_for
from embdc_cli.container import times
from embdc_cli.container.chunk import CodebookRecord, DataRecord, ModelsRecord
from embdc_cli.container.growing import growing_chunks
from embdc_cli.container.scan import ScannedChunk
from embdc_cli.container.times import TimesRecord
from embdc_cli.errors import CorruptArchive, UsageError
from embdc_cli.options import DecodeOptions
from embdc_cli.output import destination
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter
from embdc_cli.sink import format_for, open_sink
from embdc_cli.values import StreamSpec, Timeline

if TYPE_CHECKING:
    import torch

    from embdc_cli.codebook.codebook import Codebook
    from embdc_cli.codec.stage import ChunkCodec
    from embdc_cli.container.header import Header

_FORMATS: Final = ("npy", "raw")


@dataclass(frozen=True)
class Arrived:
    """Rows [row0, row0 + rows) of a stream, one chunk of it.

    item: number of the item that it belongs to, as `decode --item` takes it. values: (rows, *row_shape) in storage
    dtype, flat (tokens, D) when ragged.
    seconds: start of each row after the first row of the item whose clock it goes by, mostly its own, (rows,) float64;
    None where no times are kept.
    """

    item: int
    spec: StreamSpec
    row0: int
    rows: int
    values: np.ndarray
    seconds: np.ndarray | None
    token_counts: tuple[int, ...] | None = None

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return self.spec.name

    @property
    def tensor(self) -> torch.Tensor:
        """The values as a torch tensor."""
        import torch

        tensor = torch.from_numpy(self.values.copy())
        return tensor.view(torch.bfloat16) if self.spec.dtype == "bfloat16" else tensor


def follow(
    path: str,
    *,
    stream: str | None = None,
    codebooks: Sequence[str] = (),
    choices: DecoderChoices | None = None,
    appends: bool = False,
    idle_seconds: float = DecodeOptions.idle_timeout,
) -> Iterator[Arrived]:
    """The rows of the archive `path` as its writer adds them; see `container.growing` for where it ends.

    Raises: what `growing_chunks` raises, CorruptArchive, MissingModel; UsageError for a stream that is not there.
    """
    decoder: _PartDecoder | None = None
    first_item = 0
    for chunk in growing_chunks(path, appends=appends, idle_seconds=idle_seconds):
        header = chunk.part.log.header
        if decoder is None or decoder.part_offset != chunk.part.offset:
            first_item += 0 if decoder is None else len(decoder.header.items)
            decoder = _PartDecoder(chunk, first_item, path, codebooks, choices)
            if stream is not None and stream not in {one.name for one in header.streams}:
                have = ", ".join(dict.fromkeys(one.name for one in header.streams))
                raise UsageError(f"--stream: {stream!r} is not in the archive", hint=f"streams: {have}")
        arrived = decoder.take(chunk, stream)
        if arrived is not None:
            yield arrived


@dataclass
class _Segment:
    """The models of a segment and what was made of them."""

    payload: bytes
    codecs: dict[int, ChunkCodec] = field(default_factory=dict)


class _PartDecoder:
    """What the chunks of one part so far say about those to come."""

    def __init__(
        self,
        chunk: ScannedChunk,
        first_item: int,
        path: str,
        codebooks: Sequence[str],
        choices: DecoderChoices | None,
    ) -> None:
        self.header: Header = chunk.part.log.header
        self.part_offset = chunk.part.offset
        self._first_item = first_item
        self._folder = Path(path).parent
        self._codebooks = codebooks
        self._choices = choices or DecoderChoices()
        self._embedded: dict[bytes, bytes] = {}
        self._segments: dict[tuple[int, int], _Segment] = {}
        self._current: dict[int, int] = {}  # segment of each stream
        self._timelines: dict[int, Timeline] = {}

    def take(self, chunk: ScannedChunk, wanted: str | None) -> Arrived | None:
        """The rows in a DATA chunk of the stream `wanted` (None: any); other chunks are remembered."""
        record = chunk.record
        where = f"byte {chunk.offset}"
        if isinstance(record, DataRecord):
            if wanted in (None, self.header.streams[record.stream].name):
                return self._rows(chunk, where)
        elif isinstance(record, ModelsRecord):
            self._segments[record.stream, record.segment] = _Segment(record.payload)
        elif isinstance(record, TimesRecord):
            self._add_times(record.item, chunk, where)
        elif isinstance(record, CodebookRecord) and record.payload is not None:
            self._embedded[record.digest] = record.payload
        return None

    def _rows(self, chunk: ScannedChunk, where: str) -> Arrived:
        assert isinstance(chunk.record, DataRecord)
        header = self.header.streams[chunk.record.stream]
        record, start = DataRecord.from_content(chunk.view, ragged=header.ragged, where=where)
        spec = StreamSpec(
            header.name, header.dtype, header.axes, header.row_shape, record.rows, header.special_tokens, header.ragged
        )
        segment = self._segment(record, where)
        if record.kind not in segment.codecs:
            codec = codec_for(record.kind, spec, segment.payload, self.header.limits, self._codebook, self._choices)
            segment.codecs[record.kind] = codec
        with one_blas_thread():
            values, symbol_crc = segment.codecs[record.kind].decode(
                bytes(chunk.view[start:]), record.rows, record.token_counts
            )
        # fewer levels than there are have other integers; each level checks itself
        if self._choices.levels is None and symbol_crc != record.symbol_crc:
            raise CorruptArchive(
                f"{where}: stream {header.name!r}: decoded integers have checksum {symbol_crc:08x}, "
                f"expected {record.symbol_crc:08x}"
            )
        seconds = self._seconds(header.item, record) if header.timed else None
        clock = self.header.items[header.item].clock
        item = self._first_item + (header.item if clock is None else clock)
        return Arrived(item, spec, record.row0, record.rows, values, seconds, record.token_counts)

    def _segment(self, record: DataRecord, where: str) -> _Segment:
        """The segment of a chunk; the one before it in its stream is over."""
        before = self._current.get(record.stream)
        if before is not None and before != record.segment:
            self._segments.pop((record.stream, before), None)
        self._current[record.stream] = record.segment
        segment = self._segments.setdefault((record.stream, record.segment), _Segment(b""))
        if record.models_crc != zlib.crc32(segment.payload):
            raise CorruptArchive(f"{where}: made with other models than those of its segment")
        return segment

    def _seconds(self, item: int, record: DataRecord) -> np.ndarray:
        timeline = self._timelines.get(item)
        if timeline is None or len(timeline) < record.stop:
            raise CorruptArchive(f"times of rows {record.row0} to {record.stop - 1} are lost")
        return np.array([timeline.seconds(row) for row in range(record.row0, record.stop)])

    def _add_times(self, item: int, chunk: ScannedChunk, where: str) -> None:
        timebase, clock = self.header.items[item].timebase, self.header.items[item].clock
        assert timebase is not None  # the scan admits no times of other items
        _, ticks = times.ticks_of(chunk.content, where)
        if item not in self._timelines:
            self._timelines[item] = Timeline.of((), 0, Fraction(*timebase))
            main = self._timelines.get(-1 if clock is None else clock)
            if main is not None:
                self._timelines[item].goes_by(main)
        self._timelines[item].add(ticks)

    def _codebook(self, digest: bytes) -> Codebook:
        if digest in self._embedded:
            return codebook_file.read(self._embedded[digest], digest=digest)
        return find(digest, files=self._codebooks, folder=self._folder)


def decode_growing(source: str, output: str, options: DecodeOptions, reporter: Reporter) -> dict[str, Any]:
    """`decode --follow`: the rows of one stream onto standard output as they come; returns the `--json` document.

    npy: an array per chunk, which `numpy.load` reads one after the other. raw: the values alone.
    """
    _check(source, output, options)
    form = options.format or "npy"
    choices = DecoderChoices(options.backend, options.levels, options.reconstruction)
    rows = 0
    spec: StreamSpec | None = None
    arriving = follow(
        source,
        stream=options.stream,
        codebooks=options.codebooks,
        choices=choices,
        appends=options.appends,
        idle_seconds=options.idle_timeout,
    )
    with destination(output, force=False) as out:
        for one in arriving:
            if spec is not None and (spec.name, spec.dtype, spec.row_shape) != (
                one.spec.name,
                one.spec.dtype,
                one.spec.row_shape,
            ):
                found = " and ".join(
                    f"{each.name!r} ({each.dtype} {list(each.row_shape)})" for each in (spec, one.spec)
                )
                raise UsageError(f"--follow: expected one stream, found {found}", hint="choose one with --stream")
            spec = one.spec
            dtype = spec.dtype if options.dtype is None else dtypes.parse(options.dtype)
            target = replace(spec, dtype=dtype, rows=one.rows)
            format_for(output, [target], form)
            values = one.values
            if dtype != spec.dtype:
                values = dtypes.from_float32(dtypes.to_float32(values, spec.dtype), dtype)
            sink = open_sink(form, out, [target])
            sink.write(spec.name, 0, values)
            sink.close()
            rows += one.rows
            reporter.progress("follow", rows, None, "rows")
    streams = [] if spec is None else [{"name": spec.name, "shape": [rows, *spec.row_shape], "dtype": spec.dtype}]
    document = {"archive": source, "output": output, "format": form, "streams": streams, "frames": rows}
    return document | {"lost": [], "exit": 0}


def _check(source: str, output: str, options: DecodeOptions) -> None:
    """Refuse what needs the whole archive."""
    if source == "-":
        raise UsageError("--follow: expected a path, found standard input")
    if output != "-":
        raise UsageError("--follow: writes to standard output, as it comes", hint="use -o -, redirected where you like")
    if options.format not in (None, *_FORMATS):
        raise UsageError(f"--follow: expected --format {' or '.join(_FORMATS)}, found {options.format}")
    for flag, given in (
        ("for", options.consumer),
        ("item", options.item),
        ("frames", options.frames),
        ("time", options.time),
        ("on-damage", None if options.on_damage == "fail" else options.on_damage),
    ):
        if given is not None:
            raise UsageError(f"--{flag}: not with --follow")
