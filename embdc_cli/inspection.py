"""What is in an archive and whether it is whole: `embdc inspect` and `embdc verify` as functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from embdc_cli.archive import Archive
from embdc_cli.codec.transform import plane_table
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.comparison.against import compare_with_dump
from embdc_cli.container import spec
from embdc_cli.container.contents import Damage, Entry, Item, LostRows, Part, Stream
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.distribution import opened
from embdc_cli.errors import CorruptArchive, IncompleteError, TargetMissed
from embdc_cli.item_streams import owned, owner
from embdc_cli.metrics import FIGURES, SUMS, pooled, sizes
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Reporter, Silent


def inspect(
    path: str,
    *,
    chunks: bool = False,
    stats: bool = False,
    decoded: bool = False,
    planes: bool = False,
    codebooks: Sequence[str] = (),
    reading: EncodeOptions | None = None,
    plots: str | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """The `--json` document of `embdc inspect`; reads header and end matter only, unless `planes` or `decoded`.

    chunks: adds every chunk. stats: adds bytes and quality per stream; of a dump it is what its values are like.
    decoded: adds the same of a sample of an archive's values. planes: adds the bits of coefficients by their
    position, which reads everything. codebooks: files an external codebook may be in. reading: how a dump is read.
    plots: a folder for a PNG of every tensor whose values are looked at. force: overwrite those.
    Raises: SourceError, CorruptArchive, UnsupportedArchive; with `planes` or `decoded` MissingModel.
    """
    reading, reporter = reading or EncodeOptions(), reporter or Silent()
    if stats and (form := opened.dump_format(path, reading)) is not None:
        return opened.dump_document(path, form, reading, plots, force, reporter)
    with Archive(path, codebooks=codebooks) as archive:
        reader = archive.reader
        document = _document(path, reader)
        document["codebooks"] = _codebooks(reader)
        if stats:
            document["stats"] = [_stream_statistics(reader, stream) for stream in reader.streams]
        if chunks:
            document["chunks"] = [
                _chunk(reader, stream, entry) for stream in reader.streams for entry in stream.entries
            ]
        if planes:
            document["planes"] = [_planes(archive, stream) for stream in reader.streams]
        document["io"] = reader.traffic.document()
    if decoded:
        document |= opened.archive_values(path, codebooks, plots, force, reporter)
    return document


def _document(path: str, reader: ArchiveReader) -> dict[str, Any]:
    header, summary = reader.header, reader.summary or {}
    values = sum(_values(reader, stream) for stream in reader.streams)
    figures = sizes(values, reader.file_bytes, 0)
    item = header.items[0]
    return {
        "path": path,
        "format_version": _version(reader),
        "complete": reader.complete,
        "file_bytes": reader.file_bytes,
        "parts": reader.report(),
        **{key: figures[key] for key in ("values", "bits_per_value", "ratio_fp16", "ratio_fp32")},
        "items": [
            {
                "name": one.name,
                "streams": [stream.name for stream in streams],
                "seconds": reader.parts[one.part].seconds(one.local),
            }
            for one, streams in owned(reader.items)
        ],
        "streams": [_stream(reader, stream) for stream in reader.streams],
        "codec": {**header.codec, "recipe": header.recipe, "recipe_digest": header.recipe_digest},
        "encoder": item.encoder or {},
        "source": reader.parts[0].source(0),
        "target": summary.get("target", header.target),
        "achieved": _achieved(reader),
        "damage": [_damage(reader, one) for one in reader.damage],
        "exit": 0 if reader.complete else IncompleteError.exit_code,
    }


def _version(reader: ArchiveReader) -> int:
    """What a reader must know to read all parts."""
    return max(part.header.version for part in reader.parts)


def _stream(reader: ArchiveReader, stream: Stream) -> dict[str, Any]:
    header = stream.header
    known = (reader.parts[stream.part].summary or {}).get("streams", [])
    codec = known[stream.number].get("codec", header.codec) if stream.number < len(known) else header.codec
    return {
        "name": stream.name,
        "item": owner(reader.items, stream.item).number,
        "shape": list(stream.spec.shape),
        "dtype": header.dtype,
        "axes": header.axes,
        "chunks": len(stream.entries),
        "codec": codec,
        "timed": header.timed,
    }


def _values(reader: ArchiveReader, stream: Stream) -> int:
    """Values of the readable rows; of a ragged stream what the summary counted, 0 where there is none yet."""
    if not stream.header.ragged:
        return stream.rows * stream.header.row_values
    known = (reader.parts[stream.part].summary or {}).get("streams", [])
    return int(known[stream.number].get("sums", {}).get("values", 0)) if stream.number < len(known) else 0


def _achieved(reader: ArchiveReader) -> dict[str, Any]:
    """Quality over all items; nulls where a part does not say what it has achieved."""
    streams = [one for part in reader.parts for one in (part.summary or {}).get("streams", [])]
    told = all(set(one.get("achieved", ())) >= FIGURES and set(one.get("sums", ())) >= SUMS for one in streams)
    if not streams or len(streams) != len(reader.streams) or not told:
        return dict.fromkeys(sorted(FIGURES))
    return pooled(streams)


def _codebooks(reader: ArchiveReader) -> list[dict[str, Any]]:
    """Every codebook by hash; an external one is not among the counted bytes, and that is said here."""
    embedded = {bytes(one["digest"]) for part in reader.parts for one in part.table.codebooks if one["embedded"]}
    return [
        {"digest": digest.hex(), "bytes": size, "embedded": digest in embedded}
        for digest, size in reader.codebooks().items()
    ]


def _stream_statistics(reader: ArchiveReader, stream: Stream) -> dict[str, Any]:
    payload = stream.entries.payload_bytes
    values = _values(reader, stream)
    worst = [entry.record.cosine_min for entry in stream.entries]
    return {
        "name": stream.name,
        "item": owner(reader.items, stream.item).number,
        "payload_bytes": payload,
        "payload_bits_per_value": 8 * payload / values if values else None,
        "segments": len({entry.record.segment for entry in stream.entries}),
        "cosine_min": _number(min(worst, default=math.nan)),
    }


def _chunk(reader: ArchiveReader, stream: Stream, entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "stream": stream.name,
        "item": owner(reader.items, stream.item).number,
        "segment": record.segment,
        "rows": [record.row0, record.stop],
        "offset": entry.offset,
        "bytes": entry.length,
        "mse": _number(record.mse),
        "cosine": _number(record.cosine_mean),
        "cosine_min": _number(record.cosine_min),
    }


def _planes(archive: Archive, stream: Stream) -> dict[str, Any]:
    """Bits of the codes of a stream by temporal octave and group of basis vectors (`plane_table`)."""
    table, payload_bytes = np.zeros((plane_table.OCTAVES, 0)), 0
    for full, payload in archive.reader.fetch(stream.entries):
        payload_bytes += len(payload)
        codec = archive.codec(stream, full.record.segment, full.record.kind)
        if isinstance(codec, TransformCodec):
            blocks = codec.plane_bits(payload, full.record.rows, full.record.token_counts)
            table = plane_table.add(table, blocks)
    return {
        "name": stream.name,
        "item": owner(archive.reader.items, stream.item).number,
        "payload_bytes": payload_bytes,
        "vectors": [list(ends) for ends in plane_table.vectors_of(table.shape[1])],
        "bits": [[round(bits, 1) for bits in octave] for octave in table.tolist()],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _damage(reader: ArchiveReader, one: Damage) -> dict[str, Any]:
    lost = one.lost or _lost_in(reader, one)
    return {
        "offset": one.offset,
        "bytes": one.length,
        "what": one.what,
        "lost": [
            {"stream": rows.stream, "item": rows.item, "rows": [rows.row0, rows.stop], "seconds": rows.seconds}
            for rows in lost
        ],
    }


def _lost_in(reader: ArchiveReader, one: Damage) -> list[LostRows]:
    """The rows of the chunks that the index places at the damage, and of those that need models from there."""
    found = []
    for item in reader.items:
        damaged = _damaged_segments(reader.parts[item.part], one)
        for stream in item.streams:
            for entry in stream.entries:
                hit = _overlap(one, entry.offset, entry.length)
                if hit or (damaged and (stream.number, entry.record.segment) in damaged):
                    timed = stream.header.timed and item.header.timebase is not None
                    seconds = _entry_seconds(reader, entry, item) if timed else None
                    found.append(LostRows(item.clock, stream.name, entry.row0, entry.stop, seconds))
    return found


def _overlap(one: Damage, offset: int, length: int) -> bool:
    return offset < one.offset + max(one.length, 1) and one.offset < offset + length


def _damaged_segments(part: Part, one: Damage) -> set[tuple[int, int]]:
    """(stream, segment) of the models that the index places at the damage."""
    chunks, models = part.table.chunks, part.table.models
    offsets = part.offset + chunks["offset"][models["chunk"]]
    lengths = spec.CHUNK_BYTES + chunks["content"][models["chunk"]]
    hit = (offsets < one.offset + max(one.length, 1)) & (one.offset < offsets + lengths)
    return set(models[["stream", "segment"]][hit].tolist())


def _entry_seconds(reader: ArchiveReader, entry: Entry, item: Item) -> tuple[float, float]:
    """When the rows of a chunk are, on the clock of the item."""
    assert item.header.timebase is not None
    tick, origin = Fraction(*item.header.timebase), reader.zero(item)
    return float((entry.record.pts0 - origin) * tick), float((entry.record.pts1 - origin) * tick)


def verify(
    path: str,
    *,
    against: str | None = None,
    key: str | None = None,
    deep: bool = False,
    codebooks: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """The `--json` document of `embdc verify`: every byte is read and checked. exit: 0, 3 incomplete, 5 corrupt, 4.

    deep: also the SHA-256 of every chunk, and every chunk is decoded and its integers compared with their checksum.
    against: a dump whose values are compared too; 4 when they are not what the archive says it achieved.
    Raises: SourceError, UnsupportedArchive; CorruptArchive when nothing of it can be read.
    """
    reporter = reporter or Silent()
    with Archive(path, codebooks=codebooks) as archive:
        reader = archive.reader
        damage = reader.verify(lambda done, total: reporter.progress("verify", done, total, "bytes"), digests=deep)
        if deep:
            damage = (*damage, *_undecodable(archive, damage, reporter))
        compared = None
        if against is not None:
            compared = compare_with_dump(archive, against, key, reporter)
        exit_code = 0
        if damage:
            found = [one for one in damage if not one.declared]
            corrupt = bool(found) and (reader.complete or _inside(found, reader))
            exit_code = CorruptArchive.exit_code if corrupt else IncompleteError.exit_code
        elif not reader.complete:
            exit_code = IncompleteError.exit_code
        elif compared is not None and not compared["matches"]:
            exit_code = TargetMissed.exit_code
        return {
            "path": path,
            "ok": exit_code == 0,
            "complete": reader.complete,
            "format_version": _version(reader),
            "chunks": sum(len(stream.entries) for stream in reader.streams),
            "bytes_checked": reader.file_bytes,
            "deep": deep,
            "problems": [_damage(reader, one) for one in damage],
            "against": compared,
            "io": reader.traffic.document(),
            "exit": exit_code,
        }


def _undecodable(archive: Archive, known: Sequence[Damage], reporter: Reporter) -> list[Damage]:
    """The chunks that are whole but do not decode to the integers that were written. Raises: MissingModel."""
    found = []
    views = [archive[name] for name in archive]
    total, done = sum(len(view.stream.entries) for view in views), 0
    for view in views:
        with archive.reader.ahead(view.stream.entries):
            for entry in view.stream.entries:
                done += 1
                reporter.progress("decode", done, total, "chunks")
                try:
                    archive.decoded(view.stream, entry)
                except CorruptArchive as error:
                    if not any(_overlap(one, entry.offset, entry.length) for one in known):
                        found.append(Damage(entry.offset, entry.length, error.message))
    return found


def _inside(damage: Sequence[Damage], reader: ArchiveReader) -> bool:
    """Whether something is wrong before the readable end, rather than missing behind it."""
    end = max(part.offset + part.length for part in reader.parts)
    return any(one.offset + one.length < end for one in damage)
