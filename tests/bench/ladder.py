"""LLM.265's ladder measured again: bits per value at 1 % of the variance, one tool of video coding at a time.

    python tests/bench/ladder.py [--inputs weights embeddings] [--rows T]

Inputs: `weights`, the fc1 of all layers of $EMBDC_TEST_DATA/models/chargpt, a frame of 768 x 192 each;
`embeddings`, the first rows of a clip's last layer, a frame per row with a tile of 14 x 14 for each channel. The error
is nmse, relative to the variance about the mean of each channel. Samples are 8 bits from the least to the greatest
value of the input. Rungs:

    8 bits              round to nearest, as they are
    entropy, 8 bits     the same codes at their own entropy, of order 0; far less error than 1 %
    entropy             a uniform quantiser whose step makes 1 %, entropy of order 0
    dct                 blocks of 8 x 8, one step for all coefficients, entropy of order 0 of each of the 64 positions
    intra               x265 on 8-bit samples, all intra, coding units of 16 x 16 and no others, transforms up to 16
    partition           units of 8 x 8 to 64 x 64, transforms of 4 x 4 to 32 x 32
    inter               the same, and frames predict each other: layers for weights, time for embeddings
    embdc hevc          what `--codec hevc` makes of it: ten bits, a scale per channel, a rotation; the whole file
    embdc transform     the same of `--codec transform`

Entropies have no tables and no side information to pay for, x265 its headers, embdc everything. Bits at 1 % are read
off between quantisers of x265, linearly over the logarithm of the error; it runs at preset medium, without
psychovisual options and adaptive quantisation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import record
from curves import bits_at
from evaluation import data
from peers.video import Video
from safetensors.numpy import load_file
from tensor_coding import through_archive

GOAL = 0.01
BLOCK = 8
QUANTISERS = range(10, 40, 3)
PLAIN = "rdoq-level=0:scenecut=0"
ONE_SIZE = "keyint=1:ctu=16:min-cu-size=16:max-tu-size=16"
DUMP = "juggle__vit-tiny__final"
PAPER = {"8 bits": 8.0, "entropy, 8 bits": 7.6, "dct": 3.5, "intra": 2.9, "partition": 2.6, "inter": 3.1}


def inputs(rows: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The tensor, and its frames (T, H, W)."""
    weights = load_file(data() / "models/chargpt/model.safetensors")
    layers = np.stack([weights[name] for name in sorted(weights) if name.endswith("fc1.weight")])
    x = np.load(data() / "data/embeddings" / f"{DUMP}.npy")[:rows].astype(np.float32)
    tiles = x.reshape(rows, 14, 14, 12, 16).transpose(0, 3, 1, 4, 2).reshape(rows, 12 * 14, 16 * 14)
    return {"weights": (layers, layers), "embeddings": (x, tiles)}


def entropy(codes: np.ndarray) -> float:
    """Bits per code, of order 0."""
    counts = np.unique(codes, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def blocks_of(frames: np.ndarray) -> np.ndarray:
    """(blocks, 64) DCT coefficients of blocks of 8 x 8."""
    n = np.arange(BLOCK)
    basis = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    basis[0] /= np.sqrt(2)
    count, height, width = frames.shape
    cut = frames.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(2, 3)
    return np.asarray(basis @ cut @ basis.T).reshape(-1, BLOCK * BLOCK)


def entropy_at(values: np.ndarray, variance: float) -> float:
    """Bits per value of a uniform quantiser that makes an error of GOAL, each column of `values` with its own table."""
    low, high = 0.0, 8 * np.sqrt(variance)
    for _ in range(40):
        step = (low + high) / 2
        error = ((np.rint(values / step) * step - values) ** 2).mean()
        low, high = (step, high) if error < GOAL * variance else (low, step)
    codes = np.rint(values / low)
    return float(np.mean([entropy(column) for column in codes.T]))


def video_at(samples: np.ndarray, variance: float, parameters: str) -> float:
    """Bits per value of x265 on 8-bit samples (T, H, W), of this variance."""
    points, video = [], Video("hevc", depth=8, more=f"{PLAIN}:{parameters}")
    for quantiser in QUANTISERS:
        coded = video.encoded(samples, quantiser)
        decoded = video.decoded(coded, samples.shape[1]).astype(np.float64)
        error = ((decoded - samples) ** 2).mean() / variance
        points.append((float(error), 8 * len(coded) / samples.size))
    return bits_at(points, GOAL)


def rungs(tensor: np.ndarray, frames: np.ndarray) -> dict[str, Callable[[], float]]:
    """Bits per value of each, from the bottom up."""
    low, high = float(frames.min()), float(frames.max())
    samples = np.rint((frames - low) / (high - low) * 255).astype(np.uint8)
    centred = frames.astype(np.float64) - frames.mean()
    variance = float(tensor.reshape(-1, tensor.shape[-1]).astype(np.float64).var(axis=0).mean())
    of_samples = variance * (255 / (high - low)) ** 2

    def archive(codec: str) -> float:
        flat = tensor.reshape(-1, tensor.shape[-1]) if tensor is frames else tensor
        return through_archive({"x": flat}, codec, target_nmse=GOAL).bits

    return {
        "8 bits": lambda: 8.0,
        "entropy, 8 bits": lambda: entropy(samples),
        "entropy": lambda: entropy_at(centred.reshape(-1, 1), variance),
        "dct": lambda: entropy_at(blocks_of(centred), variance),
        "intra": lambda: video_at(samples, of_samples, ONE_SIZE),
        "partition": lambda: video_at(samples, of_samples, "keyint=1"),
        "inter": lambda: video_at(samples, of_samples, "keyint=250"),
        "embdc hevc": lambda: archive("hevc"),
        "embdc transform": lambda: archive("transform"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", nargs="*", default=["weights", "embeddings"])
    parser.add_argument("--rows", type=int, default=16)
    args = parser.parse_args()
    for name, (tensor, frames) in inputs(args.rows).items():
        if name in args.inputs:
            for rung, bits in rungs(tensor, frames).items():
                row = {"input": name, "rung": rung, "bits_per_value": round(bits(), 3), "paper": PAPER.get(rung, "")}
                record.append("ladder", [row])


if __name__ == "__main__":
    main()
