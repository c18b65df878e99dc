"""Search by codes finds what a search through the decoded values finds, in archives of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli import errors
from embdc_cli.archive import Archive
from embdc_cli.cli.app import main
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.vq.scores import CodedTokens, cpu, reference
from embdc_cli.options import METRICS
from embdc_cli.stream_view import StreamView
from embdc_cli.tokens import as_tokens

RNG = np.random.default_rng(8)


def smooth(rows: int, tokens: int, channels: int, seed: int = 0) -> np.ndarray:
    """(rows, tokens, channels) float32: slow in time, a few strong directions, a mean that is far from zero."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((channels, channels)) / np.arange(1, channels + 1)[:, None]
    walk = rng.standard_normal((rows, tokens, channels)).cumsum(axis=0) + 3 * rng.standard_normal((tokens, channels))
    return (walk @ mixing + 4 * rng.standard_normal(channels)).astype(np.float32)


def padded() -> np.ndarray:
    x = smooth(20, 12, 16, 4).astype(np.float16)
    for row in range(20):
        x[row, 4 + row % 9 :] = 0
    return x


def with_holes() -> np.ndarray:
    x = padded()
    x[3, 1, 5], x[7, 2, 0], x[7, 3, 1] = np.nan, np.inf, -np.inf
    return x


def constant() -> np.ndarray:
    x = smooth(24, 9, 16, 6)
    x[..., 3], x[..., 9] = 7.25, 0
    return x


def still() -> np.ndarray:
    return np.tile(smooth(1, 6, 8, 7), (10, 1, 1))


METRIC = smooth(1, 10, 10, 11)[0].astype(np.float64)
"""A projector (K, D), under whose metric the basis is not orthonormal."""
RAGGED = [smooth(1, count, 12, count)[0] for count in (5, 1, 0, 9, 30, 7, 2, 11)]
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "float32": (smooth(40, 9, 24), {}),
    "float16": (smooth(30, 7, 24).astype(np.float16), {"chunk_frames": 8}),
    "bfloat16": (torch.from_numpy(smooth(30, 7, 16)).bfloat16(), {"chunk_frames": 8}),
    "one channel": (smooth(50, 3, 1), {}),
    "one token": (smooth(200, 1, 20)[:, 0], {}),
    "one row": (smooth(1, 30, 12), {}),
    "many tokens": (smooth(2, 5000, 8), {}),
    "grid": (smooth(20, 12, 16).reshape(20, 3, 4, 16), {}),
    "channels first": (np.moveaxis(smooth(20, 12, 16).reshape(20, 3, 4, 16), -1, 1).copy(), {"axes": "t,c,h,w"}),
    "special tokens": (smooth(30, 17, 16), {"special_tokens": "auto", "chunk_frames": 7}),
    "padded": (padded(), {}),
    "holes": (with_holes(), {"nonfinite": "keep"}),
    "padded special tokens": (padded(), {"special_tokens": "2"}),
    "ragged": (RAGGED, {"chunk_frames": 3}),
    "token scales": (smooth(30, 8, 16), {"weighting": "token"}),
    "channel scales": (smooth(30, 8, 16) * np.geomspace(0.01, 30, 16).astype(np.float32), {"weighting": "channel"}),
    "a metric": (smooth(200, 20, 10), {"weighting": METRIC, "effort": 0, "target_nmse": 0.3}),
    "constant channels": (constant(), {}),
    "constant": (still(), {}),
    "large": (smooth(20, 6, 12) * np.float32(2.0**70), {}),
    "small": (smooth(20, 6, 12) * np.float32(2.0**-70), {}),
    "segments": ([smooth(40, 9, 12, 1), 50 * smooth(30, 9, 12, 2)], {"chunk_frames": 8}),
    "several streams": ({"a": smooth(20, 6, 12), "b": smooth(9, 4, 12, 1), "other": smooth(9, 4, 7, 1)}, {}),
    "lossless": (smooth(20, 6, 12), {"lossless": True}),
    "transform": (smooth(20, 6, 12), {"codec": "transform", "effort": 0, "chunk_frames": 8}),
}
BY_CODES = {name for name in CASES if name not in ("lossless", "transform")}


