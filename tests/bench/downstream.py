"""What a classifier loses: top-1 of a ViT's last block and head on decoded tokens, over rates and weightings.

    python tests/bench/downstream.py [--images N] [--rates R ...] [--effort E]

The tail of the network is $EMBDC_TEST_DATA/eval/vit_tail.py, which also names dump and labels: 200 pictures, so that
half a point of top-1 is one picture. Beside the codec: round to nearest with one scale per token or channel and zstd,
product quantisation, and x265 over mosaics of channels; the last two with CLS in float16 beside them.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record
from evaluation import evaluation
from other_coders import product_quantised, rounded, video_coded

import embdc_cli as embdc

RATES = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
WEIGHTINGS = ("none", "channel", "token")
DEPTHS = (8, 4, 3)
PARTS = (6, 12, 24, 48, 96)  # bytes per token of 192 channels
QUANTISERS = (42, 36, 30, 26, 22, 18, 14)
DROPS = (1.0, 2.0)  # points of top-1


def coded(x: np.ndarray, rate: float, weighting: str, effort: int, scratch: Path) -> tuple[float, np.ndarray]:
    """(bits per value of the file, decoded tokens); CLS is coded apart from the patches."""
    archive, out = str(scratch / "a.embdc"), str(scratch / "a.npy")
    options: dict[str, Any] = {"target_bpv": rate, "weighting": weighting, "effort": effort, "special_tokens": "1"}
    result = embdc.encode(x, archive, force=True, **options)
    embdc.decode(archive, out, force=True)
    return float(result["bits_per_value"]), np.load(out)


def beside_cls(
    x: np.ndarray, coder: Callable[[np.ndarray, int], tuple[float, np.ndarray]], setting: int
) -> tuple[float, np.ndarray]:
    """`coder` at `setting` for the patches of x (T, 1 + N, D), with CLS in float16 beside them, counted."""
    bits, patches = coder(x[:, 1:], setting)
    decoded = np.concatenate([x[:, :1].astype(np.float32), patches.reshape(x[:, 1:].shape)], axis=1)
    return (bits * x[:, 1:].size + 16 * x[:, 0].size) / x.size, decoded


def as_video(patches: np.ndarray, quantiser: int) -> tuple[float, np.ndarray]:
    """Patches (T, N, D) of a square grid through x265."""
    side = math.isqrt(patches.shape[1])
    return video_coded(patches.reshape(len(patches), side, side, -1), quantiser)


def lowest_rate(curve: Sequence[tuple[float, float]], drop: float) -> float:
    """The lowest rate from which on every point of the (rate, points lost) curve loses less; infinite if none does."""
    found = float("inf")
    for rate, lost in sorted(curve, reverse=True):
        if lost >= drop:
            break
        found = rate
    return found


class Judge:
    """Rows of the table, from decoded tokens."""

    def __init__(self, original: np.ndarray, labels: np.ndarray, logits: Callable[[np.ndarray], Any]) -> None:
        self._labels = labels
        self._logits = logits
        self._before = logits(original).double().log_softmax(-1)

    def row(self, method: str, setting: str, bits: float, tokens: np.ndarray) -> dict[str, Any]:
        """points_lost: of top-1 against the original tokens; kl_nats: mean KL(original || decoded)."""
        after = self._logits(tokens).double().log_softmax(-1)
        best, known = after.argmax(-1).numpy(), self._before.argmax(-1).numpy()
        top1, top1_known = (float((one == self._labels).mean()) for one in (best, known))
        divergence = (self._before.exp() * (self._before - after)).sum(-1).mean().item()
        return {
            "method": method,
            "setting": setting,
            "bits_per_value": round(bits, 4),
            "top1": round(top1, 4),
            "points_lost": round(100 * (top1_known - top1), 2),
            "agreement": round(float((best == known).mean()), 4),
            "kl_nats": round(divergence, 5),
        }


def measurements(x: np.ndarray, judge: Judge, rates: Sequence[float], effort: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of each method."""
    with tempfile.TemporaryDirectory() as scratch:
        for weighting in WEIGHTINGS:
            found = (coded(x, rate, weighting, effort, Path(scratch)) for rate in rates)
            yield [judge.row(f"embdc effort {effort}", weighting, *one) for one in found]
    for name, axes in (("token", (2,)), ("channel", (0, 1))):
        yield [judge.row(f"rtn per {name} + zstd", f"int{depth}", *rounded(x, depth, axes)) for depth in DEPTHS]
    yield [judge.row("pq", f"{parts} bytes", *beside_cls(x, product_quantised, parts)) for parts in PARTS]
    yield [judge.row("x265", f"qp {qp}", *beside_cls(x, as_video, qp)) for qp in QUANTISERS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rates", type=float, nargs="*", default=list(RATES))
    parser.add_argument("--effort", type=int, default=1)
    args = parser.parse_args()
    tail = evaluation("vit_tail")
    x = np.load(tail.ORIGINAL)[: args.images]
    judge = Judge(x, np.load(tail.LABELS)[: args.images], tail.logits)
    for rows in measurements(x, judge, args.rates, args.effort):
        curve = [(row["bits_per_value"], row["points_lost"]) for row in rows]
        held = {f"less_than_{drop:g}_lost_from": lowest_rate(curve, drop) for drop in DROPS}
        record.append("downstream", [{**row, **held} for row in rows])


if __name__ == "__main__":
    main()
