"""Bits per value of a static camera's hour, and of clips that move, at one cosine.

    python tests/bench/still.py [--seconds 3600] [--fps 30] [--noise 1.5] [--cosine 0.97] [--efforts 1] [--folder DIR]

The still clip ($EMBDC_TEST_DATA/data/clips/nasa.mp4) is played forward and backward until the time is over, each frame
with fresh noise as a sensor has it: Gaussian, of a deviation that grows with the square root of the light, `--noise`
levels of 255 at mid grey. The others are as they are. All go through the ViT in $EMBDC_TEST_DATA/models, in bfloat16
where PyTorch's autocast has it (a deviation of nmse 0.002, against the 0.06 of cosine 0.97). The hour's tokens take
8 GB, under `--folder`; what lies there already is not embedded again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import record
import torch

import embdc_cli as embdc
from embdc_cli.embedder.open import open_embedder
from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import open_video

STILL = "nasa"
MOVING = ("cars", "juggle")
ENCODER = "vit-tiny-patch16-224"
BATCH = 32
SEED = 3


def frames_of(clip: Path) -> list[np.ndarray]:
    """(H, W, 3) uint8 each."""
    return [frame.pixels for frame in open_video(clip, EncodeOptions())]


def endless(frames: list[np.ndarray], noise: float) -> Iterator[np.ndarray]:
    """Forward, backward, forward and so on, each with noise of its own."""
    rng = np.random.default_rng(SEED)
    there_and_back = [*frames, *frames[-2:0:-1]]
    while True:
        for frame in there_and_back:
            deviation = noise * np.sqrt(frame / np.float32(128))
            noisy = frame + deviation * rng.standard_normal(frame.shape, np.float32)
            yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def embedded(frames: Iterator[np.ndarray], count: int, size: tuple[int, int], encoder: Path, out: Path) -> np.ndarray:
    """(count, N, D) float16 patch tokens of the last layer, in a file."""
    if out.exists():
        return np.load(out, "r")
    tower = open_embedder(EncodeOptions(encoder=str(encoder), streams=("patch",))).for_size(*size)
    (spec,) = tower.specs
    partial = out.with_suffix(".partial")
    tokens = np.lib.format.open_memmap(partial, "w+", np.float16, (count, *spec.row_shape))
    for start in range(0, count, BATCH):
        batch = [next(frames) for _ in range(min(BATCH, count - start))]
        with torch.autocast("cpu", torch.bfloat16):
            (rows,) = tower.embed(batch).values()
        tokens[start : start + len(batch)] = rows
    tokens.flush()
    partial.rename(out)
    return tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--noise", type=float, default=1.5)
    parser.add_argument("--cosine", type=float, default=0.97)
    parser.add_argument("--efforts", nargs="*", type=int, default=[1])
    parser.add_argument("--folder", type=Path, help="keeps the tokens here")
    args = parser.parse_args()
    data = Path(os.environ["EMBDC_TEST_DATA"])
    for clip in (STILL, *MOVING):
        frames = frames_of(data / "data/clips" / f"{clip}.mp4")
        still = clip == STILL
        source = endless(frames, args.noise) if still else iter(frames)
        count = round(args.seconds * args.fps) if still else len(frames)
        with tempfile.TemporaryDirectory() as folder:
            dump = (args.folder or Path(folder)) / f"{clip}-{count}.npy"
            x = embedded(source, count, frames[0].shape[:2], data / "models" / ENCODER, dump)
            for effort in args.efforts:
                result = embdc.encode(
                    str(dump), f"{folder}/x.embdc", force=True, target_cosine=args.cosine, effort=effort
                )
                row = {
                    "clip": clip,
                    "frames": count,
                    "noise": args.noise if still else 0,
                    "effort": effort,
                    "values": x.size,
                    "file_bytes": result["file_bytes"],
                    "bits_per_value": round(result["bits_per_value"], 4),
                    "cosine": round(result["achieved"]["cosine"], 4),
                    "nmse": round(result["achieved"]["nmse"], 4),
                }
                record.append("still", [row])


if __name__ == "__main__":
    main()