def encoded(folder: Path, value: Any, options: dict[str, Any], name: str = "a") -> str:
    rate = {} if options.get("lossless") else {"target_nmse": 0.05}
    if name == "a" and isinstance(value, list) and len(value) == 2:  # joined, each with models of its own
        parts = [encoded(folder, part, options, f"part{number}") for number, part in enumerate(value)]
        embdc.cat(parts, folder / "a.embdc")
        return str(folder / "a.embdc")
    if not isinstance(options.get("weighting", ""), str):
        np.save(folder / "weighting.npy", options["weighting"])
        options = options | {"weighting": folder / "weighting.npy"}
    defaults = {"codec": "vq"} | rate if rate else {}
    embdc.encode(value, folder / f"{name}.embdc", **defaults | options)
    return str(folder / f"{name}.embdc")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Archive]:
    value, options = CASES[request.param]
    return request.param, embdc.open(encoded(tmp_path_factory.mktemp("search"), value, options))


def vectors_of(view: StreamView, *, pooled: bool) -> tuple[np.ndarray, list[tuple[int, int | None]]]:
    """(decoded vectors (n, D) float64, (frame, token) of each)."""
    found, labels = [np.zeros((0, view.spec.channels))], []
    counts = view.token_counts
    for row in range(view.spec.known_rows):
        tokens = as_tokens(view.read(row, row + 1), view.spec).astype(np.float64)
        assert counts is None or len(tokens) == counts[row]
        if pooled:
            found += [tokens.mean(axis=0, keepdims=True)] if len(tokens) else []
            labels += [(row, None)] if len(tokens) else []
        else:
            found.append(tokens)
            labels += [(row, token) for token in range(len(tokens))]
    return np.concatenate(found), labels


def scores_of(vectors: np.ndarray, query: np.ndarray, metric: str) -> np.ndarray:
    """(n,) from first principles."""
    if metric == "dot":
        return vectors @ query
    if metric == "l2":
        return ((vectors - query) ** 2).sum(axis=1)
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors @ query / np.where(lengths == 0, 1, lengths) / np.linalg.norm(query)


ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-21}


def check_hits(
    hits: list[dict[str, Any]], vectors: np.ndarray, labels: list[Any], query: np.ndarray, metric: str, dtype: str
) -> None:
    """The hits are the best of `vectors` by their scores, but for what rounding to the type of the archive changes."""
    finite = np.isfinite(vectors).all(axis=1)
    vectors, labels = vectors[finite], [label for label, known in zip(labels, finite, strict=True) if known]
    scores = scores_of(vectors, query, metric)
    lengths = np.linalg.norm(vectors, axis=1).max(initial=0.0), np.linalg.norm(query)
    unit = {"cosine": 1.0, "dot": lengths[0] * lengths[1], "l2": (lengths[0] + lengths[1]) ** 2}[metric]
    allowed = 2 * ROUNDING[dtype] * unit
    known = dict(zip(labels, scores, strict=True))
    assert len(hits) == min(10, len(labels))
    found = [known[hit["frame"], hit["token"]] for hit in hits]  # every one once, and none that is not finite
    assert len({(hit["frame"], hit["token"]) for hit in hits}) == len(hits)
    np.testing.assert_allclose([hit["score"] for hit in hits], found, rtol=0, atol=allowed)
    best = np.sort(scores)[: len(hits)] if metric == "l2" else np.sort(scores)[::-1][: len(hits)]
    np.testing.assert_allclose([hit["score"] for hit in hits], best, rtol=0, atol=2 * allowed)


