"""What the user decides about a video codec; the same words as the options of embdc(1)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoOptions:
    """standard: of `stream.STANDARDS`. rotation, inter: `auto` measures. backend: who encodes (`backend`)."""

    standard: str
    rotation: str = "auto"
    inter: str = "auto"
    backend: str = "auto"
