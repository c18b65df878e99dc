"""Small archives with everything in them, and what a reader must find there."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embdc_cli.container import index, spec, tail
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.contents import Entry, Item
from embdc_cli.container.framing import content_of, frame, parse_header, signature_of
from embdc_cli.container.header import Header, ItemHeader, Limits, StreamHeader
from embdc_cli.container.packed_json import pack, unpack
from embdc_cli.container.reader import ArchiveReader
from embdc_cli.container.tail import Tail
from embdc_cli.container.writer import ArchiveWriter, Sink
from embdc_cli.errors import CorruptArchive

SIGNATURE = signature_of(spec.MAJOR)
CODEBOOK = b"a codebook of a few bytes"
CODEBOOK_DIGEST = hashlib.sha256(CODEBOOK).digest()


@dataclass(frozen=True)
class Plan:
    """One item with a patch stream, a ragged stream sharing its times, and a bias without rows."""

    rows: int = 10
    chunk_rows: int = 3
    segment_chunks: int = 2
    variable_rate: bool = True
    seed: int = 0
    payload_bytes: int = 30
    recipe: str = "plain"
    timebase: tuple[int, int] = (1, 90_000)
    bias: bool = True
    known_rows: bool = False
    checkpoint_every: int = 3
    brief: bool = False  # a summary of a few bytes


def header_of(plan: Plan) -> Header:
    rows = plan.rows if plan.known_rows else None
    streams = [
        StreamHeader(0, "patch", "float16", "tnd", (2, 4), rows, "transform", timed=True),
        StreamHeader(0, "ragged", "bfloat16", "tnd", (4,), rows, "transform", ragged=True, timed=True),
    ]
    if plan.bias:
        streams.append(StreamHeader(0, "bias", "float32", "d", (5,), 1, "lossless"))
    return Header(
        items=(ItemHeader(None, {"kind": "dump", "seed": plan.seed}, None, plan.timebase),),
        streams=tuple(streams),
        recipe={"codec": plan.recipe, "effort": 1},
        input_head_digest=f"{plan.seed:064x}",
        target={"kind": "bpv", "value": 0.5},
        codec={"name": "transform"},
        limits=Limits(max_chunk_bytes=1 << 16, max_chunk_rows=64, max_chunk_values=1 << 12),
    )


def times_of(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """(starts, ends), each (rows,) int64 ticks."""
    steps = np.full(plan.rows, 3000, np.int64)
    if plan.variable_rate:
        steps += np.random.default_rng(plan.seed + 1).integers(-900, 900, plan.rows)
    edges = np.concatenate([[500], 500 + np.cumsum(steps)])
    return edges[:-1], edges[1:]


def write(plan: Plan, out: Sink, writer: ArchiveWriter | None = None, skip: int = 0) -> ArchiveWriter:
    """Write the whole archive of `plan`; the first `skip` calls are left out, for a writer that has them already."""
    writer = writer or ArchiveWriter(out, header_of(plan), checkpoint_every=plan.checkpoint_every)
    for number, (name, arguments) in enumerate(calls(plan)):
        if number >= skip:
            getattr(writer, name)(*arguments)
    writer.finish(summary_of(plan))
    return writer


def calls(plan: Plan) -> list[tuple[str, tuple[Any, ...]]]:
    """The calls a pipeline makes between constructor and finish."""
    rng = np.random.default_rng(plan.seed)
    starts, ends = times_of(plan)
    found: list[tuple[str, tuple[Any, ...]]] = [("codebook", (CODEBOOK_DIGEST, CODEBOOK, len(CODEBOOK)))]
    for number, row0 in enumerate(range(0, plan.rows, plan.chunk_rows)):
        rows = min(plan.chunk_rows, plan.rows - row0)
        segment, begins = divmod(number, plan.segment_chunks)
        span = slice(row0, row0 + rows)
        found.append(("times", (0, row0, starts[span], ends[span])))
        for stream in (0, 1):
            if not begins:
                found.append(("models", (stream, segment, rng.bytes(16))))
            record = DataRecord(
                stream=stream,
                segment=segment,
                row0=row0,
                rows=rows,
                kind=1,
                symbol_crc=int(rng.integers(1 << 32)),
                mse=float(rng.random()),
                cosine_mean=0.98,
                cosine_min=0.75,
                token_counts=tuple(rng.integers(0, 4, rows).tolist()) if stream else None,
                pts0=int(starts[row0]),
                pts1=int(ends[row0 + rows - 1]),
            )
            found.append(("data", (record, rng.bytes(plan.payload_bytes))))
    if plan.bias:
        found.append(("data", (DataRecord(2, 0, 0, 1, 0, 77), b"five floats")))
    return found


def summary_of(plan: Plan) -> dict[str, Any]:
    if plan.brief:
        return {"digest": plan.seed}
    names = ["patch", "ragged", "bias"] if plan.bias else ["patch", "ragged"]
    sums = {
        "values": plan.rows * 8,
        "sse": 2.0,
        "energy": 100.0,
        "tokens": plan.rows * 2,
        "cosine_sum": plan.rows * 1.5,
    }
    achieved = {"nmse": 0.02, "cosine": 0.75, "cosine_p1": 0.5 + plan.seed / 16}
    streams = [{"codec": "transform", "rows": plan.rows, "sums": sums, "achieved": achieved} for _ in names]
    return {"streams": streams, "achieved": achieved, "digest": plan.seed, "duration_seconds": float(plan.rows)}


def archive(plan: Plan | None = None) -> bytes:
    out = io.BytesIO()
    write(plan or Plan(), out)
    return out.getvalue()


def opened(data: bytes) -> ArchiveReader:
    return ArchiveReader.open(io.BytesIO(data))


Chunk = tuple[DataRecord, bytes, bytes]
"""Full record without its place among segments, codec payload, models."""


def chunks_of(reader: ArchiveReader, item: Item, damaged: list[Entry] | None = None) -> dict[str, list[Chunk]]:
    """Everything that can be fetched of an item, by stream; damaged chunks are left out and noted."""
    found: dict[str, list[Chunk]] = {}
    for stream in item.streams:

        def note(entry: Entry, error: CorruptArchive) -> None:
            if damaged is None:
                raise error
            damaged.append(entry)

        fetched = reader.fetch(stream.entries, on_damage=note)
        found[stream.name] = [
            (entry.record, payload, reader.models(stream, entry.record.segment)) for entry, payload in fetched
        ]
    return found


@functools.cache
def expected_chunks(plan: Plan) -> dict[str, list[Chunk]]:
    """What `chunks_of` must give for an undamaged archive of `plan`, with quality rounded as it is stored."""
    names = ("patch", "ragged", "bias")
    found: dict[str, list[Chunk]] = {name: [] for name in names[: 3 if plan.bias else 2]}
    models: dict[tuple[int, int], bytes] = {}
    for name, arguments in calls(plan):
        if name == "models":
            models[arguments[:2]] = arguments[2]
        elif name == "data":
            record, payload = arguments
            found[names[record.stream]].append((record, payload, models.get((record.stream, record.segment), b"")))
    return found


def comparable(chunks: Sequence[Chunk]) -> list[tuple[object, ...]]:
    """Chunks as values that are equal exactly when their bytes are; NaN equals NaN."""
    return [(one.indexed(), one.symbol_crc, one.token_counts, payload, models) for one, payload, models in chunks]


def without_places(chunks: Sequence[Chunk]) -> list[tuple[object, ...]]:
    """Chunks without streams, rows, segments and times: what joining must not change."""
    moved = [
        (replace(one, stream=0, row0=0, segment=0, pts0=0, pts1=0), payload, models) for one, payload, models in chunks
    ]
    return comparable(moved)


def split(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of every chunk of an undamaged part."""
    found = []
    place = spec.SIGNATURE_BYTES
    while place < len(data):
        header = parse_header(data, place)
        assert header is not None
        body = place + spec.CHUNK_BYTES
        found.append((header.type, content_of(header, data[body : body + header.length], "test")))
        place = body + header.length
    return found


