"""What two networks lose when their weights go through an archive: perplexity of a GPT, top-1 agreement of a ViT.

    python tests/bench/weights.py [--networks chargpt vit] [--rates R ...] [--codecs transform hevc] [--frames N]

The GPT is $EMBDC_TEST_DATA/models/chargpt, perplexity as in eval/chargpt.py; the bar is 3 % at 2.9 bits per value. Of
the ViT, two figures. The pictures that it is good at are not among the data, only their tokens before the last block:
`last block` is its last block, norm and head with decoded weights on those tokens, 200 pictures, and says nothing of
the eleven blocks before. `whole network` classifies frames of the clips, as embdc's own embedder prepares them, with
all weights decoded. Such frames are no ImageNet pictures: their first class has a median probability of 0.17, that of
the 200 pictures 0.92, so small errors turn many of them. The bar, 0.95 at 4.0 and 2.9, is meant for the whole network.
Every rate is held to the bars. Beside the codecs: round to nearest with a scale per row, through zstd.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import record
import torch
from evaluation import data, evaluation
from safetensors.numpy import load_file, save_file
from tensor_coding import RTN, Coded, rounded_to_nearest, through_archive, verdict
from transformers import ViTForImageClassification

from embdc_cli.embedder.hub_folder import open_folder
from embdc_cli.embedder.preprocess import Preprocess
from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import open_video

PERPLEXITY_BAR = 1.03
AGREEMENT_BAR = 0.95
NETWORKS = ("chargpt", "vit")
RATES = (4.0, 2.9)
MAIN_RATE = 2.9
MAIN_CODECS = ("transform", "hevc")  # at every rate; the others at the main one
DEPTHS = (4, 3)
VIT = "vit-tiny-patch16-224"
CLIPS = ("cars", "juggle", "nasa")

Figures = list[tuple[str, float, float, bool | None]]  # measure, before, after, whether the bar is held


class CharGpt:
    """Judged by perplexity."""

    folder = data() / "models/chargpt"

    def __init__(self) -> None:
        self._evaluation = evaluation("chargpt")
        self._before = self._evaluation.perplexity()

    def figures(self, weights: Path) -> Figures:
        after = self._evaluation.perplexity(weights)
        return [("perplexity", self._before, after, after <= PERPLEXITY_BAR * self._before)]


class Vit:
    """Judged by how often its first class stays the same."""

    folder = data() / "models" / VIT

    def __init__(self, frames: int) -> None:
        self._tokens = torch.from_numpy(np.load(evaluation("vit_tail").ORIGINAL).astype(np.float32))
        self._pixels = pixels_of_clips(self.folder, frames)
        self._before = self._classes(self.folder)

    def figures(self, weights: Path) -> Figures:
        shutil.copy(self.folder / "config.json", weights.parent)
        pairs = zip(("last block", "whole network"), self._before, self._classes(weights.parent), strict=True)
        shares = [(name, float((one == other).double().mean())) for name, one, other in pairs]
        return [(f"agreement, {name}", 1.0, share, share >= AGREEMENT_BAR) for name, share in shares]

    @torch.inference_mode()
    def _classes(self, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
        """First classes from the tokens before the last block, and from pixels."""
        model = ViTForImageClassification.from_pretrained(folder).eval()
        layers = model.vit.encoder.layer if hasattr(model.vit, "encoder") else model.vit.layers
        out = layers[-1](self._tokens)
        hidden = out[0] if isinstance(out, tuple) else out
        tail = model.classifier(model.vit.layernorm(hidden)[:, 0])
        whole = torch.cat([model(pixels).logits for pixels in self._pixels.split(16)])
        return tail.argmax(-1), whole.argmax(-1)


def pixels_of_clips(folder: Path, count: int) -> torch.Tensor:
    """(count, 3, H, W): frames of the clips, equally far apart, prepared as embdc's embedder does."""
    preprocess = Preprocess.from_config(open_folder(str(folder)).preprocessor(), VIT)
    prepared = []
    for clip in CLIPS:
        frames = [frame.pixels for frame in open_video(data() / "data/clips" / f"{clip}.mp4", EncodeOptions())]
        for at in np.linspace(0, len(frames) - 1, -(-count // len(CLIPS))).round().astype(int):
            size = preprocess.final_size(*frames[at].shape[:2])
            prepared.append(preprocess.pixels(frames[at], size, torch.device("cpu")))
    return torch.stack(prepared)


def coders(rates: list[float], codecs: list[str], effort: int) -> Iterator[tuple[str, Callable[[dict], Coded]]]:
    """What each is called, and what it makes of tensors."""
    for rate in rates:
        for codec in codecs:
            if codec in MAIN_CODECS or rate == MAIN_RATE:
                yield (
                    f"{codec} at {rate}",
                    lambda x, codec=codec, rate=rate: through_archive(x, codec, target_bpv=rate, effort=effort),
                )
    for depth in DEPTHS:
        yield f"{RTN} {depth} bits + zstd", lambda x, depth=depth: rounded_to_nearest(x, depth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rates", nargs="*", type=float, default=list(RATES))
    parser.add_argument("--codecs", nargs="*", default=["transform", "hevc", "av1", "h264"])
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--frames", type=int, default=150)
    args = parser.parse_args()
    for name in args.networks:
        network = CharGpt() if name == "chargpt" else Vit(args.frames)
        tensors = load_file(network.folder / "model.safetensors")
        for coder, code in coders(args.rates, args.codecs, args.effort):
            coded = code(tensors)
            with tempfile.TemporaryDirectory() as folder:
                weights = Path(folder) / "model.safetensors"
                save_file(coded.tensors, weights, metadata={"format": "pt"})
                figures = network.figures(weights)
            record.append(
                "weights",
                [
                    {
                        "network": name,
                        "coder": coder,
                        "effort": "" if coder.startswith(RTN) else args.effort,
                        "bits_per_value": round(coded.bits, 3),
                        "nmse": round(coded.nmse, 5),
                        "measure": measure,
                        "before": round(before, 4),
                        "after": round(after, 4),
                        "bar": verdict(kept=kept),
                        "encode_seconds": round(coded.encode_seconds, 1),
                        "decode_seconds": round(coded.decode_seconds, 1),
                    }
                    for measure, before, after, kept in figures
                ],
            )


if __name__ == "__main__":
    main()
