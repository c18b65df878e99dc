"""Which codec for what: bits per value and seconds of video codecs, `transform` and `lossless` at three errors.

    python tests/bench/standards.py [--inputs juggle weights] [--codecs hevc] [--errors 0.02] [--rows T]

Inputs: the first `--rows` rows of each dump of three axes under $EMBDC_TEST_DATA/data/embeddings (pictures have their
CLS left out), the first block of models/chargpt, and keys and values of half as many sequences as rows. Whole files at
nmse 0.1, 0.02 and 0.005, effort 1 for all. The columns `times_transform_` are bits and seconds over those of
`transform` at the same error in the same run. Rows of input `all` have geometric means of bits and medians of seconds,
over the inputs of a kind and the errors asked for, each by itself. Few rows make models and bases dear, those of
`transform` and of rotations of video codecs alike; `rate.py` has whole dumps.
"""

from __future__ import annotations

import argparse

import numpy as np
import record
from curves import geometric_mean
from evaluation import data, evaluation
from kv_cache import cache_of
from safetensors.numpy import load_file
from tensor_coding import through_archive

ERRORS = (0.1, 0.02, 0.005)
CODECS = ("transform", "hevc", "av1", "lossless")  # transform first: the others are measured by it
EXACT = "lossless"
BLOCK = "blocks.0."
RATIOS = ("times_transform_bits", "times_transform_encode", "times_transform_decode")


def inputs(rows: int) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """(kind, name) -> tensors."""
    found = {}
    for path in sorted((data() / "data/embeddings").glob("*.npy")):
        x = np.load(path, "r")
        if x.ndim == 3:
            special = x.shape[1] - 196 if path.stem.startswith("images") else 0
            found["embeddings", path.stem] = {"x": np.array(x[:rows, special:])}
    weights = load_file(data() / "models/chargpt/model.safetensors")
    found["weights", "chargpt weights"] = {name: weights[name] for name in weights if name.startswith(BLOCK)}
    gpt = evaluation("chargpt")
    gpt.SEQUENCES = rows // 2
    found["keys and values", "chargpt cache"] = cache_of(gpt)[1]
    return found


def measured(tensors: dict[str, np.ndarray], codec: str, error: float) -> dict[str, float]:
    """Bits and seconds."""
    options = {} if codec == EXACT else {"target_nmse": error}
    coded = through_archive(tensors, codec, **options)
    return {"bits": coded.bits, "encode": coded.encode_seconds, "decode": coded.decode_seconds}


def over_inputs(rows: list[dict]) -> list[dict]:
    """For every kind, error and codec."""
    keys = sorted({(row["kind"], row["nmse"], row["codec"]) for row in rows})
    means = []
    for kind, error, codec in keys:
        same = [row for row in rows if (row["kind"], row["nmse"], row["codec"]) == (kind, error, codec)]
        means.append({**same[0], "input": "all", "values": sum(row["values"] for row in same)})
        means[-1]["bits_per_value"] = round(geometric_mean([row["bits_per_value"] for row in same]), 3)
        means[-1][RATIOS[0]] = round(geometric_mean([row[RATIOS[0]] for row in same]), 3)
        for name in RATIOS[1:]:
            means[-1][name] = round(float(np.median([row[name] for row in same])), 2)
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--codecs", nargs="*", default=list(CODECS[1:]), help="beside transform")
    parser.add_argument("--errors", nargs="*", type=float, default=list(ERRORS))
    parser.add_argument("--rows", type=int, default=8)
    args = parser.parse_args()
    everything = []
    for (kind, name), tensors in inputs(args.rows).items():
        if not any(part in name for part in args.inputs):
            continue
        rows = []
        for error in args.errors:
            base = measured(tensors, CODECS[0], error)
            for codec in CODECS[:1] + tuple(args.codecs):
                found = base if codec == CODECS[0] else measured(tensors, codec, error)
                ratios = {ratio: found[what] / base[what] for ratio, what in zip(RATIOS, base, strict=True)}
                rows.append(
                    {
                        "kind": kind,
                        "input": name,
                        "values": sum(x.size for x in tensors.values()),
                        "nmse": error,
                        "codec": codec,
                        "bits_per_value": round(found["bits"], 3),
                        **{ratio: round(value, 3) for ratio, value in ratios.items()},
                    }
                )
        record.append("standards", rows)
        everything += rows
    record.append("standards", over_inputs(everything))


if __name__ == "__main__":
    main()
