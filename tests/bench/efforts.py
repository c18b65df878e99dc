"""What each effort gives and takes: bits at equal error, and time in sgemms of D x D over the same values.

    python tests/bench/efforts.py [--dumps WORD ...] [--efforts 0 1 2 3] [--shape T N D]

Real dumps say what is won; a wide synthetic source at half a bit per value says what it costs. One thread.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

import curves
import numpy as np
import record
from speed import median_seconds

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.parallel import one_blas_thread

DUMPS = ("cars__mobilenetv2__map", "cars__vit-tiny__final", "juggle__vit-tiny__final", "nasa__vit-tiny__final")
TARGETS = (0.1, 0.02)
BPV = 0.5
ROUNDS = 3
CLUSTERS = 12
CLUSTER_RANK = 96


def source(frames: int, tokens: int, channels: int) -> np.ndarray:
    """(T, N, D) float16 in the manner of visual tokens.

    Patches of a grid belong to clusters, each with a mean and a basis of its own, and change over now and then;
    coefficients are AR(1) in time (rho .8 to .995, by token) with variances as 1/i; beneath lies a fainter common part.
    """
    rng = np.random.default_rng(5)
    side = max(1, math.isqrt(tokens))
    coarse = rng.integers(CLUSTERS, size=(side // 4 + 1, side // 4 + 1))
    place = np.arange(tokens)
    labels = coarse[np.minimum(place // side, side - 1) // 4, place % side // 4]
    rank = min(CLUSTER_RANK, channels)
    rho = rng.uniform(0.8, 0.995, (tokens, 1)).astype(np.float32)
    own: np.ndarray = rng.standard_normal((tokens, rank), np.float32)
    common: np.ndarray = rng.standard_normal((tokens, channels), np.float32)
    fall = np.arange(1, channels + 1, dtype=np.float32) ** -0.5
    means = 2 * rng.standard_normal((CLUSTERS, channels), np.float32)
    bases = [np.linalg.qr(rng.standard_normal((channels, rank)))[0].astype(np.float32) for _ in range(CLUSTERS)]
    rotation = np.linalg.qr(rng.standard_normal((channels, channels)))[0].astype(np.float32)
    x = np.empty((frames, tokens, channels), np.float16)
    for t in range(frames):
        fresh = np.sqrt(1 - rho**2)
        own = rho * own + fresh * rng.standard_normal(own.shape, np.float32)
        common = rho * common + fresh * rng.standard_normal(common.shape, np.float32)
        labels = np.where(rng.random(tokens) < 0.02, labels[rng.permutation(tokens)], labels)
        row = (0.3 * common * fall) @ rotation
        for number, basis in enumerate(bases):
            here = labels == number
            row[here] += (own[here] * fall[:rank] * math.sqrt(channels) / 4) @ basis.T + means[number] / 4
        x[t] = row
    return x


def models_at(x: np.ndarray, fit: Fit, *, bits: float) -> TransformModels:
    """Models whose chunk, themselves counted, takes about so many bits per value."""
    low, high = -4.0, 8.0  # octaves of the step below the rms
    for _ in range(12):
        octave = (low + high) / 2
        models = fit.models(fit.rms * 2**-octave)
        found = 8 * (len(models.to_bytes()) + len(TransformCodec(fit.spec, models).encode(x).payload)) / x.size
        if abs(found / bits - 1) < 0.02:
            break
        low, high = (octave, high) if found < bits else (low, octave)
    return models


def average_rank(codec: TransformCodec, x: np.ndarray, sides: tuple[tuple[bytes, ...], ...]) -> float:
    """Basis vectors that a token is coded by."""
    shape: tuple[int, ...] = (len(x), codec.models.layout.tokens[0], codec.models.layout.fold)
    tokens = shape[0] * shape[1]
    for link, side in zip(codec.models.groups[0].chain.links, sides[0], strict=True):
        shape = link.shape(shape, side)
    return math.prod(shape) / tokens


def timed(x: np.ndarray, effort: int, *, bits: float | None = None, step: float = 0.35) -> dict[str, Any]:
    """Times at `bits` per value, or at a step in rms; in sgemms of D x D over the values, taken in this same run."""
    channels = x.shape[-1]
    wide = np.ascontiguousarray(x.reshape(-1, channels), dtype=np.float32)
    square = np.eye(channels, dtype=np.float32)
    product = median_seconds(lambda: wide @ square)
    start = time.perf_counter()
    fit = curves.fit_of(x, effort)
    models = fit.models(fit.rms * step)
    fitting = time.perf_counter() - start
    if bits is not None:
        models = models_at(x, fit, bits=bits)
    codec = TransformCodec(fit.spec, models)
    coded = codec.encode(x)

    rank = average_rank(codec, x, coded.sides)
    narrow = np.ascontiguousarray(wide[:, : max(1, round(rank))])
    back = np.ascontiguousarray(square[: narrow.shape[1]])
    decode = median_seconds(lambda: codec.decode(coded.payload, len(x)), ROUNDS)
    return {
        "timed_bpv": round(8 * (len(models.to_bytes()) + len(coded.payload)) / x.size, 3),
        "average_rank": round(rank, 1),
        "sgemm_mvalues_s": round(x.size / product / 1e6, 1),
        "fit_sgemms": round(fitting / product, 1),
        "encode_sgemms": round(median_seconds(lambda: codec.encode(x), ROUNDS) / product, 2),
        "decode_sgemms": round(decode / product, 2),
        "decode_rank_sgemms": round(decode / median_seconds(lambda: narrow @ back, ROUNDS), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dumps", nargs="*", default=list(DUMPS), help="names of dumps")
    parser.add_argument("--efforts", nargs="*", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--shape", nargs=3, type=int, default=[64, 256, 1024], help="of the synthetic source")
    args = parser.parse_args()
    with one_blas_thread():
        for name in args.dumps:
            x = np.load(Path(os.environ["EMBDC_TEST_DATA"]) / "data/embeddings" / f"{name}.npy")
            rows = []
            for effort in args.efforts:
                points = curves.curve(x, effort, "nmse", TARGETS)
                bits = {f"bits_at_{target}": round(curves.bits_at(points, target), 4) for target in TARGETS}
                rows.append({"source": name, "effort": effort, **bits, **timed(x, effort)})
            record.append("efforts", rows)
        x = source(*args.shape)
        name = "synthetic " + "x".join(map(str, x.shape))
        rows = []
        for effort in args.efforts:
            empty = {f"bits_at_{target}": "" for target in TARGETS}
            rows.append({"source": name, "effort": effort, **empty, **timed(x, effort, bits=BPV)})
        record.append("efforts", rows)


if __name__ == "__main__":
    main()
