"""Grey pictures through x265 and SVT-AV1, by PyAV, on one thread."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

os.environ.setdefault("SVT_LOG", "1")  # errors alone


@dataclass(frozen=True)
class Video:
    """codec: `hevc` or `av1`. depth: 8 or 10 bits. inter: pictures are predicted from others. more: of x265."""

    codec: str
    depth: int = 10
    inter: bool = True
    preset: str = ""
    more: str = ""

    @property
    def pixels(self) -> str:
        """PyAV's name of the format; SVT-AV1 has none without chroma."""
        name = "gray" if self.codec == "hevc" else "yuv420p"
        return name if self.depth == 8 else f"{name}10le"

    def encoded(self, frames: np.ndarray, quantiser: int) -> bytes:
        """frames: (T, H, W) unsigned, sides multiples of 8 and 64 or more. quantiser: QP of x265, CRF of SVT-AV1."""
        import av

        name, options = self._options(quantiser)
        out = io.BytesIO()
        with av.open(out, "w", format="hevc" if self.codec == "hevc" else "obu") as file:
            stream = file.add_stream(name, rate=30, options=options)
            stream.height, stream.width = frames.shape[1:]
            stream.pix_fmt = self.pixels
            stream.thread_count = 1
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(self._with_chroma(frame), format=self.pixels)))
                _calm()
            file.mux(stream.encode())
        _calm()
        return out.getvalue()

    def decoded(self, data: bytes, height: int) -> np.ndarray:
        """(T, H, W) of the height that was encoded."""
        import av

        with av.open(io.BytesIO(data), "r", format="hevc" if self.codec == "hevc" else "obu") as file:
            file.streams.video[0].thread_count = 1
            return np.stack([frame.to_ndarray(format=self.pixels)[:height] for frame in file.decode(video=0)])

    def _options(self, quantiser: int) -> tuple[str, dict[str, str]]:
        """Name of the encoder and its options; x265 tuned for squared error, and no text in its stream."""
        if self.codec == "hevc":
            tuning = "psy-rd=0:psy-rdoq=0:aq-mode=0:rdoq-level=2"
            frames = f"keyint={250 if self.inter else 1}:pools=none:frame-threads=1"
            parameters = f"qp={quantiser}:{tuning}:{frames}:info=0:log-level=none{self.more and f':{self.more}'}"
            return "libx265", {"preset": self.preset or "medium", "x265-params": parameters}
        preset = self.preset or ("3" if self.inter and self.depth == 10 else "5")
        parameters = f"lp=1:keyint={-1 if self.inter else 1}"
        return "libsvtav1", {"preset": preset, "crf": str(quantiser), "svtav1-params": parameters}

    def _with_chroma(self, frame: np.ndarray) -> np.ndarray:
        if self.codec == "hevc":
            return np.ascontiguousarray(frame)
        flat = np.full((frame.shape[0] // 2, frame.shape[1]), 1 << (self.depth - 1), frame.dtype)
        return np.concatenate([frame, flat])


def _calm() -> None:
    """SVT-AV1 makes threads real-time where it may, as root; they are made plain again, not to starve the machine."""
    tasks = Path("/proc/self/task")
    for task in tasks.iterdir() if tasks.exists() else ():
        if os.sched_getscheduler(int(task.name)) != os.SCHED_OTHER:
            os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
