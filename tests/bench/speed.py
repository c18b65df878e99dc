"""Speed on one thread, in shares of a plain sgemm of the same run, and beside that of other coders.

    python tests/bench/speed.py [--shapes 32x256x1024 ...] [--efforts 0 1 2 3] [--rounds 5] [--peer-rounds 3]

Source: synthetic (T, N, D) float16 in the manner of a ViT: channel variances as 1/i in a random rotation, AR(1) in time
(0.95), and a mean for each of 12 clusters of tokens, three deviations in size. It is coded as one chunk of one segment
at half a bit per value, models counted. Everything in a group of rows is timed in turn, round after round, and the best
round of each counts, since machines are shared and noisy; even so, compare shares and never rows of different runs.

mvalues_s: millions of values (symbols for rANS) a second, of those that are coded. share_of_sgemm: that over the same
for (T N, D) @ (D, D) in float32, a full KLT in one direction. share_of_rank_sgemm, of decoding: against the product
(T N, r) @ (r, D), with r the average number of basis vectors that a token was coded by. fit: from the chunk to models,
once for each segment. bar: what the share, or the millions of symbols, should be at least.
rANS: 2^22 symbols drawn from the static tables, rows in runs of 256. Other coders, of `peers/`, go to speed_peers.csv
with embdc as whole files beside them: everything from values to bytes and back, at the setting nearest to half a bit
per value, in turn, medians over rounds.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import record
from speed_peers import peer_rows

from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.entropy import rans
from embdc_cli.entropy.tables import static_tables
from embdc_cli.parallel import one_blas_thread
from embdc_cli.values import StreamSpec

ROUNDS: Final = 5
BPV: Final = 0.5
CLUSTERS: Final = 12
BARS: Final = {("encode", 0): 0.40, ("encode", 1): 0.15, "decode": 0.60, "rans decode": 400}

Work = Callable[[], object]
Row = dict[str, Any]


def source(frames: int, tokens: int, channels: int) -> np.ndarray:
    """(T, N, D) float16 as the module says."""
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.standard_normal((channels, channels)))[0].astype(np.float32)
    deviations = np.arange(1, channels + 1, dtype=np.float32) ** -0.5
    means = 3 * rng.standard_normal((CLUSTERS, channels), np.float32)[rng.integers(CLUSTERS, size=tokens)]
    x = rng.standard_normal((frames, tokens, channels), np.float32)
    for t in range(1, frames):
        x[t] = 0.95 * x[t - 1] + math.sqrt(1 - 0.95**2) * x[t]
    return (((x + means) * deviations) @ rotation).astype(np.float16)


def median_seconds(work: Work, rounds: int = 7) -> float:
    """Of `rounds` calls."""
    return float(np.median([_seconds(work) for _ in range(rounds)]))


def best_seconds(works: Sequence[Work], rounds: int) -> list[float]:
    """The best of `rounds` calls of each, all in turn in every round, after one that does not count."""
    for work in works:
        work()
    return [float(best) for best in np.min([[_seconds(work) for work in works] for _ in range(rounds)], axis=0)]


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Products:
    """The sgemms that others are measured by. x: (T, N, D)."""

    def __init__(self, x: np.ndarray) -> None:
        self._wide = np.ascontiguousarray(x.reshape(-1, x.shape[2]), np.float32)
        self._square = np.linalg.qr(np.random.default_rng(0).standard_normal((x.shape[2],) * 2))[0].astype(np.float32)

    def full(self) -> np.ndarray:
        """(T N, D) @ (D, D)."""
        return np.asarray(self._wide @ self._square)

    def of_rank(self, rank: float) -> Work:
        """(T N, r) @ (r, D)."""
        kept = max(1, round(rank))
        narrow, back = np.ascontiguousarray(self._wide[:, :kept]), np.ascontiguousarray(self._square[:kept])
        return lambda: narrow @ back


def codec_rows(x: np.ndarray, effort: int, rounds: int) -> list[Row]:
    """Fit, encode and decode at one effort."""
    spec = StreamSpec("x", "float16", "t,n,c", x.shape[1:], len(x))
    products = Products(x)
    kept: list[TransformModels] = []

    def fit() -> None:
        found = Fit(spec, [x], options=FitOptions(effort=effort))
        kept[:] = [found.models(found.rms * 0.25)]
        fits[:] = [found]

    fits: list[Fit] = []
    fitting, product = best_seconds([fit, products.full], 1)
    rows = [_row(x, f"fit {effort}", fitting, product)]

    codec = codec_at(x, fits[0])
    coded = codec.encode(x)
    rank = average_rank(codec, x, coded.sides)
    works = [
        products.full,
        lambda: codec.encode(x),
        lambda: codec.decode(coded.payload, len(x)),
        products.of_rank(rank),
    ]
    product, encode, decode, narrow = best_seconds(works, rounds)
    bits = 8 * (len(codec.models.to_bytes()) + len(coded.payload)) / x.size
    shared = {"bits_per_value": round(bits, 3), "average_rank": round(rank, 1)}
    stages = " ".join(type(stage).__name__ for stage in codec.models.groups[0].chain.stages)
    bar = BARS.get(("encode", effort), "")
    rows.append({**_row(x, f"encode {effort}", encode, product), **shared, "bar": bar, "stages": stages})
    share = {"share_of_rank_sgemm": round(narrow / decode, 3), "bar": BARS["decode"], "stages": stages}
    rows.append({**_row(x, f"decode {effort}", decode, product), **shared, **share})
    return rows


def _row(x: np.ndarray, work: str, seconds: float, product: float) -> Row:
    return {
        "shape": "x".join(map(str, x.shape)),
        "work": work,
        "bits_per_value": "",
        "average_rank": "",
        "mvalues_s": round(x.size / seconds / 1e6, 1),
        "share_of_sgemm": round(product / seconds, 3),
        "share_of_rank_sgemm": "",
        "bar": "",
        "stages": "",
    }


def codec_at(x: np.ndarray, fit: Fit) -> TransformCodec:
    """At the step that takes about BPV, models counted."""
    low, high = -4.0, 8.0  # octaves of the step below the rms
    for _ in range(12):
        octave = (low + high) / 2
        codec = TransformCodec(fit.spec, fit.models(fit.rms * 2**-octave))
        found = 8 * (len(codec.models.to_bytes()) + len(codec.encode(x).payload)) / x.size
        if abs(found / BPV - 1) < 0.02:
            break
        low, high = (octave, high) if found < BPV else (low, octave)
    return codec


def average_rank(codec: TransformCodec, x: np.ndarray, sides: tuple[tuple[bytes, ...], ...]) -> float:
    """Basis vectors that a token is coded by."""
    shape: tuple[int, ...] = (len(x), codec.models.layout.tokens[0], codec.models.layout.fold)
    tokens = shape[0] * shape[1]
    for link, side in zip(codec.models.groups[0].chain.links, sides[0], strict=True):
        shape = link.shape(shape, side)
    return math.prod(shape) / tokens


def rans_row(rounds: int) -> Row:
    """Decoding of symbols alone."""
    tables = static_tables()
    rng = np.random.default_rng(2)
    classes = np.repeat(rng.integers(len(tables.freq), size=1 << 14), 256).astype(np.uint8)
    slots = rng.integers(int(tables.freq[0].sum()), size=classes.size)
    symbols = (slots[:, None] >= np.cumsum(tables.freq, axis=1)[classes]).sum(axis=1).astype(np.uint8)
    data = rans.encode(symbols, classes, tables)
    (seconds,) = best_seconds([lambda: rans.decode(data, classes, tables)], 2 * rounds)
    if not np.array_equal(rans.decode(data, classes, tables), symbols):
        raise RuntimeError("rans: decoded symbols differ")
    bits = {"bits_per_value": round(8 * len(data) / symbols.size, 3), "bar": BARS["rans decode"]}
    return {**_row(symbols, "rans decode", seconds, math.nan), "share_of_sgemm": "", **bits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["32x256x1024", "64x256x1024"], help="TxNxD")
    parser.add_argument("--efforts", nargs="*", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peer-rounds", type=int, default=3, help="0: only embdc")
    args = parser.parse_args()
    with one_blas_thread():
        for shape in args.shapes:
            x = source(*map(int, shape.split("x")))
            rows = [row for effort in args.efforts for row in codec_rows(x, effort, args.rounds)]
            if rows:
                record.append("speed", rows)
            if args.peer_rounds:
                record.append("speed_peers", peer_rows(x, BPV, args.peer_rounds))
    if args.efforts:
        record.append("speed", [rans_row(args.rounds)])


if __name__ == "__main__":
    main()