@pytest.mark.parametrize("pooled", [False, True], ids=["tokens", "pooled"])
@pytest.mark.parametrize("metric", METRICS)
def test_hits_are_those_of_decoded_values(case: tuple[str, Archive], metric: str, pooled: bool) -> None:
    _, archive = case
    for view in map(archive.__getitem__, archive):
        vectors, labels = vectors_of(view, pooled=pooled)
        finite = vectors[np.isfinite(vectors).all(axis=1)]
        middle = finite[len(finite) // 2]
        query = (middle + 0.5 * (1 + abs(middle)) * RNG.standard_normal(vectors.shape[1])).astype(np.float32)
        found = view.search(query, metric=metric, pooled=pooled)
        check_hits(found["hits"], vectors, labels, query.astype(np.float64), metric, view.dtype)
        assert found["vectors"] == len(vectors)


def test_only_other_codecs_are_decoded(case: tuple[str, Archive]) -> None:
    name, archive = case
    for view in map(archive.__getitem__, archive):
        for entry, _ in view.pieces(range(view.spec.known_rows)):
            assert entry is not None
            tokens = archive.coded(view.stream, entry)[1]
            assert (tokens is not None) == (name in BY_CODES)


@pytest.mark.parametrize("name", ["float32", "special tokens", "segments", "token scales", "a metric"])
def test_scores_of_codes_are_those_of_values(tmp_path: Path, name: str) -> None:
    archive = embdc.open(encoded(tmp_path, *CASES[name]))
    view = archive["data"]
    segments = set()
    for entry, wanted in view.pieces(range(view.spec.known_rows)):
        assert entry is not None
        segments.add(entry.record.segment)
        groups = archive.coded(view.stream, entry)[1]
        assert groups is not None
        assert (groups[0].synthesis.gram.ndim == 2) == (name == "a metric")
        x = view.read(wanted.start, wanted.stop).astype(np.float64)
        special = len(groups[0].squares) // len(wanted) if len(groups) > 1 else 0
        parts = [x[:, :special], x[:, special:]] if special else [x]
        for tokens, part in zip(groups, parts, strict=True):
            check_sums(tokens, part)
    assert len(segments) == (2 if name == "segments" else 1)


def check_sums(tokens: CodedTokens, x: np.ndarray) -> None:
    flat = x.reshape(-1, x.shape[-1])
    queries = RNG.standard_normal((3, x.shape[-1]))
    lengths = np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(tokens.squares, lengths**2, rtol=3e-6)
    inner = tokens.inner(tokens.synthesis.tables(queries))
    assert np.abs(inner - flat @ queries.T).max() < 1e-6 * lengths.max() * np.linalg.norm(queries, axis=1).max()
    edges = np.arange(len(x) + 1) * x.shape[1]
    np.testing.assert_allclose(tokens.added(edges), x.sum(axis=1), atol=1e-5 * abs(flat).max() * x.shape[1])


def test_compiled_sums_are_those_of_the_definition(tmp_path: Path) -> None:
    archive = embdc.open(encoded(tmp_path, *CASES["float32"]))
    (entry, _), *_ = archive["data"].pieces(range(40))
    assert entry is not None
    (tokens,) = archive.coded(archive["data"].stream, entry)[1] or []
    packed, codes = tokens.synthesis.quantiser.packed, tokens.codes
    rank, count = tokens.synthesis.quantiser.rank, len(tokens.codes)
    edges, factors = np.array([0, 0, 7, 100, count]), RNG.standard_normal(count)
    quadratic, linear = RNG.standard_normal((2, rank))
    assert codes.any()
    for width in (1, 5):
        tables = RNG.standard_normal((codes.shape[1], 1 + packed.codewords.shape[1], width))
        tables[:, 0] = 0
        np.testing.assert_allclose(
            cpu.inner(codes, tables, packed.gain), reference.inner(codes, tables, packed.gain), atol=1e-9
        )
    for function, arguments in (("squares", (quadratic, linear)), ("added", (rank, edges, factors))):
        found, expected = (getattr(module, function)(codes, packed, *arguments) for module in (cpu, reference))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * abs(expected).max())


