"""What a ViT's last block and head lose when the tokens before them go through an archive.

    python tests/bench/activations.py [--rates R ...] [--codecs transform hevc] [--effort E]

200 pictures, tokens and judgement of $EMBDC_TEST_DATA/eval/vit_tail.py; CLS is coded apart from the patches. The bar is
a top-1 agreement of 0.93 at 3.5 bits per value. `downstream.py` has more of `transform`, and other coders. Beside the
codecs: round to nearest with a scale per token, through zstd.
"""

from __future__ import annotations

import argparse

import numpy as np
import record
from evaluation import evaluation
from tensor_coding import RTN, Coded, rounded_to_nearest, through_archive, verdict

RATES = (3.5, 2.5, 1.5)
BARS = {3.5: 0.93}
DEPTHS = (4, 3)
NAME = "tokens"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", nargs="*", type=float, default=list(RATES))
    parser.add_argument("--codecs", nargs="*", default=["transform", "h264", "av1", "hevc"])
    parser.add_argument("--effort", type=int, default=0)
    args = parser.parse_args()
    tail = evaluation("vit_tail")
    x = {NAME: np.load(tail.ORIGINAL)}

    def note(coder: str, rate: float, coded: Coded) -> None:
        found = tail.report(coded.tensors[NAME])
        row = {
            "coder": coder,
            "effort": "" if coder == RTN else args.effort,
            "target": rate,
            "bits_per_value": round(coded.bits, 3),
            "nmse": round(coded.nmse, 5),
            **{name: round(value, 4) for name, value in found.items()},
            "bar": verdict(kept=found["agreement"] >= BARS[rate] if rate in BARS else None),
            "encode_seconds": round(coded.encode_seconds, 1),
            "decode_seconds": round(coded.decode_seconds, 1),
        }
        record.append("activations", [row])

    for depth in DEPTHS:
        note(RTN, depth, rounded_to_nearest(x, depth))
    for codec in args.codecs:
        for rate in args.rates:
            options = {"target_bpv": rate, "effort": args.effort, "special_tokens": "1"}
            note(codec, rate, through_archive(x, codec, **options))


if __name__ == "__main__":
    main()
