"""Coders that embdc is compared with, each at its plainest: round to nearest, product quantisation, x265."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import zstandard

CENTROIDS: Final = 256
_ROUNDS: Final = 12
SEED: Final = 4


def rounded(x: np.ndarray, depth: int, axes: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """(bits per value, x decoded): to nearest in `depth` bits under a float16 scale for all along `axes`; zstd -19."""
    wide = x.astype(np.float32)
    largest = (1 << (depth - 1)) - 1
    scale = (np.abs(wide).max(axis=axes, keepdims=True) / largest).astype(np.float16)
    codes = np.rint(wide / np.maximum(scale.astype(np.float32), 1e-8)).clip(-largest, largest).astype(np.int8)
    packed = zstandard.ZstdCompressor(level=19).compress(codes.tobytes())
    return 8 * (len(packed) + scale.nbytes) / x.size, codes * scale.astype(np.float32)


def product_quantised(x: np.ndarray, parts: int) -> tuple[float, np.ndarray]:
    """(bits per value, x decoded): tokens (.., D) as a byte for each of `parts` runs of channels.

    The 256 centroids of each run come from k-means over these same tokens and are counted in float16; bytes go through
    zstd -19. Source: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", IEEE T-PAMI 33, 2011.
    """
    tokens = x.reshape(-1, x.shape[-1]).astype(np.float32)
    rng = np.random.default_rng(SEED)
    decoded, codes, held = np.empty_like(tokens), [], 0
    for columns in np.array_split(np.arange(tokens.shape[1]), parts):
        part = np.ascontiguousarray(tokens[:, columns])
        centroids = part[rng.choice(len(part), CENTROIDS, replace=False)]
        for _ in range(_ROUNDS):
            nearest = _nearest(part, centroids)
            counts = np.bincount(nearest, minlength=CENTROIDS)
            sums = np.stack([np.bincount(nearest, column, CENTROIDS) for column in part.T], axis=1)
            centroids[counts > 0] = (sums / np.maximum(counts, 1)[:, None])[counts > 0]
        centroids = centroids.astype(np.float16).astype(np.float32)
        nearest = _nearest(part, centroids)
        decoded[:, columns] = centroids[nearest]
        codes.append(nearest.astype(np.uint8))
        held += 2 * centroids.size
    packed = zstandard.ZstdCompressor(level=19).compress(np.stack(codes).tobytes())
    return 8 * (len(packed) + held) / x.size, decoded.reshape(x.shape)


def _nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.asarray((0.5 * (centroids**2).sum(axis=1) - points @ centroids.T).argmin(axis=1))


def video_coded(x: np.ndarray, quantiser: int) -> tuple[float, np.ndarray]:
    """(bits per value, x decoded): x (T, h, w, D) in 8 bits through x265, a frame of channel planes for each of T.

    8 bits from the least to the greatest value of each channel, these in float16.
    """
    rows, height, width, channels = x.shape
    wide = x.astype(np.float32)
    low, high = (edge.astype(np.float16).astype(np.float32) for edge in (wide.min((0, 1, 2)), wide.max((0, 1, 2))))
    scale = np.maximum(high - low, 1e-6) / 255
    across = int(np.ceil(np.sqrt(channels)))
    down = -(-channels // across)
    planes = np.zeros((rows, down * across, height, width), np.uint8)
    planes[:, :channels] = np.rint((wide - low) / scale).clip(0, 255).transpose(0, 3, 1, 2)
    frames = planes.reshape(rows, down, across, height, width).swapaxes(2, 3)
    data = x265_encoded(frames.reshape(rows, down * height, across * width), quantiser)
    back = x265_decoded(data)[:, : down * height, : across * width].reshape(rows, down, height, across, width)
    values = back.swapaxes(2, 3).reshape(planes.shape)[:, :channels].transpose(0, 2, 3, 1)
    return 8 * (len(data) + 4 * channels) / x.size, values * scale + low


def x265_encoded(frames: np.ndarray, quantiser: int, more: str = "") -> bytes:
    """frames: (T, H, W) uint8, coded grey at a constant quantiser, preset medium, on one thread. more: parameters."""
    import av

    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2)), mode="edge")
    parameters = f"qp={quantiser}:keyint=250:info=0:log-level=none:pools=none:frame-threads=1"
    parameters += f":{more}" if more else ""
    out = io.BytesIO()
    with av.open(out, "w", format="hevc") as file:
        stream = file.add_stream("libx265", rate=30, options={"preset": "medium", "x265-params": parameters})
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        stream.thread_count = 1
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        file.mux(stream.encode())
    return out.getvalue()


def x265_decoded(data: bytes) -> np.ndarray:
    """(T, H, W) uint8, H and W even."""
    import av

    with av.open(io.BytesIO(data), "r", format="hevc") as file:
        file.streams.video[0].thread_count = 1
        return np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)])