def test_codes_that_are_not_those_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = embdc.open(encoded(tmp_path, *CASES["float16"]))
    codes = TransformCodec.codes

    def other(*arguments: Any) -> Any:
        coded, record, crc = codes(*arguments)
        return coded, record, crc ^ 1

    monkeypatch.setattr(TransformCodec, "codes", other)
    with pytest.raises(errors.CorruptArchive, match="rows 0 to 8: decoded integers have checksum"):
        archive["data"].search(np.ones(24))


def test_codes_are_kept_from_one_search_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = embdc.open(encoded(tmp_path, *CASES["float16"]))
    first = archive["data"].search(np.ones(24))
    monkeypatch.setattr(archive.reader, "fetch", None)
    assert archive["data"].search(np.ones(24)) == first


def test_several_queries_are_as_many_searches(tmp_path: Path) -> None:
    view = embdc.open(encoded(tmp_path, *CASES["segments"]))["data"]
    queries = RNG.standard_normal((70, 12)).astype(np.float32)
    for found, query in zip(view.search(queries, 3)["queries"], queries, strict=True):
        alone = view.search(query, 3)["hits"]
        assert [hit["frame"] for hit in found["hits"]] == [hit["frame"] for hit in alone]
        assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit["score"] for hit in alone], rel=1e-9)


@pytest.mark.parametrize("name", ["constant", "padded", "lossless"])
def test_of_equals_the_first_are_taken(tmp_path: Path, name: str) -> None:
    value, options = CASES[name]
    view = embdc.open(encoded(tmp_path, np.tile(value[:1], (9, 1, 1)), options | {"chunk_frames": 4}))["data"]
    hits = view.search(np.ones(value.shape[-1]), 14)["hits"]
    order = [(-hit["score"], hit["frame"], hit["token"]) for hit in hits]
    assert order == sorted(order)
    for score in {hit["score"] for hit in hits[:-9]}:
        frames = [hit["frame"] for hit in hits if hit["score"] == score]
        assert frames[0] == 0


def test_archives_items_and_streams(tmp_path: Path) -> None:
    """Hits name where they are, a chunk of another codec among them."""
    parts = [encoded(tmp_path, smooth(12, 4, 8, seed), {}, str(seed)) for seed in range(2)]
    parts.append(encoded(tmp_path, smooth(12, 4, 8, 2), {"lossless": True}, "exact"))
    (tmp_path / "all.embdc").write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    paths = [str(tmp_path / "all.embdc"), encoded(tmp_path, {"z": smooth(5, 4, 8, 5), "w": smooth(5, 4, 6)}, {}, "z")]
    query = smooth(1, 1, 8, 9)[0, 0]
    found = embdc.search(paths, query, k=40, metric="l2")
    assert found["vectors"] == 3 * 48 + 20
    every = []
    for path in paths:
        archive = embdc.open(path)
        for view in map(archive.__getitem__, archive):
            if view.spec.channels == 8:
                vectors, labels = vectors_of(view, pooled=False)
                near = scores_of(vectors, query.astype(np.float64), "l2")
                every += [
                    (score, path, view.item.number, view.spec.name, *label)
                    for score, label in zip(near, labels, strict=True)
                ]
    best = sorted(every)[:40]
    names = ("archive", "item", "stream", "frame", "token")
    assert [tuple(hit[name] for name in names) for hit in found["hits"]] == [one[1:] for one in best]
    one = embdc.search(paths[0], query, k=40, metric="l2", item="1", frames="2:9:3")["hits"]
    wanted = [hit for hit in embdc.search(paths[0], query, k=144, metric="l2")["hits"] if hit["item"] == 1]
    assert one == [hit for hit in wanted if hit["frame"] in (2, 5, 8)]


