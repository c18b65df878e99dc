"""Latency of a slice of 16 frames from a local file: as it comes, and prefetched, over reading it from safetensors.

    python tests/bench/serving.py [--dumps cars juggle nasa] [--requests 60] [--targets lossless 0.97]

Slices of 16 frames begin at random rows. safetensors: the same frames in FP16 by `safe_open(...).get_slice`, copied out
of the mapping; the file is open and in the page cache. cold: `archive[...][a:a+16]` where none of its chunks is decoded
yet, from an archive that is open and whose models are read; open: from a path, models and all. prefetched: the same
slice after `prefetch` brought its chunks; prefetch: the seconds that this took by its own document. The kinds take
turns, request by request, in one run. p50 and p95 of each kind are divided by the p50 of safetensors, whose own p95
says how quiet the machine was.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from evaluation import data
from safetensors import safe_open
from safetensors.numpy import save_file

import embdc_cli as embdc
from embdc_cli.archive import Archive

CLIPS = ("cars", "juggle", "nasa")
FRAMES, CHUNK = 16, 16
KINDS = ("safetensors", "prefetched", "prefetch", "cold", "open")


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def cold(path: Path) -> Archive:
    """An archive whose models are read and whose decoder is made, for another slice than any that is asked for."""
    archive = embdc.open(path)
    archive["data"][-1]
    return archive


def request(path: Path, raw: Any, start: int) -> dict[str, float]:
    """Seconds of each kind for one slice."""
    rows = slice(start, start + FRAMES)
    taken: dict[str, float] = {}
    taken["safetensors"], exact = seconds(lambda: raw.get_slice("data")[rows].clone())
    taken["open"], _ = seconds(lambda: embdc.open(path)["data"][rows])
    with cold(path) as archive:
        taken["cold"], first = seconds(lambda: archive["data"][rows])
    with cold(path) as archive:
        view = archive["data"]
        document = asyncio.run(view.prefetch([rows]))
        taken["prefetch"] = document["seconds"]
        taken["prefetched"], again = seconds(lambda: view[rows])
        if document["left"] or not torch.equal(first, again) or exact.shape != first.shape:
            raise SystemExit(f"{path.name}: the slice at {start} is not what it was")
    return taken


def figures(requests: list[dict[str, float]]) -> dict[str, float]:
    """p50 and p95 of every kind over the p50 of safetensors."""
    base = np.median([one["safetensors"] for one in requests])
    found = {}
    for kind in KINDS:
        for share in (50, 95):
            found[f"{kind}_p{share}"] = round(float(np.percentile([one[kind] for one in requests], share) / base), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dumps", nargs="*", default=list(CLIPS))
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--targets", nargs="*", default=["lossless", "0.97"])
    args = parser.parse_args()
    for clip in args.dumps:
        x = np.load(data() / f"data/embeddings/{clip}__vit-tiny__final.npy").astype(np.float16)
        with tempfile.TemporaryDirectory() as folder:
            path, plain = Path(folder) / "x.embdc", Path(folder) / "x.safetensors"
            save_file({"data": x}, plain)
            for target in args.targets:
                asked: dict[str, Any] = {"lossless": True} if target == "lossless" else {"target_cosine": float(target)}
                done = embdc.encode(x, path, chunk_frames=CHUNK, force=True, **asked)
                # the last chunk is what `cold` looks at
                starts = np.random.default_rng(0).integers(0, len(x) - 2 * CHUNK - FRAMES, args.requests)
                with safe_open(plain, "pt") as raw:
                    request(path, raw, 0)
                    requests = [request(path, raw, int(start)) for start in starts]
                row = {"clip": clip, "target": target, "slice_bytes": x[:FRAMES].nbytes}
                size = {"ratio_fp16": round(done["ratio_fp16"], 2), "requests": args.requests}
                record.append("serving", [{**row, **size, **figures(requests)}])


if __name__ == "__main__":
    main()
