"""Neighbours found again by search through compact forms of a dump, at equal bytes per token.

    python tests/bench/search.py [--bytes 16 32 64] [--dumps cars juggle nasa]

recall_tokens: of the 10 nearest tokens by cosine among the originals, the share found among 10; recall_rescored: among
40, which is what scoring these again by the originals finds. Queries are original tokens, every 97th, and all rows for
pooled; the query itself is left out. embdc: `encode --codec vq --target-bpv`, every byte of the file counted, searched
by its codes. FAISS: product and residual quantisers with codebooks of this clip in float16, counted, or of the two
others, not counted; codes as they are, and no ids. Seconds are CPU time of one query among all tokens, and of decoding
the archive and one product with the query.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
from evaluation import data
from peers.product_quantisation import learnt, product_quantiser, residual_quantiser, with_codebooks

import embdc_cli as embdc

CLIPS = ("cars", "juggle", "nasa")
EVERY = 97
NEAREST, RESCORED = 10, 40
TRAINED_ON = 8_000
REPEATS = 5


def tokens_of(clip: str) -> np.ndarray:
    """(T, N, D) float16."""
    return np.load(data() / f"data/embeddings/{clip}__vit-tiny__final.npy")


def nearest(vectors: np.ndarray, queries: np.ndarray, own: np.ndarray) -> list[list[int]]:
    """The RESCORED nearest by cosine to each query, without its own number."""
    y = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    found = np.argsort(-(queries @ y.T), axis=1, kind="stable")[:, : RESCORED + 1]
    return [[one for one in row if one != number][:RESCORED] for row, number in zip(found.tolist(), own, strict=True)]


def recall(found: list[list[int]], true: list[list[int]], among: int) -> float:
    shares = [len(set(one[:among]) & set(other[:NEAREST])) for one, other in zip(found, true, strict=True)]
    return float(np.mean(shares)) / NEAREST


class Truth:
    """The neighbours among the originals."""

    def __init__(self, x: np.ndarray) -> None:
        self.shape = x.shape
        flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
        self.own = np.arange(0, len(flat), EVERY)
        self.queries = flat[self.own]
        self.tokens = nearest(flat, self.queries, self.own)
        self.rows = np.arange(len(x))
        self.pooled_queries = x.mean(axis=1, dtype=np.float64)
        self.pooled = nearest(self.pooled_queries, self.pooled_queries, self.rows)

    def figures(self, tokens: list[list[int]], pooled: list[list[int]]) -> dict[str, Any]:
        return {
            "recall_tokens": round(recall(tokens, self.tokens, NEAREST), 4),
            "recall_rescored": round(recall(tokens, self.tokens, RESCORED), 4),
            "recall_pooled": round(recall(pooled, self.pooled, NEAREST), 4),
        }

    def of_decoded(self, y: np.ndarray) -> dict[str, Any]:
        """Of decoded tokens (n, D)."""
        y = y.astype(np.float64)
        pooled = y.reshape(self.shape).mean(axis=1)
        return self.figures(nearest(y, self.queries, self.own), nearest(pooled, self.pooled_queries, self.rows))

    def of_archive(self, path: Path) -> dict[str, Any]:
        view = embdc.open(path)["data"]
        found = []
        for queries, own, pooled in ((self.queries, self.own, False), (self.pooled_queries, self.rows, True)):
            document = view.search(queries.astype(np.float32), RESCORED + 1, pooled=pooled)
            numbers = [
                [hit["frame"] if pooled else hit["frame"] * self.shape[1] + hit["token"] for hit in query["hits"]]
                for query in document["queries"]
            ]
            rows = zip(numbers, own, strict=True)
            found.append([[one for one in row if one != number][:RESCORED] for row, number in rows])
        return self.figures(*found)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds, the least of REPEATS."""
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return round(min(taken), 5)


def speed(path: Path, query: np.ndarray) -> dict[str, float]:
    def decoded() -> None:
        view = embdc.open(path)["data"]
        y = view.numpy(range(len(view))).reshape(-1, len(query)).astype(np.float32)
        near = (y @ query) / np.linalg.norm(y, axis=1)
        np.argpartition(-near, NEAREST)

    view = embdc.open(path)["data"]
    view.search(query)
    return {
        "first_s": seconds(lambda: embdc.open(path)["data"].search(query)),
        "again_s": seconds(lambda: view.search(query)),
        "decode_s": seconds(decoded),
    }


UNTIMED = {"first_s": "", "again_s": "", "decode_s": ""}


def embdc_rows(x: np.ndarray, truth: Truth, sizes: list[int], folder: Path) -> Iterator[dict[str, Any]]:
    for size in sizes:
        path = folder / "x.embdc"
        done = embdc.encode(x, path, codec="vq", target_bpv=8 * size / x.shape[-1], force=True)
        found = {"method": "embdc vq", "budget": size}
        found["bytes"] = round(done["file_bytes"] / (x.shape[0] * x.shape[1]), 2)
        yield {**found, **truth.of_archive(path), **speed(path, x[3, 5].astype(np.float32))}


def faiss_rows(x: np.ndarray, others: list[np.ndarray], truth: Truth, sizes: list[int]) -> Iterator[dict[str, Any]]:
    """The finest setting within each budget."""
    flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]), np.float32)
    count, channels = flat.shape
    drawn = np.random.default_rng(0).permutation(np.concatenate([y.reshape(-1, channels) for y in others]))
    drawn = drawn[:TRAINED_ON].astype(np.float32)
    parts = [n for n in range(1, channels + 1) if channels % n == 0]
    for name, training, trained in (("of this clip", flat, False), ("of others", drawn, True)):
        books = 0 if trained else 2 * 256 * channels / count
        for size in sizes:
            fitting = max(n for n in parts if n + books <= size)
            setting = (channels // fitting, 8)
            centroids = learnt(product_quantiser, training, setting)
            quantiser = with_codebooks(product_quantiser, channels, setting, centroids)
            y = quantiser.decode(quantiser.compute_codes(flat))
            row = {"method": f"faiss pq, {name}", "budget": size, "bytes": round(fitting + books, 2)}
            yield {**row, **truth.of_decoded(y), **UNTIMED}
        # codebooks of full width: of a clip's own, small ones are all that it can pay
        bits = 8 if trained else 4
        each = bits / 8 + (0 if trained else 2 * 2**bits * channels / count)
        levels = [int(size / each) for size in sizes]
        centroids = learnt(residual_quantiser, training, (max(levels), bits))
        for size, level in zip(sizes, levels, strict=True):
            first = centroids[: level * 2**bits * channels]
            quantiser = with_codebooks(residual_quantiser, channels, (level, bits), first)
            y = quantiser.decode(quantiser.compute_codes(flat))
            row = {"method": f"faiss rq, {name}", "budget": size, "bytes": round(level * each, 2)}
            yield {**row, **truth.of_decoded(y), **UNTIMED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", nargs="*", type=int, default=[16, 32, 64])
    parser.add_argument("--dumps", nargs="*", default=list(CLIPS))
    args = parser.parse_args()
    for clip in args.dumps:
        x = tokens_of(clip)
        truth = Truth(x)
        others = [tokens_of(other) for other in CLIPS if other != clip]
        with tempfile.TemporaryDirectory() as folder:
            for rows in (embdc_rows(x, truth, args.bytes, Path(folder)), faiss_rows(x, others, truth, args.bytes)):
                for row in rows:
                    record.append("search", [{"clip": clip, **row}])
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
