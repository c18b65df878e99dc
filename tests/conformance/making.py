"""How test vectors are made, from synthetic numbers: archives as embdc writes them, damaged ones, and hostile ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import embdc_cli as embdc
from embdc_cli.codebook import file as codebook_file
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codec.chain import Chain
from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.vq.levels import LearntLevel
from embdc_cli.codec.vq.quantiser import VectorIndices, VectorQuantiser
from embdc_cli.container import index, spec, tail
from embdc_cli.container.chunk import DataRecord
from embdc_cli.container.framing import frame, signature_of
from embdc_cli.container.header import Header, ItemHeader, Limits, StreamHeader
from embdc_cli.container.table import ChunkTable
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.values import StreamSpec
from tests.codebook.codebook_cases import make_codebook, make_network, make_tables
from tests.container import container_cases
from tests.container.container_cases import dumped, edited, forged, split

# what embdc encodes


def moving(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """(rows, tokens, channels) float16: a slow walk in a few directions, and a little noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((max(2, channels // 4), channels)) / np.sqrt(channels)
    steps = 0.3 * rng.standard_normal((rows, tokens, len(directions)))
    steps[0] = rng.standard_normal((tokens, len(directions)))
    noise = 0.1 * rng.standard_normal((rows, tokens, channels))
    return np.asarray(4 * steps.cumsum(axis=0) @ directions + noise, np.float16)


def two_kinds(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """As `moving`, of which each half of the tokens has directions of its own."""
    halves = [moving(rows, tokens // 2, channels, seed + one) + np.float16(6 * one) for one in (0, 1)]
    return np.concatenate(halves, axis=1)


def rectified(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """Mostly zeros, as after a ReLU, and seldom changing."""
    rng = np.random.default_rng(seed)
    out = np.zeros((rows, tokens, channels), np.float16)
    state = rng.standard_normal((tokens, channels))
    for row in out:
        changes = rng.random((tokens, 1)) < 0.4
        state = np.where(changes, 0.8 * state + 0.6 * rng.standard_normal(state.shape), state)
        row[:] = np.maximum(3 * (state - 0.9), 0)
    return out


def encoded(source: Any, **options: Any) -> Callable[[Path], bytes]:
    """What embdc makes of arrays."""

    def make(folder: Path) -> bytes:
        out = folder / "made.embdc"
        given = source() if callable(source) else source
        embdc.encode(given, str(out), **options)
        return out.read_bytes()

    return make


def weighted(kind: str) -> Callable[[Path], bytes]:
    """Under a metric: `matrix` or `vector`."""

    def make(folder: Path) -> bytes:
        rng = np.random.default_rng(3)
        np.save(folder / "weights.npy", rng.standard_normal((5, 12) if kind == "matrix" else 12))
        return encoded(moving(32, 6, 12), effort=0, weighting=str(folder / "weights.npy"))(folder)

    return make


def still(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """Tokens in all directions that hardly change."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, tokens, channels)) + 0.02 * rng.standard_normal((rows, tokens, channels))
    return x.astype(np.float16)


def bfloat(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)


def with_codebook(seed: int, *, embed: str, effort: int, tables: bool = False) -> Callable[[Path], bytes]:
    """Tokens that a codebook was made for, and that are too few to pay for a basis of their own."""

    def make(folder: Path) -> bytes:
        (folder / "c.embdcb").write_bytes(codebook_bytes(seed, tables=tables)())
        book = codebook_file.read(folder / "c.embdcb")
        rng = np.random.default_rng(seed)
        inside = rng.standard_normal((6, 3, 4)) @ (20 * book.vectors()[:4])
        x = (book.centre() + inside).astype(np.float32)
        options = {"codebook": str(folder / "c.embdcb"), "embed_codebook": embed, "effort": effort}
        return encoded(x, target_nmse=1e-5, **options)(folder)

    return make


def codebook_bytes(seed: int, *, tables: bool = False) -> Callable[[], bytes]:
    return lambda: make_codebook(24, 6, seed, None, make_tables(seed) if tables else None).file_bytes


def vector_codebook(seed: int) -> Codebook:
    """24 channels, 6 orthonormal vectors, and three levels in them, of which the second is far from everything."""
    rng = np.random.default_rng(seed)
    base = make_codebook(24, 6, seed)
    basis, _ = np.linalg.qr(rng.standard_normal((24, 6)))
    levels = [
        LearntLevel.rounded(np.array(channels, np.int32), scale * rng.standard_normal((count, len(channels))), -6)
        for channels, count, scale in (((0, 1, 2, 4), 32, 20.0), ((3, 5), 16, 4000.0), ((1, 3, 5), 64, 8.0))
    ]
    vectors = np.rint(basis.T * 2**14).astype(np.int16)
    return replace(base, mean_exponent=-12, basis=vectors, exponents=np.full(6, -14, np.int8), levels=tuple(levels))


def with_vector_codebook(seed: int, *, embed: str) -> Callable[[Path], bytes]:
    """Tokens that are sums of two codewords of a codebook and a little noise."""

    def make(folder: Path) -> bytes:
        book = vector_codebook(seed)
        (folder / "c.embdcb").write_bytes(book.file_bytes)
        rng = np.random.default_rng(seed)
        inside = rng.standard_normal((12, 9, 6))
        for level in (book.levels[0], book.levels[2]):
            inside[..., level.channels] += level.centres()[rng.integers(0, len(level.codes), (12, 9))]
        x = (book.centre() + inside @ book.vectors()).astype(np.float32)
        options = {"codebook": str(folder / "c.embdcb"), "embed_codebook": embed, "codec": "vq"}
        return encoded(x, target_nmse=0.005, **options)(folder)

    return make


def network_codebook(seed: int, radius: int, hidden: int) -> Codebook:
    """As `vector_codebook`, and a network."""
    return replace(vector_codebook(seed), network=make_network(seed, radius, hidden))


def with_network(
    seed: int, radius: int, hidden: int, source: np.ndarray, *, embed: str, **options: Any
) -> Callable[[Path], bytes]:
    """Tokens that are decoded with a network of a codebook, all of what it says."""

    def make(folder: Path) -> bytes:
        (folder / "c.embdcb").write_bytes(network_codebook(seed, radius, hidden).file_bytes)
        codebook = {"codebook": str(folder / "c.embdcb"), "embed_codebook": embed}
        return encoded(source, reconstruction="on", **codebook, **options)(folder)

    return make


def odd_vectors(scales: Sequence[int], gaussian: int, learnt: int = 3, spread: float = 0.0) -> Callable[[Path], bytes]:
    """Levels that no search would make: finer and coarser than a quantum, scales of every kind, a step of a quantum.

    spread: octaves by which tokens are larger or smaller than the scales say.
    """

    def make(_: Path) -> bytes:
        rng = np.random.default_rng(10)
        x = (rng.standard_normal((6, 9, len(scales))) * 2.0 ** (np.array(scales) / 4)).astype(np.float32)
        x *= np.exp2(np.linspace(-spread, spread, 54)).reshape(6, 9, 1).astype(np.float32)
        stream = StreamSpec("data", "float32", "t,n,c", (9, len(scales)), 6)
        models = Fit(stream, [x], None, FitOptions(vector=True)).models(1.0)
        *head, quantiser, _ = models.groups[0].chain.stages
        assert isinstance(quantiser, VectorQuantiser)
        assert quantiser.rank == len(scales)
        levels = tuple(
            LearntLevel(
                np.array(channels, np.int32), rng.integers(-bound, bound, (count, len(channels)), np.int32), exponent
            )
            for channels, count, bound, exponent in (
                ((1, 4, 17), 32, 1 << 13, -3),
                ((0,), 2, 9, 2),
                ((2, 3, 19), 8, 99, -40),
            )
        )
        quantiser = replace(
            quantiser,
            step=1.0,
            exponent=0,
            learnt=levels[:learnt],
            scales=np.array(scales, np.int32),
            gaussian=gaussian,
            width=4,
        )
        quantiser = quantiser.with_classes(rng.integers(8, 56, (len(quantiser.levels), 45)).astype(np.uint8))
        chain = Chain([*head, quantiser, VectorIndices(quantiser)])
        codec = TransformCodec(stream, replace(models, groups=(replace(models.groups[0], chain=chain),)))
        coded = codec.encode(x)
        headers = lossless_header([StreamHeader(0, "data", "float32", "t,n,c", (9, len(scales)), None, "vq")])
        out = Bytes()
        writer = ArchiveWriter(
            out, replace(headers, limits=replace(headers.limits, max_rank=len(scales), max_modes=1, max_group=1))
        )
        writer.models(0, 0, codec.models.to_bytes())
        writer.data(DataRecord(0, 0, 0, 6, codec.kind, coded.symbol_crc), coded.payload)
        writer.finish({"rows": 6})
        return out.data

    return make


def places_of_tokens(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """Tokens that are one of 16, and a little noise."""
    rng = np.random.default_rng(seed)
    found = 4 * rng.standard_normal((16, channels))[rng.integers(0, 16, (rows, tokens))]
    return np.asarray(found + 0.3 * rng.standard_normal(found.shape), np.float16)


def joined(join: str, **options: Any) -> Callable[[Path], bytes]:
    """Two archives put together by `embdc cat`."""

    def make(folder: Path) -> bytes:
        for part in (0, 1):
            embdc.encode(moving(8, 2, 4, part), str(folder / f"{part}.embdc"), **options)
        embdc.cat([str(folder / "0.embdc"), str(folder / "1.embdc")], str(folder / "both.embdc"), join=join)
        return (folder / "both.embdc").read_bytes()

    return make


def beside(join: str | None = None) -> Callable[[Path], bytes]:
    """An archive of frames with two streams beside them; or two of these, put together by `embdc cat`."""

    def make(folder: Path) -> bytes:
        np.save(folder / "sound.npy", moving(12, 1, 4, 1)[:, 0])
        np.save(folder / "words.npy", moving(3, 1, 6, 2)[:, 0])
        np.save(folder / "times.npy", np.array([[0.25, 0.5], [0.5, 1.125], [1.5, 1.75]]))
        adds = [f"sound={folder}/sound.npy@8hz", f"words={folder}/words.npy@{folder}/times.npy"]
        made = []
        for part in range(1 if join is None else 2):
            np.savez(folder / "frames.npz", frames=moving(6, 2, 4, part), timestamps=2 + 7 * part + np.arange(6) / 4)
            made.append(folder / f"{part}.embdc")
            embdc.encode(folder / "frames.npz", made[-1], key="frames", add=adds, lossless=True)
        if join is not None:
            embdc.cat(made, folder / "all.embdc", join=join)
            made = [folder / "all.embdc"]
        return made[0].read_bytes()

    return make


def clock_edited(item: int, clock: int) -> Callable[[Path], bytes]:
    """`beside` with another clock of an item."""

    def edit(head: dict[str, Any]) -> None:
        head["items"][item]["clock"] = clock

    return lambda folder: container_cases.with_head(edit, beside()(folder))


def concatenated(folder: Path) -> bytes:
    first = encoded(moving(8, 2, 4), lossless=True)(folder)
    (folder / "made.embdc").unlink()
    return first + encoded(moving(6, 3, 4, 1), effort=0)(folder)


def appended(folder: Path) -> bytes:
    encoded(moving(8, 2, 4), lossless=True)(folder)
    return encoded(moving(6, 2, 4, 1), lossless=True, append=True)(folder)


# what the writer of the container is told


def lossless_header(streams: list[StreamHeader], timebase: tuple[int, int] | None = None) -> Header:
    return Header(
        items=(ItemHeader(None, {"kind": "vector"}, None, timebase),),
        streams=tuple(streams),
        recipe={"codec": "lossless"},
        input_head_digest="",
        target={"kind": "lossless", "value": 0.0},
        codec={"name": "lossless"},
        limits=Limits(max_chunk_bytes=1 << 16, max_chunk_rows=64, max_chunk_values=1 << 16),
    )


class Bytes:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


def written(
    arrays: dict[str, np.ndarray],
    chunk_rows: int,
    *,
    edges: np.ndarray | None = None,
    checkpoint_every: int = 256,
    payloads: Callable[[np.ndarray], tuple[bytes, int]] | None = None,
) -> bytes:
    """An archive of arrays, rows first, without loss.

    edges: of rows in ticks. payloads: of rows, with their checksum.
    """
    streams = [
        StreamHeader(
            0, name, str(a.dtype), ",".join("tnc"[: a.ndim]), a.shape[1:], None, "lossless", timed=edges is not None
        )
        for name, a in arrays.items()
    ]
    out = Bytes()
    timebase = None if edges is None else (1, 1000)
    writer = ArchiveWriter(out, lossless_header(streams, timebase), checkpoint_every=checkpoint_every)
    rows = len(next(iter(arrays.values())))
    for start in range(0, rows, chunk_rows):
        stop = min(start + chunk_rows, rows)
        times = (0, 0)
        if edges is not None:
            writer.times(0, start, edges[start:stop], edges[start + 1 : stop + 1])
            times = int(edges[start]), int(edges[stop])
        for number, (name, a) in enumerate(arrays.items()):
            part = np.ascontiguousarray(a[start:stop])
            if payloads is None:
                coded = LosslessCodec(StreamSpec(name, str(a.dtype), streams[number].axes, a.shape[1:], None)).encode(
                    part
                )
                payload, crc = coded.payload, coded.symbol_crc
            else:
                payload, crc = payloads(part)
            writer.data(DataRecord(number, 0, start, stop - start, 0, crc, pts0=times[0], pts1=times[1]), payload)
    writer.finish({"rows": rows})
    return out.data


def stored(part: np.ndarray) -> tuple[bytes, int]:
    """Method 0, whatever is smaller."""
    return b"\0" + part.tobytes(), zlib.crc32(part.tobytes())


def plain() -> bytes:
    """The archive that damaged and hostile ones are made from: 12 rows of 2 x 3 float16 in 4 chunks."""
    x = np.arange(72, dtype=np.float16).reshape(12, 2, 3)
    return written({"data": x}, 3)


def nested() -> bytes:
    """Rows of bytes that are an archive themselves, kept as they are."""
    inner = written({"data": np.full((2, 1), 7, np.float16)}, 1)
    octets = np.frombuffer(inner + bytes(-len(inner) % 4), np.uint8).reshape(4, -1)
    return written({"data": octets}, 4, payloads=stored)


# damage


def places() -> list[tuple[bytes, int]]:
    """Type and offset of every chunk of `plain`."""
    found, at = [], spec.SIGNATURE_BYTES
    for kind, content in split(plain()):
        found.append((kind, at))
        at += spec.CHUNK_BYTES + len(content) + -len(content) % 8
    return found


def place_of(kind: bytes, number: int = 0) -> int:
    return [at for name, at in places() if name == kind][number]


def flipped(kind: bytes, offset: int, number: int = 0) -> Callable[[Path], bytes]:
    """`plain` with a bit of a chunk inverted."""
    return lambda _: flip(plain(), place_of(kind, number) + offset)


def flip(data: bytes, place: int, bit: int = 2) -> bytes:
    out = bytearray(data)
    out[place] ^= 1 << bit
    return bytes(out)


def cut(kind: bytes, offset: int = 0, number: int = 0) -> Callable[[Path], bytes]:
    """`plain` up to some bytes behind the beginning of a chunk."""
    return lambda _: plain()[: place_of(kind, number) + offset]


def without_chunk(_: Path) -> bytes:
    data, start, stop = plain(), place_of(spec.DATA, 1), place_of(spec.DATA, 2)
    return data[:start] + data[stop:]


def with_chunk_twice(_: Path) -> bytes:
    data, start, stop = plain(), place_of(spec.DATA, 1), place_of(spec.DATA, 2)
    return data[:stop] + data[start:stop] + data[stop:]


def nested_damaged(_: Path) -> bytes:
    """The chunk that holds the other archive has a damaged header: nothing inside may be taken for chunks."""
    data = nested()
    return flip(data, data.index(b"DATA") + 16)


# what no writer writes, with all checksums right


def head_edited(edit: Callable[[dict[str, Any]], object], data: Callable[[], bytes] = plain) -> Callable[[Path], bytes]:
    return lambda _: container_cases.with_head(edit, data())


def versioned(signature: int, head: int, sealed: int) -> Callable[[Path], bytes]:
    """`plain` whose three places say these versions; its digests are right for them."""

    def make(_: Path) -> bytes:
        chunks = split(container_cases.with_head(lambda one: one.update(version=[head, 0]), plain()))
        whole = forged(chunks, signature=signature_of(signature))
        size = tail.CHUNK_BYTES - spec.CHUNK_BYTES
        content = bytearray(split(whole)[-1][1])
        assert len(content) == size
        content[80] = sealed
        part_id = container_cases.number_of(chunks[0][1])
        return whole[: -tail.CHUNK_BYTES] + b"".join(frame(spec.TAIL, part_id, len(chunks) - 1, bytes(content)))

    return make


def of_two_versions(_: Path) -> bytes:
    """A part of the draft, and a part of version 1 behind it."""
    return versioned(0, 0, 0)(_) + versioned(1, 1, 1)(_)


def content_edited(kind: bytes, edit: Callable[[bytes], bytes]) -> Callable[[Path], bytes]:
    """`plain` with the last chunk of a type changed."""
    return lambda _: reindexed(edited(plain(), kind, edit))


def reindexed(data: bytes) -> bytes:
    """A part whose index lists the chunks as they are."""
    chunks = split(data)
    place = max(number for number, (kind, _) in enumerate(chunks) if kind == spec.INDEX)
    found = index.from_content(chunks[place][1], 1 << 40, "vector")
    found.table.chunks["content"] = [len(content) for _, content in chunks[:place]]
    chunks[place] = (spec.INDEX, index.to_content(found.table, full=True))
    return forged(chunks)


def index_edited(edit: Callable[[ChunkTable], object]) -> Callable[[Path], bytes]:
    """`plain` with an index that says something else."""

    def change(content: bytes) -> bytes:
        table = index.from_content(content, 1 << 40, "vector").table
        edit(table)
        return index.to_content(table, full=True)

    return lambda _: edited(plain(), spec.INDEX, change)


def chunk_put(kind: bytes, content: bytes = b"something", *, code: int = spec.OTHER_CODE) -> Callable[[Path], bytes]:
    """`plain` with a chunk of another type behind the second DATA chunk, listed in the index."""

    def make(_: Path) -> bytes:
        chunks = split(plain())
        at = [number for number, (name, _) in enumerate(chunks) if name == spec.DATA][1] + 1
        chunks.insert(at, (kind, content))
        last = max(number for number, (name, _) in enumerate(chunks) if name == spec.INDEX)
        table = index.from_content(chunks[last][1], 1 << 40, "vector").table
        listed = np.insert(table.chunks, at, np.zeros((), table.chunks.dtype))
        listed["code"][at], listed["content"][at] = code, len(content)
        listed["seq"] = np.arange(len(listed))
        data = table.data.copy()
        data["chunk"] += data["chunk"] >= at
        changed = ChunkTable(listed, data, table.models, table.times, table.codebooks)
        chunks[last] = (spec.INDEX, index.to_content(changed, full=True))
        return reindexed(forged(chunks))  # once more: there is one digest more

    return make


def oversized(_: Path) -> bytes:
    """A chunk header that promises 2^40 bytes, its own checksum right."""
    data, place = bytearray(plain()), place_of(spec.DATA, 1)
    struct.pack_into("<Q", data, place + 24, 1 << 40)
    struct.pack_into("<I", data, place + 36, zlib.crc32(data[place : place + 36]))
    return bytes(data)


def foreign_head(content: bytes) -> bytes:
    """A part that is only a header, of this content."""
    return forged([(spec.HEAD, content)], part_id=container_cases.number_of(content))


def bomb(_: Path) -> bytes:
    """Packed JSON of a megabyte in a kilobyte."""
    head = {"version": [0, 0], "x": " " * (1 << 20)}
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return foreign_head(b"\x01" + packer.compress(dumped(head)) + packer.flush())


def deep(_: Path) -> bytes:
    return foreign_head(b'{"version":' + b"[" * 2000 + b"]" * 2000 + b"}")


def odd_summary() -> bytes:
    return dumped({"streams": [1, {"sums": []}], "target": 3, "source": "x", "duration_seconds": "y", "achieved": []})


def payload_edited(edit: Callable[[bytes], bytes]) -> Callable[[Path], bytes]:
    return content_edited(spec.DATA, lambda content: content[: spec.DATA_BYTES] + edit(content[spec.DATA_BYTES :]))


def record_edited(offset: int, layout: str, value: int) -> Callable[[Path], bytes]:
    """`plain` with a field of its last DATA chunk changed, in the index too where that has it."""

    def change(content: bytes) -> bytes:
        out = bytearray(content)
        struct.pack_into(layout, out, offset, value)
        return bytes(out)

    def make(folder: Path) -> bytes:
        data = content_edited(spec.DATA, change)(folder)
        if offset != 2:
            return data
        chunks = split(data)
        place = max(number for number, (kind, _) in enumerate(chunks) if kind == spec.INDEX)
        table = index.from_content(chunks[place][1], 1 << 40, "vector").table
        table.data["kind"][-1] = value
        chunks[place] = (spec.INDEX, index.to_content(table, full=True))
        return forged(chunks)

    return make


def transform_edited(
    kind: bytes, edit: Callable[[bytes], bytes], source: Callable[[Path], bytes] | None = None
) -> Callable[[Path], bytes]:
    """An archive of the transform codec, a small one if none is given, with the last chunk of a type changed.

    Models keep their checksum.
    """

    def make(folder: Path) -> bytes:
        chunks = split((source or encoded(moving(8, 2, 4), effort=0))(folder))
        last = max(number for number, (name, _) in enumerate(chunks) if name == kind)
        chunks[last] = (kind, edit(chunks[last][1]))
        models = next(content for name, content in chunks if name == spec.MODELS)
        for number, (name, content) in enumerate(chunks):
            if name == spec.DATA:
                crc = struct.pack("<I", zlib.crc32(models[spec.MODELS_BYTES :]))
                chunks[number] = (name, content[:52] + crc + content[56:])
        return reindexed(forged(chunks))

    return make


def models_unlike(_: Path) -> bytes:
    """A chunk that says it was made with other models."""
    return edited(encoded_small(_), spec.DATA, lambda content: content[:52] + b"\1\2\3\4" + content[56:])


def encoded_small(folder: Path) -> bytes:
    return encoded(moving(8, 2, 4), effort=0)(folder)


def many_dtypes() -> dict[str, np.ndarray]:
    """A tensor of each type that is kept without loss, with values at both ends of it."""
    found: dict[str, np.ndarray] = {"float32": np.arange(24, dtype=np.float32).reshape(6, 4)}
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        limits = np.iinfo(name)
        found[name] = np.array([limits.min, 0, 1, 2, limits.max], name)
    found["bool"] = np.array([True, False, True])
    found["float64"] = np.array([0.1, -0.0, np.inf, 5e-324])
    return found


def odd_floats(dtype: str) -> np.ndarray:
    """Every class of values: NaN with payloads, infinities, negative zero, subnormal ones."""
    width = np.dtype(dtype).itemsize
    bits = {
        2: [0x7E01, 0xFE02, 0x7C01, 0x7C00, 0xFC00, 0x8000, 0, 1, 0x8001, 0x3C00, 0x7BFF, 0xFBFF],
        4: [0x7FC00001, 0xFFC00002, 0x7F800001, 0x7F800000, 0xFF800000, 1 << 31, 0, 1, 0x80000001, 0x3F800000],
    }[width]
    return np.array(bits, f"<u{width}").view(dtype).reshape(-1, 2)


def holes(rows: int, tokens: int, channels: int) -> np.ndarray:
    """Rows with NaN, infinities, and a whole frame that is missing."""
    x = moving(rows, tokens, channels, 4).astype(np.float32)
    x[1, 0, 2], x[2, 1, 0], x[5] = np.nan, -np.inf, np.nan
    return x


def padded(rows: int, tokens: int, channels: int) -> np.ndarray:
    """Tokens of nothing but zeros behind others."""
    x = moving(rows, tokens, channels, 5)
    for row, count in enumerate(np.random.default_rng(5).integers(1, tokens, rows)):
        x[row, count:] = 0
    return x


def ragged(seed: int, channels: int = 8) -> list[np.ndarray]:
    counts = np.random.default_rng(seed).integers(0, 6, 24)
    every = moving(24, 6, channels, seed)
    return [row[:count] for row, count in zip(every, counts, strict=True)]


def put(rows: np.ndarray, name: str, value: int, at: int = 0) -> None:
    rows[name][at] = value


def chained(effort: int, seed: int = 0) -> Callable[[Path], bytes]:
    """A state dict: lossy matrices, exact vectors."""

    def source() -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {
            "layer.weight": rng.standard_normal((24, 16)).astype(np.float32) * 0.02,
            "layer.bias": rng.standard_normal(16).astype(np.float32),
            "head.weight": (rng.standard_normal((8, 24)) * 0.02).astype(np.float16),
        }

    return encoded(source, effort=effort, target_nmse=0.01)


def scaled(factor: float) -> Callable[[], np.ndarray]:
    return lambda: (moving(16, 3, 6, 6).astype(np.float32) * np.float32(factor)).astype(np.float32)