def test_times_of_rows(tmp_path: Path) -> None:
    starts = np.arange(12) / 4
    np.savez(tmp_path / "a.npz", clip=smooth(12, 4, 8), timestamps=starts)
    embdc.encode(tmp_path / "a.npz", tmp_path / "a.embdc", codec="vq", target_nmse=0.1)
    hits = embdc.search(tmp_path / "a.embdc", np.ones(8), stream="clip")["hits"]
    assert [hit["time"] for hit in hits] == [starts[hit["frame"]] for hit in hits]
    late = embdc.search(tmp_path / "a.embdc", np.ones(8), stream="clip", time="1s..2s")["hits"]
    assert {hit["frame"] for hit in late} <= {4, 5, 6, 7}
    assert embdc.search(encoded(tmp_path, smooth(5, 2, 8), {}, "b"), np.ones(8))["hits"][0]["time"] is None


def test_jobs_change_nothing(tmp_path: Path) -> None:
    path = encoded(tmp_path, *CASES["segments"])
    queries = smooth(40, 1, 12, 3)[:, 0]
    assert embdc.search(path, queries, jobs=3) == embdc.search(path, queries)


def test_rescored_hits_have_the_scores_of_the_original(tmp_path: Path) -> None:
    x = smooth(60, 9, 24)
    np.save(tmp_path / "x.npy", x)
    path = encoded(tmp_path, tmp_path / "x.npy", {})
    query = x[30, 4] + 0.1
    for pooled in (False, True):
        vectors = x.mean(axis=1, dtype=np.float64) if pooled else x.reshape(-1, 24).astype(np.float64)
        scores = scores_of(vectors, query.astype(np.float64), "l2")
        hits = embdc.search(path, query, metric="l2", pooled=pooled, rescore=tmp_path / "x.npy")["hits"]
        at = [hit["frame"] * (1 if pooled else 9) + (hit["token"] or 0) for hit in hits]
        np.testing.assert_allclose([hit["score"] for hit in hits], scores[at], rtol=1e-12)
        assert [hit["score"] for hit in hits] == sorted(hit["score"] for hit in hits)
        assert len(set(at) & set(np.argsort(scores)[:10])) >= 8
    np.save(tmp_path / "y.npy", x[:, :5])
    with pytest.raises(errors.UsageError, match=r"expected rows of \[9, 24\], found \[5, 24\]"):
        embdc.search(path, query, rescore=tmp_path / "y.npy")


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        (np.ones(7), {}, r"array has 7 channels, stream 'data' has 24"),
        (np.ones((2, 3, 24)), {}, "expected D or Q x D numbers, found 2 x 3 x 24"),
        (np.array([1.0] * 23 + [np.nan]), {}, "expected finite numbers"),
        (np.zeros((0, 24)), {}, "expected at least one vector"),
        (np.zeros(24), {}, "a vector of zeros has no direction"),
        (np.ones(24), {"metric": "angle"}, "--metric: expected one of cosine, dot, l2, found 'angle'"),
        (np.ones(24), {"k": 0}, "--k: expected a whole number from 1"),
        (np.ones(24), {"on_damage": "nan"}, "--on-damage: expected one of fail, skip, found 'nan'"),
        (np.ones(24), {"stream": "cls"}, "--stream: 'cls' is not in the archive"),
        ({"a": np.ones(24), "b": np.ones(24)}, {}, "expected one array, found a, b"),
    ],
)
def test_refused(tmp_path: Path, query: Any, options: dict[str, Any], words: str) -> None:
    path = encoded(tmp_path, smooth(4, 2, 24), {})
    with pytest.raises(errors.UsageError, match=words):
        embdc.search(path, query, **options)


def test_a_missing_end(tmp_path: Path) -> None:
    path = Path(encoded(tmp_path, *CASES["float16"]))
    chunks = embdc.inspect(path, chunks=True)["chunks"]
    (tmp_path / "cut.embdc").write_bytes(path.read_bytes()[: chunks[2]["offset"]])
    found = embdc.search(tmp_path / "cut.embdc", np.ones(24))
    assert (found["exit"], found["vectors"]) == (3, 16 * 7)
    assert [one["rows"] for one in found["lost"]] == [[16, 30]]
    assert embdc.search(tmp_path / "cut.embdc", np.ones(24), frames="2:9")["lost"] == []


