"""Options of the video codecs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from embdc_cli.cli.parameters import choice
from embdc_cli.options import BACKENDS, INTER, ROTATIONS, DecodeOptions, EncodeOptions

Backend = Annotated[str, choice("--backend", choices=BACKENDS, help="Who codes video: software or NVIDIA's engines.")]


@dataclass(frozen=True)
class VideoCodec:
    """How h264, hevc and av1 are used."""

    TITLE: ClassVar = "Video codecs"

    rotation: Annotated[
        str, choice("--rotation", choices=ROTATIONS, help="What is done to channels first (default: measured).")
    ] = EncodeOptions.rotation
    inter: Annotated[str, choice("--inter", choices=INTER, help="Predict frames from others (default: measured).")] = (
        EncodeOptions.inter
    )
    backend: Backend = EncodeOptions.backend


@dataclass(frozen=True)
class VideoDecoding:
    """How their streams are read."""

    TITLE: ClassVar = VideoCodec.TITLE

    backend: Backend = DecodeOptions.backend
