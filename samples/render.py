"""Makes the two samples beside this file: shapes.mp4, three seconds of moving shapes, and tokens.npy, a small dump.

    python samples/render.py [FOLDER]

Both are drawn from formulas and a fixed seed, and the encoder runs on one thread, so that the same versions of PyAV
and numpy give the same bytes again.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

WIDTH, HEIGHT = 320, 240
FPS = 24
FRAMES = 3 * FPS
TOKENS, DIMS, RANK = 16, 96, 12


def draw(frame: int) -> np.ndarray:
    """Picture number `frame`, (240, 320, 3) uint8 RGB: stripes, a sliding square and a bouncing disc, in integers."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = np.stack([40 + x * 60 // WIDTH, 50 + y * 70 // HEIGHT, np.full_like(x, 90)], axis=-1)
    picture[(x + 2 * y + 3 * frame) % 96 < 6] = (200, 200, 190)
    left = 20 + 3 * frame
    picture[(x >= left) & (x < left + 48) & (y >= 160) & (y < 208)] = (30, 160, 90)
    center_x, center_y = 60 + bounce(5 * frame, 200), 60 + bounce(4 * frame, 120)
    picture[(x - center_x) ** 2 + (y - center_y) ** 2 < 28**2] = (230, 90, 40)
    return np.asarray(picture, np.uint8)


def bounce(distance: int, length: int) -> int:
    """Where a point is that runs to and fro between 0 and `length`."""
    return length - abs(distance % (2 * length) - length)


def render_video(path: Path) -> None:
    """Write the frames as H.264 in MP4, BT.709 and limited range as the stream says, index in front."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        # x264's macroblock tree does not give the same bytes every time, even on one thread
        options = {"crf": "20", "g": str(FPS), "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        for number in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame = picture.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
                threads=1,
            )
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def draw_tokens() -> np.ndarray:
    """(72, 16, 96) float16: 12 components that drift over time, mixed into 96 channels of uneven size and mean."""
    rng = np.random.default_rng(20)
    mixing = rng.standard_normal((RANK, DIMS)) * 0.8 ** np.arange(RANK)[:, None]
    gain, mean = np.exp(rng.standard_normal(DIMS) * 0.5), rng.standard_normal(DIMS) * 2
    state = rng.standard_normal((TOKENS, RANK))
    rows = []
    for _ in range(FRAMES):
        state = 0.97 * state + np.sqrt(1 - 0.97**2) * rng.standard_normal((TOKENS, RANK))
        rows.append((state @ mixing + 0.05 * rng.standard_normal((TOKENS, DIMS))) * gain + mean)
    return np.stack(rows).astype(np.float16)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    render_video(folder / "shapes.mp4")
    np.save(folder / "tokens.npy", draw_tokens())


if __name__ == "__main__":
    main()
