"""Where `vq` beats `transform`, and where not: error of both at equal size, all bytes counted.

    python tests/bench/vq_rates.py [--inputs cars] [--rates 0.03 0.1] [--effort 1]

Inputs: the dumps of $EMBDC_TEST_DATA/data/embeddings but for logits, labels and pictures' CLS, whole. The last column
is the bits that `transform` needs for the error of `vq`, over those of `vq`: above 1 where `vq` is the smaller.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import record
from evaluation import data

import embdc_cli as embdc
from embdc_cli.errors import TargetMissed

RATES = (0.015, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)


def coded(x: np.ndarray, codec: str, effort: int, **target: float) -> tuple[float, float, float]:
    """(bits per value, nmse, seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "x.embdc"
        start = time.perf_counter()
        result = embdc.encode(x, out, codec=codec, effort=effort, **target)
        seconds = time.perf_counter() - start
        return 8 * out.stat().st_size / x.size, result["achieved"]["nmse"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--rates", nargs="*", type=float, default=list(RATES))
    parser.add_argument("--effort", type=int, default=1)
    args = parser.parse_args()
    for path in sorted((data() / "data/embeddings").glob("*.npy")):
        x = np.load(path)
        if path.stem.split("__")[-1] in ("labels", "logits") or not any(part in path.stem for part in args.inputs):
            continue
        rows = []
        for rate in args.rates:
            try:
                bits, error, seconds = coded(x, "vq", args.effort, target_bpv=rate)
            except TargetMissed:
                continue
            if not error:
                continue
            _, at_rate, _ = coded(x, "transform", args.effort, target_bpv=rate)
            needed, _, transform_seconds = coded(x, "transform", args.effort, target_nmse=error)
            rows.append(
                {
                    "dump": path.stem,
                    "rate": rate,
                    "effort": args.effort,
                    "vq_bits_per_value": round(bits, 4),
                    "vq_nmse": round(error, 5),
                    "vq_seconds": round(seconds, 1),
                    "transform_nmse": round(at_rate, 5),
                    "transform_seconds": round(transform_seconds, 1),
                    "transform_bits_over_vq_at_its_error": round(needed / bits, 3),
                }
            )
        if rows:
            record.append("vq_rates", rows)


if __name__ == "__main__":
    main()
