"""Encode and decode on one thread, against an sgemm of D x D over the same values in the same run.

Floor: a full KLT is one such product per value and direction; everything else comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import record

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.parallel import one_blas_thread
from embdc_cli.values import StreamSpec

ROUNDS = 7


def source(frames: int, tokens: int, channels: int) -> np.ndarray:
    """(F, N, D) float16: AR(1) in time (rho .95), channel variances falling as 1/i, rotated."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((frames, tokens, channels)).astype(np.float32)
    for t in range(1, frames):
        x[t] = 0.95 * x[t - 1] + np.sqrt(1 - 0.95**2) * x[t]
    rotation = np.linalg.qr(rng.standard_normal((channels, channels)))[0].astype(np.float32)
    return ((x / np.sqrt(np.arange(1, channels + 1, dtype=np.float32))) @ rotation).astype(np.float16)


def median_seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    rows = []
    with one_blas_thread():
        for frames, tokens, channels in ((64, 196, 192), (64, 64, 1024)):
            x = source(frames, tokens, channels)
            spec = StreamSpec("x", "float16", "t,n,c", x.shape[1:], len(x))
            wide = np.ascontiguousarray(x.reshape(-1, channels), dtype=np.float32)
            square = np.eye(channels, dtype=np.float32)
            product = median_seconds(lambda wide=wide, square=square: wide @ square)
            for effort in (0, 1):
                fit = Fit(spec, [x], options=FitOptions(effort=effort))
                codec = TransformCodec(spec, fit.models(fit.rms * 0.9))
                payload = codec.encode(x).payload
                encode = median_seconds(lambda codec=codec, x=x: codec.encode(x))
                decode = median_seconds(lambda codec=codec, payload=payload, x=x: codec.decode(payload, len(x)))
                rows.append(
                    {
                        "shape": "x".join(map(str, x.shape)),
                        "effort": effort,
                        "bits_per_value": round(8 * len(payload) / x.size, 3),
                        "encode_mvalues_s": round(x.size / encode / 1e6, 1),
                        "decode_mvalues_s": round(x.size / decode / 1e6, 1),
                        "encode_share_of_sgemm": round(product / encode, 3),
                        "decode_share_of_sgemm": round(product / decode, 3),
                    }
                )
    record.append("speed", rows)


if __name__ == "__main__":
    main()
