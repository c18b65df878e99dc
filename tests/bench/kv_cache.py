"""What a GPT loses when its keys and values go through an archive: perplexity over bits per value.

    python tests/bench/kv_cache.py [--sequences N] [--rates R ...] [--codecs transform hevc] [--effort E]

$EMBDC_TEST_DATA/models/chargpt reads `--sequences` pieces of its validation text, 128 characters each. Every layer's
keys and values become a stream of their own, (sequences, 128 positions, 4 heads x 48 channels) float16, and come back
from the archive before attention sees them. All layers go through at once, each as it was in the original network.
Bars: perplexity within 1 % of the original's at 2.9 bits per value, within 5 % at 2.0. Beside the codecs: round to
nearest with a scale per position, through zstd.
"""

from __future__ import annotations

import argparse
from types import ModuleType

import numpy as np
import record
import torch
from evaluation import evaluation
from tensor_coding import RTN, Coded, rounded_to_nearest, through_archive, verdict

RATES = (2.9, 2.0, 1.4, 1.0)
BARS = {2.9: 1.01, 2.0: 1.05}
DEPTHS = (4, 3)


def cache_of(gpt: ModuleType) -> tuple[float, dict[str, np.ndarray]]:
    """Perplexity, and keys and values of each layer, (sequences, positions, heads * channels) float16."""
    cache = {}

    def keep(layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for name, x in (("k", k), ("v", v)):
            cache[f"{name}.{layer}"] = x.transpose(1, 2).flatten(2).half().numpy()
        return k, v

    return gpt.perplexity(kv=keep), cache


def perplexity(gpt: ModuleType, cache: dict[str, np.ndarray]) -> float:
    """With decoded keys and values in the place of those of the network."""

    def swap(layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def as_heads(x: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(x).view(len(x), x.shape[1], k.shape[1], -1).transpose(1, 2)

        return as_heads(cache[f"k.{layer}"]), as_heads(cache[f"v.{layer}"])

    return float(gpt.perplexity(kv=swap))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--rates", nargs="*", type=float, default=list(RATES))
    parser.add_argument("--codecs", nargs="*", default=["transform", "h264", "av1", "hevc"])
    parser.add_argument("--effort", type=int, default=0)
    args = parser.parse_args()
    gpt = evaluation("chargpt")
    gpt.SEQUENCES = args.sequences
    before, cache = cache_of(gpt)

    def note(coder: str, rate: float, coded: Coded) -> None:
        after = perplexity(gpt, coded.tensors)
        row = {
            "sequences": args.sequences,
            "coder": coder,
            "effort": "" if coder == RTN else args.effort,
            "target": rate,
            "bits_per_value": round(coded.bits, 3),
            "nmse": round(coded.nmse, 5),
            "perplexity_before": round(before, 4),
            "perplexity_after": round(after, 4),
            "change_percent": round(100 * (after / before - 1), 2),
            "bar": verdict(kept=after <= BARS[rate] * before if rate in BARS else None),
            "encode_seconds": round(coded.encode_seconds, 1),
            "decode_seconds": round(coded.decode_seconds, 1),
        }
        record.append("kv_cache", [row])

    for depth in DEPTHS:
        note(RTN, depth, rounded_to_nearest(cache, depth))
    for codec in args.codecs:
        for rate in args.rates:
            note(codec, rate, through_archive(cache, codec, target_bpv=rate, effort=args.effort))


if __name__ == "__main__":
    main()
