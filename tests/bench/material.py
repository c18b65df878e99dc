"""What the downstream tasks are done on: pictures before the last block of a ViT, and frames of clips after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from evaluation import data
from transformers import ViTForImageClassification

from embdc_cli.embedder.open import open_embedder
from embdc_cli.options import EncodeOptions
from embdc_cli.source.video import open_video

CLIPS = {"nasa": 2, "cars": 1, "juggle": 2}  # and which frames: every one or every other, 12 to 15 a second
BATCH = 32


@dataclass(frozen=True)
class Material:
    """Tokens (T, S + N, D) float16 of each dump, S special ones first, and how much CLS attends to its patches (T, N).

    rates: rows per second of each, for clips.
    """

    dumps: list[np.ndarray]
    attention: list[np.ndarray]
    rates: list[float]

    @property
    def special(self) -> int:
        return self.dumps[0].shape[1] - self.attention[0].shape[1]


def pictures(tokens: np.ndarray) -> Material:
    """Tokens (T, 1 + N, D) before the last block."""
    return Material([tokens], [last_block(_model(), tokens)[1]], [])


def clips() -> Material:
    """Patch tokens of the frames of all clips, after the last block and norm."""
    model = _model()
    dumps, attentions, rates = [], [], []
    for name, stride in CLIPS.items():
        video = open_video(data() / f"data/clips/{name}.mp4", EncodeOptions())
        frames = list(video)[::stride]
        options = EncodeOptions(encoder=str(_folder()), layer=-2, streams=("cls", "patch"))
        tower = open_embedder(options).for_size(*frames[0].pixels.shape[:2])
        finals, weights = [], []
        for start in range(0, len(frames), BATCH):
            rows = tower.embed([frame.pixels for frame in frames[start : start + BATCH]])
            out, attention = last_block(model, np.concatenate([rows["cls"][:, None], rows["patch"]], axis=1))
            finals.append(out[:, 1:].astype(np.float16))
            weights.append(attention)
        dumps.append(np.concatenate(finals))
        attentions.append(np.concatenate(weights))
        rates.append((len(frames) - 1) / float((frames[-1].start - frames[0].start) * video.timebase))
    return Material(dumps, attentions, rates)


@torch.inference_mode()
def last_block(model: ViTForImageClassification, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(tokens (T, 1 + N, D) after the last block and norm; attention (T, N) of CLS to patches, the mean over heads)."""
    hidden = torch.from_numpy(tokens.astype(np.float32))
    block = model.vit.layers[-1]
    normed = block.layernorm_before(hidden)
    heads = model.config.num_attention_heads
    queries = block.attention.q_proj(normed[:, :1]).unflatten(-1, (heads, -1)).transpose(1, 2)
    keys = block.attention.k_proj(normed).unflatten(-1, (heads, -1)).transpose(1, 2)
    weights = (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1).mean(1)[:, 0, 1:]
    return model.vit.layernorm(block(hidden)).numpy(), weights.numpy()


def _folder() -> Path:
    return data() / "models/vit-tiny-patch16-224"


def _model() -> ViTForImageClassification:
    return ViTForImageClassification.from_pretrained(_folder()).eval()