def forged(
    chunks: Sequence[tuple[bytes, bytes]],
    *,
    signature: bytes = SIGNATURE,
    seal: bool = True,
    part_id: int | None = None,
) -> bytes:
    """A part of `chunks` with right checksums, whatever they say; `seal`: right digests and tail in place of theirs."""
    part_id = number_of(chunks[0][1]) if part_id is None else part_id
    out, places, leaves = signature, {}, []
    for seq, (kind, content) in enumerate(chunks):
        if kind == spec.DIGESTS and seal:
            content = b"".join(leaves)
        if kind == spec.TAIL and seal:
            sealed = Tail(
                part_bytes=len(out) + tail.CHUNK_BYTES,
                to_index=len(out) - places[spec.INDEX],
                to_summary=len(out) - places[spec.SUMMARY],
                to_meta=len(out) - places[spec.META] if spec.META in places else 0,
                to_digests=len(out) - places[spec.DIGESTS],
                chunks=seq + 1,
                root=tail.root_of(signature, leaves),
                version=signature[11],
            )
            content = sealed.to_content()
        places[kind] = len(out)
        header, stored = frame(kind, part_id, seq, content)
        leaves.append(tail.leaf(header, stored))
        out += header + stored
    return out


def number_of(head: bytes) -> int:
    """The part number that goes with HEAD content `head`, sensible or not."""
    try:
        return zlib.crc32(unpack(head, "test"))
    except CorruptArchive:
        return zlib.crc32(head)


def edited(data: bytes, kind: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The part `data` with the content of its last `kind` chunk edited, and every checksum made right again."""
    chunks = split(data)
    last = max(number for number, chunk in enumerate(chunks) if chunk[0] == kind)
    chunks[last] = (kind, edit(chunks[last][1]))
    return forged(chunks)


def parse(data: bytes) -> dict[str, Any]:
    """JSON content, plain or packed, as a dict."""
    found: dict[str, Any] = json.loads(unpack(data, "test"))
    return found


def dumped(value: object) -> bytes:
    """Canonical JSON without any check."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


HOSTILE = Plan(rows=4, chunk_rows=2, segment_chunks=1, payload_bytes=9, bias=False)
"""The archive that hostile ones are made from."""


def plain(payload: bytes) -> bytes:
    """JSON stored as it is: what `pack` is replaced by for archives as they were before it."""
    return payload


FORMS = {"plain": plain, "packed": pack}


def with_head(
    edit: Callable[[dict[str, Any]], object], data: bytes | None = None, store: Callable[[bytes], bytes] = pack
) -> bytes:
    """The archive `data` (of HOSTILE) whose header JSON was edited."""
    chunks = split(archive(HOSTILE) if data is None else data)
    head = parse(chunks[0][1])
    edit(head)
    chunks[0] = (spec.HEAD, store(dumped(head)))
    return forged([(kind, reindexed(kind, content, len(chunks[0][1]))) for kind, content in chunks])


def reindexed(kind: bytes, content: bytes, head_bytes: int) -> bytes:
    """An index content that agrees with a header of another length; other contents as they are."""
    if kind != spec.INDEX:
        return content
    found = index.from_content(content, 1 << 40, "test")
    if found.first_seq == 0:
        found.table.chunks["content"][0] = head_bytes
    return index.to_content(found.table, full=found.full)
