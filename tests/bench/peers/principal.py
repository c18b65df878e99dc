"""Principal components of the channels as tiles of video: the basis counted, or learnt on other clips.

In the manner of KV-cache and feature coders that hand decorrelated channels to a video codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from peers.coder import Coder, Parts, Shape, normalise
from peers.tiles import padded_height, tiled, untiled
from peers.video import Video

QUANTISERS: Final = {
    ("hevc", 10): (46, 42, 38, 34, 30, 26, 22, 18, 14, 10, 6, 2),
    ("hevc", 8): (38, 30, 22, 16, 10, 4, 1),
    ("av1", 10): (62, 56, 50, 44, 38, 32, 26, 20, 14, 8, 4, 1),
    ("av1", 8): (62, 52, 42, 32, 22, 12, 6, 1),
}
FINER: Final = {"hevc": (16, 10, 4), "av1": (40, 28, 18, 8, 2)}  # at steps finer by GAIN
GAIN: Final = 8


def basis(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(variances, vectors in columns) of the principal components of x (.., D), greatest first."""
    tokens = x.reshape(-1, x.shape[-1]).astype(np.float32)
    variances, vectors = np.linalg.eigh((tokens.T @ tokens / len(tokens)).astype(np.float64))
    return np.maximum(variances[::-1], 0), np.ascontiguousarray(vectors[:, ::-1], np.float32)


def others_basis(others: Sequence[np.ndarray], *, scaled: bool) -> np.ndarray:
    """Vectors of the components of other clips, each normalised by itself."""
    tokens = [normalise(x, scaled=scaled)[2].reshape(-1, x.shape[-1]) for x in others]
    return basis(np.concatenate(tokens))[1]


def components(name: str, video: Video, known: np.ndarray | None = None) -> Coder:
    """Components in `video.depth` bits, as tiles. known: the basis, not counted. Setting: (gain, QP or CRF).

    All have the step that the greatest value needs, over the gain; those that would not fit have a coarser one of their
    own in float16. Without a known basis the first K vectors are sent in float16: those of which a token costs more
    bits, by log2(variance / noise) / 2 of the noise that the quantiser makes, than 16 D bits over all tokens.
    """
    middle = 1 << (video.depth - 1)

    def encode(x: np.ndarray, setting: tuple[int, int]) -> Parts:
        gain, quantiser = setting
        variances, vectors = basis(x) if known is None else (None, known)
        vectors = vectors.astype(np.float16).astype(np.float32)
        planes = x @ vectors
        needed = np.abs(planes).max(axis=(0, 1)) / (middle - 1)
        step = np.float32(needed.max() / gain)
        if variances is not None:
            noise = (step * quantiser_step(video, quantiser)) ** 2 / 12
            saved = x.shape[0] * x.shape[1] * np.log2(np.maximum(variances / noise, 1e-9)) / 2
            vectors = vectors[:, : max(1, int((saved > 16 * x.shape[2]).sum()))]
            planes, needed = planes[..., : vectors.shape[1]], needed[: vectors.shape[1]]
        count = int(np.flatnonzero(needed > step)[-1]) + 1 if gain > 1 else 0
        own = np.maximum(needed[:count], step).astype(np.float16)
        kind = np.uint8 if video.depth == 8 else np.uint16
        codes = (np.rint(planes / _steps(step, own, planes.shape[2])) + middle).clip(0, 2 * middle - 1).astype(kind)
        sent = vectors.astype(np.float16).tobytes() if known is None else b""
        return video.encoded(tiled(codes), quantiser), step.tobytes(), own.tobytes(), sent

    def decode(parts: Parts, shape: Shape, setting: tuple[int, int]) -> np.ndarray:
        step, own = np.frombuffer(parts[1], np.float32)[0], np.frombuffer(parts[2], np.float16)
        vectors = known
        if vectors is None:
            vectors = np.frombuffer(parts[3], np.float16).reshape(shape[2], -1)
        vectors = vectors.astype(np.float16).astype(np.float32)
        frames = video.decoded(parts[0], padded_height(shape[1], vectors.shape[1]))
        planes = untiled(frames, shape[1], vectors.shape[1]).astype(np.float32) - middle
        return (planes * _steps(step, own, vectors.shape[1])) @ vectors.T

    settings = [(1, quantiser) for quantiser in QUANTISERS[video.codec, video.depth][:: 1 if video.inter else 2]]
    return Coder(name, [*settings, *((GAIN, quantiser) for quantiser in FINER[video.codec])], encode, decode)


def _steps(step: np.float32, own: np.ndarray, count: int) -> np.ndarray:
    """Of so many components."""
    steps = np.full(count, step, np.float32)
    steps[: len(own)] = own
    return steps


def quantiser_step(video: Video, quantiser: int) -> float:
    """About the step of the codec's quantiser, in levels: twice for 6 of QP, 13 of CRF, and each bit of depth."""
    octaves = (quantiser - 4) / 6 if video.codec == "hevc" else quantiser / 13 + 1.75
    return float(2 ** (octaves + video.depth - 8))
