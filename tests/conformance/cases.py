"""What the test vectors are, and what readers must make of each.

Only `make_vectors` runs these; tests read the files. A vector is permanent: what is wrong with one is told by another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embdc_cli.container import spec
from tests.conformance.making import (
    appended,
    beside,
    bfloat,
    bomb,
    chained,
    chunk_put,
    clock_edited,
    codebook_bytes,
    concatenated,
    content_edited,
    cut,
    deep,
    encoded,
    encoded_small,
    flip,
    flipped,
    head_edited,
    holes,
    index_edited,
    joined,
    many_dtypes,
    models_unlike,
    moving,
    nested,
    nested_damaged,
    network_codebook,
    odd_floats,
    odd_summary,
    odd_vectors,
    of_two_versions,
    oversized,
    padded,
    payload_edited,
    places_of_tokens,
    plain,
    put,
    ragged,
    record_edited,
    rectified,
    scaled,
    still,
    transform_edited,
    two_kinds,
    vector_codebook,
    versioned,
    weighted,
    with_chunk_twice,
    with_codebook,
    with_network,
    with_vector_codebook,
    without_chunk,
    written,
)

Exits = tuple[int, int, int]
"""Exit status of inspect, verify and decode."""


@dataclass(frozen=True)
class Case:
    """about: in a line. make: the archive's bytes, given an empty folder.

    exits: what embdc must say. beside: a codebook that lies beside the archive. levels: how many code levels are read
    by themselves as well. since: what embdc says by now, where that has changed since the vector was made.
    """

    about: str
    make: Callable[[Path], bytes]
    exits: Exits = (0, 0, 0)
    beside: Callable[[], bytes] | None = None
    levels: int | None = None
    since: Exits | None = None


OK, INCOMPLETE, CORRUPT, NEWER = (0, 0, 0), (3, 3, 3), (5, 5, 5), (6, 6, 6)
DAMAGED, SEEN_LATE = (0, 5, 5), (0, 5, 0)
"""Damage that opening does not touch: decoding does, or does not either."""
MIXED = (3, 5, 3)
"""The header decides which version a part is of; what says another is damaged."""
INSIDE = (0, 0, 5)
"""All chunks are whole; what one of them says is not."""

_x = moving(80, 8, 12)
_grid = moving(16, 12, 8, 7).reshape(16, 3, 4, 8)
_white = np.random.default_rng(8).standard_normal((96, 24)).astype(np.float32)
_noise = np.random.default_rng(6).normal(0, 2.0 ** np.arange(0, -3, -0.25), (20, 3, 4, 12)).astype(np.float32)
_large_and_small = moving(24, 6, 12) * np.exp2(np.arange(24 * 6) % 7 - 3).reshape(24, 6, 1).astype(np.float16)
_vectors = encoded(moving(8, 6, 8), codec="vq", target_cosine=0.99)
_edges = np.cumsum(np.random.default_rng(1).integers(30, 50, 13))

CASES: dict[str, Case] = {
    # lossless
    "minimal": Case("one row of one float", encoded(np.ones((1, 1), np.float32), lossless=True)),
    "lossless-stored": Case(
        "method 0: noise",
        lambda _: written(
            {"data": np.random.default_rng(0).integers(0, 65536, (4, 4, 3), np.uint16).view(np.float16)}, 4
        ),
    ),
    "lossless-zstd": Case("method 1: repeated rows", encoded(np.tile(moving(1, 2, 6), (12, 1, 1)), lossless=True)),
    "lossless-planes": Case(
        "method 2: rows without order",
        encoded(np.random.default_rng(2).standard_normal((24, 4, 8)).astype(np.float32), lossless=True),
    ),
    "lossless-delta": Case(
        "method 3: rows that change slowly",
        encoded(np.linspace(0, 1, 640).reshape(80, 1, 8).astype(np.float32), lossless=True),
    ),
    "lossless-zeros": Case(
        "planes and elements that are all zero", encoded(np.zeros((4, 2, 3), np.float16), lossless=True)
    ),
    "lossless-bfloat16": Case("bfloat16", encoded(lambda: bfloat(moving(12, 2, 6)), lossless=True)),
    "lossless-float16-odd": Case("NaN, infinities, -0.0 of float16", encoded(odd_floats("float16"), lossless=True)),
    "lossless-float32-odd": Case("NaN, infinities, -0.0 of float32", encoded(odd_floats("float32"), lossless=True)),
    "lossless-dtypes": Case("a tensor of every type", encoded(many_dtypes, lossless=True)),
    "lossless-no-rows": Case("T = 0", encoded(np.zeros((0, 4, 6), np.float16), lossless=True)),
    "lossless-no-tokens": Case("N = 0", encoded(np.zeros((3, 0, 6), np.float16), lossless=True)),
    "lossless-scalar": Case(
        "tensors without axes and with one",
        encoded({"scalar": np.float32(1.5), "vector": np.arange(5, dtype=np.float32)}, lossless=True),
    ),
    "lossless-ragged": Case("token counts differ, some are 0", encoded(lambda: ragged(1), lossless=True)),
    "lossless-grid": Case("axes t,h,w,c", encoded(moving(8, 12, 4).reshape(8, 3, 4, 4), lossless=True)),
    # transform
    "transform-effort-0": Case("KLT, DCT, dead zone, planes", encoded(_x, effort=0)),
    "transform-effort-1": Case("mixture of KLTs, rounding by rate", encoded(_x, effort=1)),
    "transform-effort-2": Case("mixture of KLTs, trellis", encoded(_x, effort=2)),
    "transform-effort-3": Case("mixture of KLTs, trellis, harder", encoded(_x, effort=3)),
    "transform-modes-1": Case(
        "several modes, numbers and matches", encoded(two_kinds(130, 16, 8, 3), effort=1, target_cosine=0.99)
    ),
    "transform-modes-2": Case(
        "several modes under a trellis", encoded(two_kinds(130, 16, 8, 3), effort=2, target_cosine=0.95)
    ),
    "transform-near-lossless": Case(
        "high rates: shifted classes, escapes", encoded(moving(24, 4, 8), effort=1, target_nmse=1e-6)
    ),
    "transform-near-lossless-trellis": Case(
        "high rates under a trellis", encoded(moving(24, 4, 8), effort=2, target_nmse=1e-6)
    ),
    "transform-near-lossless-0": Case("high rates in planes", encoded(moving(24, 4, 8), effort=0, target_nmse=1e-6)),
    "transform-coarse": Case("nearly nothing is left", encoded(_x, effort=0, target_nmse=0.9)),
    "transform-large-block": Case("a block with extents", encoded(still(64, 128, 12), effort=1, target_nmse=0.05)),
    "transform-large-block-trellis": Case(
        "a block with extents under a trellis", encoded(still(64, 128, 12, 1), effort=2, target_nmse=0.05)
    ),
    "transform-short-group": Case("a last group that is short", encoded(moving(45, 4, 8), effort=0, chunk_frames=24)),
    "transform-chunks": Case("several chunks and a short one", encoded(moving(50, 4, 8), effort=1, chunk_frames=16)),
    "transform-one-row": Case("T = 1", encoded(moving(1, 8, 6), effort=1)),
    "transform-no-rows": Case("T = 0", encoded(np.zeros((0, 4, 6), np.float16), effort=1)),
    "transform-one-channel": Case("D = 1", encoded(moving(24, 6, 4)[..., :1], effort=1)),
    "transform-one-token": Case("N = 1, axes t,c", encoded(moving(40, 1, 12)[:, 0], effort=1)),
    "transform-float32": Case("float32", encoded(_x[:40].astype(np.float32), effort=1)),
    "transform-bfloat16": Case("bfloat16", encoded(lambda: bfloat(_x[:40]), effort=1)),
    "transform-grid": Case("axes t,h,w,c", encoded(moving(16, 12, 6).reshape(16, 3, 4, 6), effort=1)),
    "transform-channels-first": Case(
        "a channel axis that is not the last",
        encoded(np.ascontiguousarray(moving(16, 12, 6).swapaxes(1, 2)), axes="t,c,n", effort=1),
    ),
    "transform-special": Case(
        "two token groups",
        encoded(np.concatenate([5 + moving(40, 1, 8, 1), moving(40, 9, 8)], axis=1), special_tokens="1", effort=1),
    ),
    "transform-ragged": Case("token counts differ, some are 0", encoded(lambda: ragged(2), effort=1)),
    "transform-ragged-0": Case("token counts differ, planes", encoded(lambda: ragged(3), effort=0)),
    "transform-constant": Case(
        "constant channels, kept exactly",
        encoded(np.concatenate([moving(40, 4, 6), np.full((40, 4, 2), 0.3, np.float16)], axis=2), effort=0),
    ),
    "transform-nonfinite": Case("NaN and infinities are kept", encoded(holes(24, 4, 6), nonfinite="keep", effort=1)),
    "transform-padding": Case("tokens of zeros stay zeros", encoded(padded(24, 8, 6), effort=1)),
    "transform-sparse": Case("sticky codes under contexts in time", encoded(rectified(40, 12, 8), effort=1)),
    "transform-sparse-fine": Case(
        "sticky codes with escapes", encoded(rectified(20, 12, 8, 1), effort=1, target_nmse=1e-5)
    ),
    "transform-sparse-signed": Case(
        "sticky codes of both signs",
        encoded(rectified(30, 9, 8, 2) * np.array([1, -1, 1, 1, -1, 1, 1, 1], np.float16), effort=1),
    ),
    "transform-sparse-long": Case(
        "contexts whose tables are renewed", encoded(rectified(64, 16, 24, 3), effort=1, target_nmse=0.2)
    ),
    "transform-sparse-renewed": Case(
        "contexts whose tables are renewed more than once",
        encoded(rectified(64, 24, 32, 3), effort=1, target_nmse=0.05),
    ),
    "transform-trellis-noise": Case(
        "points next to zero",
        encoded(np.random.default_rng(4).standard_normal((64, 8, 4)).astype(np.float32), effort=2),
    ),
    "transform-modes-fine": Case(
        "several modes with means that matter", encoded(two_kinds(66, 16, 8, 3), effort=2, target_nmse=1e-3)
    ),
    "transform-identity": Case(
        "channels as they are",
        encoded(np.random.default_rng(9).standard_normal((2, 4, 24)).astype(np.float16), effort=0, target_nmse=0.1),
    ),
    "transform-weighting-channel": Case(
        "scales of channels", encoded(_x[:40] * np.float16(2.0 ** np.arange(-6, 6)), effort=0, weighting="channel")
    ),
    "transform-weighting-token": Case("scales of tokens", encoded(_x[:40], effort=1, weighting="token")),
    "transform-weighting-vector": Case("a metric of scales", weighted("vector")),
    "transform-weighting-matrix": Case("a basis that is not orthogonal", weighted("matrix")),
    "transform-large-values": Case("values in units of a power of two", encoded(scaled(1e30), effort=1)),
    "transform-small-values": Case("values in units of a power of two", encoded(scaled(1e-30), effort=0)),
    "transform-saturated": Case(
        "values at the limit of float16",
        encoded(
            np.clip(moving(24, 4, 6).astype(np.float32) * 2e4, -65504, 65504).astype(np.float16),
            effort=0,
            target_nmse=0.05,
        ),
    ),
    "transform-wide": Case(
        "a channel axis that is folded",
        encoded(np.random.default_rng(7).standard_normal((2, 8194)).astype(np.float16), effort=0, target_nmse=0.9),
    ),
    "transform-tensors": Case("a state dict: lossy matrices, exact vectors", chained(1)),
    "codebook-external": Case(
        "basis of a codebook beside the archive", with_codebook(1, embed="no", effort=0), beside=codebook_bytes(1)
    ),
    "codebook-external-mixture": Case(
        "a mode on the axes of a codebook", with_codebook(2, embed="no", effort=2), beside=codebook_bytes(2)
    ),
    "codebook-embedded": Case(
        "basis and tables of a codebook inside", with_codebook(3, embed="yes", effort=1, tables=True)
    ),
    "codebook-missing": Case("a codebook that is not here", with_codebook(11, embed="no", effort=0), (0, 0, 6)),
    "video-h264": Case("samples in H.264", encoded(moving(8, 16, 12), codec="h264", rotation="klt")),
    "video-hevc": Case("samples in H.265, rotated", encoded(moving(8, 16, 12), codec="hevc", rotation="hadamard")),
    "video-av1": Case(
        "samples in AV1, frame from frame", encoded(moving(8, 16, 12), codec="av1", rotation="none", inter="on")
    ),
    "video-plane": Case(
        "a matrix in H.265, cut into strips",
        encoded(moving(1, 300, 12)[0].astype(np.float32), codec="hevc", rotation="none"),
    ),
    # a mixture of single rows
    "axes-effort-1": Case("rows that have nothing in common, rounding by rate", encoded(_white, effort=1)),
    "axes-effort-2": Case("rows that have nothing in common, trellis", encoded(_white, effort=2)),
    # a network of a codebook
    "network-vq": Case(
        "a network after a vector quantiser, chunks of three rows and of one",
        with_network(1, 2, 5, moving(7, 9, 24), embed="no", codec="vq", target_nmse=0.05, chunk_frames=3),
        beside=lambda: network_codebook(1, 2, 5).file_bytes,
        levels=1,
    ),
    "network-mixture": Case(
        "a network after a mixture, that looks at one row on each side",
        with_network(2, 1, 8, moving(16, 4, 24), embed="no", effort=1, target_nmse=0.1),
        beside=lambda: network_codebook(2, 1, 8).file_bytes,
    ),
    "network-planes": Case(
        "a network after a transform in time, that looks at four rows on each side, two token groups",
        with_network(
            3, 4, 3, moving(15, 4, 24), embed="yes", effort=0, target_nmse=0.1, chunk_frames=12, special_tokens="1"
        ),
    ),
    "network-missing": Case(
        "a codebook with a network that is not here",
        with_network(4, 2, 4, moving(7, 9, 24), embed="no", codec="vq", target_nmse=0.2),
        (0, 0, 6),
    ),
    # vector quantisation
    "vq-coarse": Case("few code levels, a grid", encoded(_grid, codec="vq", target_cosine=0.8)),
    "vq-fine": Case(
        "many code levels, a grid and a short chunk",
        encoded(_noise, codec="vq", target_nmse=0.02, chunk_frames=8),
        levels=3,
    ),
    "vq-learnt": Case(
        "code levels of its own", encoded(places_of_tokens(64, 20, 12), codec="vq", target_cosine=0.98), levels=1
    ),
    "vq-still": Case(
        "codes that are kept from row to row", encoded(still(40, 10, 12), codec="vq", target_cosine=0.97), levels=1
    ),
    "vq-special": Case(
        "two token groups",
        encoded(
            np.concatenate([5 + moving(40, 1, 8, 1), moving(40, 9, 8)], axis=1),
            codec="vq",
            special_tokens="1",
            target_cosine=0.95,
        ),
        levels=1,
    ),
    "vq-exact": Case(
        "NaN and infinities are kept", encoded(holes(24, 4, 6), codec="vq", nonfinite="keep", target_cosine=0.95)
    ),
    "vq-weighting": Case("scales of tokens", encoded(_x[:40], codec="vq", weighting="token", target_cosine=0.97)),
    "vq-ragged": Case("token counts differ, some are 0", encoded(lambda: ragged(2), codec="vq", target_cosine=0.97)),
    "vq-no-rows": Case("T = 0", encoded(np.zeros((0, 4, 6), np.float16), codec="vq")),
    "vq-odd": Case(
        "code levels of every kind, to the last digit",
        odd_vectors([37, 41, 23, 9, 1, -7, -31, -130, 39, 38, 33, 34, 7, 6, 5, 4, 40, 27, 3, -2], 14),
        levels=16,
    ),
    "vq-order": Case(
        "blocks whose variances are nearly a third of each other",
        odd_vectors([*[40] * 8, *[36, 37] * 4, *[37] * 8], 6, 0),
        levels=3,
    ),
    "vq-gains": Case(
        "tokens much larger than others; the code level of gains is the last of those read alone",
        encoded(_large_and_small, codec="vq", target_nmse=0.02),
        levels=1,
    ),
    "vq-gains-odd": Case(
        "gains of every kind, to the last digit",
        odd_vectors([37, 41, 23, 9, 1, -7, -31, -130, 39, 38, 33, 34, 7, 6, 5, 4, 40, 27, 3, -2], 14, 2, 5.0),
        levels=5,
    ),
    "vq-codebook-external": Case(
        "code levels of a codebook beside the archive",
        with_vector_codebook(1, embed="no"),
        beside=lambda: vector_codebook(1).file_bytes,
        levels=1,
    ),
    "vq-codebook-embedded": Case("code levels of a codebook inside", with_vector_codebook(2, embed="yes"), levels=2),
    "vq-codebook-missing": Case(
        "a codebook with code levels that is not here", with_vector_codebook(12, embed="no"), (0, 0, 6)
    ),
    "vq-level-damaged": Case(
        "the last code level is damaged, the first ones are whole",
        transform_edited(spec.DATA, lambda content: flip(content, len(content) - 2), _vectors),
        INSIDE,
        levels=1,
    ),
    "vq-sizes-damaged": Case(
        "sizes of code levels that are damaged",
        transform_edited(spec.DATA, lambda content: flip(content, spec.DATA_BYTES + 4), _vectors),
        INSIDE,
    ),
    "vq-level-trailing": Case(
        "bytes behind the last code level",
        transform_edited(spec.DATA, lambda content: content + b"\0", _vectors),
        INSIDE,
    ),
    "vq-planes": Case(
        "a vector quantiser without indices",
        transform_edited(spec.MODELS, lambda content: content.replace(b"\x87\x01\x01", b"\x80\x01\x01"), _vectors),
        INSIDE,
    ),
    # containers
    "plain": Case("what the damaged ones below were", lambda _: plain()),
    "times-constant": Case(
        "rows of equal duration", lambda _: written({"data": moving(12, 1, 4)[:, 0]}, 5, edges=np.arange(13) * 40)
    ),
    "times-variable": Case(
        "rows of unequal duration", lambda _: written({"data": moving(12, 1, 4)[:, 0]}, 5, edges=_edges)
    ),
    "checkpoints": Case(
        "indexes on the way",
        lambda _: written({"data": moving(24, 1, 4)[:, 0], "more": moving(24, 1, 2)[:, 0]}, 2, checkpoint_every=5),
    ),
    "items-joined": Case("two items in one part", joined("items", lossless=True)),
    "beside": Case("streams that go by the clock of another item", beside(), since=OK),
    "beside-joined": Case("two archives of such streams as items", beside("items"), since=OK),
    "clock-of-itself": Case("an item by its own clock", clock_edited(1, 1), CORRUPT),
    "clock-of-a-later": Case("an item by the clock of one behind it", clock_edited(1, 2), CORRUPT),
    "clock-of-a-clock": Case("an item by the clock of one that has none", clock_edited(2, 1), CORRUPT),
    "time-joined": Case("one longer stream of two, with the models of both", joined("time", effort=0)),
    "concatenated": Case("two archives as bytes", concatenated),
    "appended": Case("a part behind a part", appended),
    "appended-to-draft": Case("a part of version 1 behind one of the draft", of_two_versions),
    "nested": Case("an archive inside a payload, under a mask", lambda _: nested()),
    "ancillary-chunk": Case("a chunk that may be skipped", chunk_put(b"xTRA")),
    "json-plain": Case(
        "JSON that is not packed",
        lambda _: (Path(__file__).parents[1] / "container" / "plain_json.embdc").read_bytes(),
        (0, 0, 5),
    ),
    # cut
    "cut-no-tail": Case("without end matter", cut(spec.DIGESTS), INCOMPLETE),
    "cut-in-tail": Case("in the tail", cut(spec.TAIL, 50), INCOMPLETE),
    "cut-in-data": Case("in the third DATA chunk", cut(spec.DATA, 60, 2), INCOMPLETE),
    "cut-in-chunk-header": Case("in a chunk header", cut(spec.DATA, 12, 3), INCOMPLETE),
    "cut-before-data": Case("behind the header", cut(spec.DATA), INCOMPLETE),
    "cut-in-header": Case("in the header", cut(spec.HEAD, 80), CORRUPT),
    "cut-to-nothing": Case("no bytes", lambda _: b"", CORRUPT),
    # damaged
    "flip-signature": Case("a bit of the signature", lambda _: flip(plain(), 3), SEEN_LATE),
    "flip-version": Case("a bit of the version", lambda _: flip(plain(), 11), SEEN_LATE),
    "flip-version-to-draft": Case("a bit that makes version 1 the draft", lambda _: flip(plain(), 11, 0), SEEN_LATE),
    "flip-header": Case("a bit of HEAD", flipped(spec.HEAD, 70), CORRUPT),
    "flip-chunk-header": Case("a bit of a chunk header", flipped(spec.DATA, 21, 1), DAMAGED),
    "flip-sync": Case("a bit of the mark of a chunk", flipped(spec.DATA, 2, 1), DAMAGED),
    "flip-payload": Case("a bit of a payload", flipped(spec.DATA, 100, 1), DAMAGED),
    "flip-models": Case(
        "a bit of MODL", lambda folder: flip(data := encoded_small(folder), data.index(b"MODL") + 70), DAMAGED
    ),
    "flip-digests": Case("a bit of dGST", flipped(spec.DIGESTS, 50), SEEN_LATE),
    "flip-summary": Case("a bit of sUMM", flipped(spec.SUMMARY, 45), SEEN_LATE),
    "flip-index": Case("a bit of iNDX", flipped(spec.INDEX, 60), SEEN_LATE),
    "flip-tail": Case("a bit of tAIL", flipped(spec.TAIL, 60), INCOMPLETE),
    "chunk-missing": Case("a chunk is cut out", without_chunk, (3, 5, 5)),
    "chunk-twice": Case("a chunk stands there twice", with_chunk_twice, (3, 5, 3)),
    "nested-damaged": Case("a bit of the header of a chunk that holds an archive", nested_damaged, DAMAGED),
    # refused
    "not-an-archive": Case("some other file", lambda _: b"PK\x03\x04" + bytes(100), CORRUPT),
    "length-oversized": Case("a chunk that promises 2^40 bytes", oversized, DAMAGED),
    "index-kind": Case("an index that lies about a kind", index_edited(lambda t: put(t.data, "kind", 1)), DAMAGED),
    "index-overlap": Case(
        "an index of chunks that overlap", index_edited(lambda t: put(t.chunks, "content", 24, 1)), SEEN_LATE
    ),
    "index-rows-overlap": Case(
        "an index of rows that overlap", index_edited(lambda t: put(t.data, "row0", 2, 1)), SEEN_LATE
    ),
    "index-length": Case(
        "an index that lies about a length", index_edited(lambda t: put(t.chunks, "content", 4000, 2)), SEEN_LATE
    ),
    "index-quality": Case("an index that lies about an error", index_edited(lambda t: put(t.data, "mse", 9)), DAMAGED),
    "critical-chunk": Case("a critical chunk that nobody knows", chunk_put(b"XTRA"), NEWER),
    "critical-chunk-of-a-code": Case("one that has a code in the index", chunk_put(b"XTRA", code=12), NEWER),
    "json-bomb": Case("packed JSON that grows too much", bomb, CORRUPT),
    "json-deep": Case("JSON nested too deeply", deep, CORRUPT),
    "json-unordered": Case(
        "JSON that is not canonical", content_edited(spec.SUMMARY, lambda _: b'{"b":1,"a":1}'), SEEN_LATE
    ),
    "summary-odd": Case("a summary of other types", content_edited(spec.SUMMARY, lambda _: odd_summary())),
    "json-trailing": Case(
        "bytes behind packed JSON",
        content_edited(spec.SUMMARY, lambda content: content + b"\0" if content[:1] == b"\1" else content + b" "),
        SEEN_LATE,
    ),
    "shape-huge": Case(
        "rows of 2^96 values",
        head_edited(lambda head: head["streams"][0].update(row_shape=[(1 << 32) - 1] * 3)),
        (3, 5, 3),
    ),
    "chunk-expands": Case(
        "rows of more values than so few bytes may be",
        head_edited(
            lambda head: (
                head["streams"][0].update(row_shape=[1 << 21, 3]),
                head["limits"].update(max_chunk_values=1 << 30),
            )
        ),
        (3, 5, 3),
    ),
    "limits-too-large": Case(
        "limits beyond the caps", head_edited(lambda head: head["limits"].update(max_chunk_values=1 << 40)), NEWER
    ),
    "rows-promised": Case(
        "fewer rows than the header says",
        head_edited(lambda head: head["streams"][0].update(rows=13)),
        SEEN_LATE,
        since=(0, 5, 3),
    ),
    "version-newer": Case(
        "version 1 in the header of a draft", head_edited(lambda head: head.update(version=[1, 0])), NEWER, since=MIXED
    ),
    "version-2": Case("a later format version", versioned(2, 2, 2), NEWER),
    "version-2-header": Case("a later format version in the header alone", versioned(1, 2, 1), NEWER),
    "version-2-tail": Case("a later format version in the tail alone", versioned(1, 1, 2), NEWER),
    "version-draft-header": Case("the draft in the header alone", versioned(1, 0, 1), MIXED),
    "version-draft-signature": Case("the draft in the signature alone", versioned(0, 1, 1), SEEN_LATE),
    "version-draft-tail": Case("the draft in the tail alone, as if there were none", versioned(1, 1, 0), INCOMPLETE),
    "reader-newer": Case("a later reader is needed", head_edited(lambda head: head.update(min_reader=1)), NEWER),
    "feature-unknown": Case(
        "a feature that nobody knows", head_edited(lambda head: head.update(features=["x"])), NEWER
    ),
    "dtype-unknown": Case(
        "an element type that nobody knows", head_edited(lambda head: head["streams"][0].update(dtype="float8")), NEWER
    ),
    "kind-unknown": Case("a codec that nobody knows", record_edited(2, "<H", 99), (0, 0, 6)),
    "method-unknown": Case(
        "a lossless method that nobody knows", payload_edited(lambda data: b"\x09" + data[1:]), (0, 0, 6)
    ),
    "payload-short": Case(
        "a lossless payload that is too short", payload_edited(lambda data: b"\0" + data[1:-2]), INSIDE
    ),
    "payload-bomb": Case(
        "zstd of more than the chunk has",
        payload_edited(lambda _: b"\1" + bytes.fromhex("28b52ffd60ff0055000010000000010000") + bytes(8)),
        INSIDE,
    ),
    "symbols-wrong": Case("integers of another checksum", record_edited(20, "<I", 1234567), INSIDE),
    "models-of-another": Case("models of another checksum", models_unlike, DAMAGED),
    "stage-unknown": Case(
        "a stage that nobody knows",
        transform_edited(spec.MODELS, lambda content: content[:9] + b"\x7f" + content[10:]),
        (0, 0, 6),
    ),
    "stage-version-newer": Case(
        "a later version of a stage",
        transform_edited(spec.MODELS, lambda content: content[:12] + b"\2" + content[13:]),
        (0, 0, 6),
    ),
    "stage-version-huge": Case(
        "a version of a stage that takes 41 bits",
        transform_edited(spec.MODELS, lambda content: content[:12] + bytes([128] * 5) + b"\x20" + content[13:]),
        (0, 0, 6),
    ),
    "stage-lossless": Case(
        "a stage of lossless coding in a transform",
        transform_edited(spec.MODELS, lambda content: content[:11] + b"\x41" + content[12:]),
        INSIDE,
    ),
    "stage-lossless-newer": Case(
        "a later version of a stage of lossless coding in a transform",
        transform_edited(spec.MODELS, lambda content: content[:11] + b"\x41\2" + content[13:]),
        (0, 0, 6),
    ),
    "models-trailing": Case(
        "bytes behind the models", transform_edited(spec.MODELS, lambda content: content + b"\0"), INSIDE
    ),
    "codes-trailing": Case(
        "bytes behind the codes", transform_edited(spec.DATA, lambda content: content + b"\0"), INSIDE
    ),
    "codes-cut": Case("codes that are cut", transform_edited(spec.DATA, lambda content: content[:-3]), INSIDE),
}