@pytest.mark.parametrize(
    ("name", "pooled"),
    [("float16", False), ("transform", True), ("lossless", False), ("ragged", True), ("special tokens", False)],
)
def test_damaged_chunks_are_left_out_on_request(
    tmp_path: Path, name: str, pooled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is found is what a search of everything else finds."""
    value, options = CASES[name]
    path = Path(encoded(tmp_path, value, {"chunk_frames": 4} | options))
    chunk = embdc.inspect(path, chunks=True)["chunks"][1]
    start, stop = chunk["rows"]
    query = RNG.standard_normal(np.shape(value[0])[-1]).astype(np.float32)
    whole = embdc.search(path, query, k=9999, pooled=pooled)
    data = bytearray(path.read_bytes())
    data[chunk["offset"] + chunk["bytes"] // 2] ^= 1
    damaged = tmp_path / "damaged.embdc"
    damaged.write_bytes(data)
    with pytest.raises(errors.CorruptArchive):
        embdc.search(damaged, query, pooled=pooled)
    found = embdc.search(damaged, query, k=9999, pooled=pooled, on_damage="skip", jobs=2)
    rest = [hit | {"archive": str(damaged)} for hit in whole["hits"] if not start <= hit["frame"] < stop]
    assert found["hits"] == rest
    assert found["vectors"] == len(rest) < whole["vectors"]
    lost = {"archive": str(damaged), "item": 0, "stream": "data", "rows": [start, stop], "seconds": None}
    assert (found["lost"], found["exit"]) == ([lost], 3)
    outside = embdc.search(damaged, query, frames=f"{stop}:", on_damage="skip")
    assert (outside["lost"], outside["exit"]) == ([], 0)
    again = embdc.open(damaged)["data"].search(query, 9999, pooled=pooled, on_damage="skip")
    assert [hit["score"] for hit in again["hits"]] == [hit["score"] for hit in rest]
    assert again["lost"] == [lost | {"archive": None}]
    np.save(tmp_path / "q.npy", query)
    assert main(["search", str(damaged), "--query", str(tmp_path / "q.npy"), "--on-damage", "skip"]) == 3
    notes = capsys.readouterr().err.splitlines()
    assert notes[-1] == f"embdc: note: {damaged}: stream 'data': rows {start} to {stop} lost"
    assert len(notes) == 2
    assert main(["search", str(damaged), "--query", str(tmp_path / "q.npy")]) == 5


def test_damaged_models_cost_their_segment_and_damaged_times_the_times(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", clip=smooth(12, 8, 8), timestamps=np.arange(12) ** 2 / 4)
    path = tmp_path / "a.embdc"
    embdc.encode(tmp_path / "a.npz", path, codec="vq", target_nmse=0.1, chunk_frames=4)
    whole = embdc.search(path, np.ones(8), stream="clip")
    with embdc.open(path) as archive:
        table = archive.reader.parts[0].table
        places = {
            kind: int(table.chunks["offset"][rows["chunk"][0]])
            for kind, rows in (("times", table.times), ("models", table.models))
        }
    for kind, place in places.items():
        data = bytearray(path.read_bytes())
        data[place : place + 60] = bytes(60)
        (tmp_path / f"{kind}.embdc").write_bytes(data)
    with pytest.raises(errors.CorruptArchive):
        embdc.search(tmp_path / "times.embdc", np.ones(8), stream="clip")
    timeless = embdc.search(tmp_path / "times.embdc", np.ones(8), stream="clip", on_damage="skip")
    assert {hit["time"] for hit in timeless["hits"]} == {None}
    assert [hit["score"] for hit in timeless["hits"]] == [hit["score"] for hit in whole["hits"]]
    nothing = embdc.search(tmp_path / "models.embdc", np.ones(8), stream="clip", on_damage="skip")
    assert (nothing["hits"], nothing["vectors"], nothing["exit"]) == ([], 0, 3)
    assert [one["rows"] for one in nothing["lost"]] == [[0, 4], [4, 8], [8, 12]]
    assert nothing["lost"][1]["seconds"] == [4.0, 16.0]
