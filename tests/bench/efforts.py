"""What each effort gives and takes: bits at equal error, and time in sgemms of D x D over the same values.

    python tests/bench/efforts.py [--dumps WORD ...] [--efforts 0 1 2 3] [--shape T N D]

Real dumps say what is won; a wide synthetic source at half a bit per value says what it costs. One thread.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import curves
import numpy as np
import record
from speed import average_rank, codec_at, median_seconds, source

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.parallel import one_blas_thread

DUMPS = ("cars__mobilenetv2__map", "cars__vit-tiny__final", "juggle__vit-tiny__final", "nasa__vit-tiny__final")
TARGETS = (0.1, 0.02)
ROUNDS = 3


def timed(x: np.ndarray, effort: int, *, at_half_a_bit: bool, step: float = 0.35) -> dict[str, Any]:
    """Times at half a bit per value, or at a step in rms; in sgemms of D x D over the values of this same run."""
    channels = x.shape[-1]
    wide = np.ascontiguousarray(x.reshape(-1, channels), dtype=np.float32)
    square = np.eye(channels, dtype=np.float32)
    product = median_seconds(lambda: wide @ square)
    start = time.perf_counter()
    fit = curves.fit_of(x, effort)
    codec = TransformCodec(fit.spec, fit.models(fit.rms * step))
    fitting = time.perf_counter() - start
    if at_half_a_bit:
        codec = codec_at(x, fit)
    coded = codec.encode(x)

    rank = average_rank(codec, x, coded.sides)
    narrow = np.ascontiguousarray(wide[:, : max(1, round(rank))])
    back = np.ascontiguousarray(square[: narrow.shape[1]])
    decode = median_seconds(lambda: codec.decode(coded.payload, len(x)), ROUNDS)
    return {
        "timed_bpv": round(8 * (len(codec.models.to_bytes()) + len(coded.payload)) / x.size, 3),
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
                rows.append({"source": name, "effort": effort, **bits, **timed(x, effort, at_half_a_bit=False)})
            record.append("efforts", rows)
        x = source(*args.shape)
        name = "synthetic " + "x".join(map(str, x.shape))
        rows = []
        for effort in args.efforts:
            empty = {f"bits_at_{target}": "" for target in TARGETS}
            rows.append({"source": name, "effort": effort, **empty, **timed(x, effort, at_half_a_bit=True)})
        record.append("efforts", rows)


if __name__ == "__main__":
    main()
