"""Encode and decode of embdc and of the strongest other coders, in turn, at about the same bits per value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import peers
from peers.coder import Coder, normalised
from peers.principal import components, others_basis
from peers.tiles import channels
from peers.video import Video
from peers.whole_files import whole_files

OURS: Final = "embdc-1"
NAMES: Final = (
    "llm265 inter",
    "kvtc zstd",
    "faiss-pq",
    "sz3",
    "zfp",
    "rtn channel",
    "fp16-zstd",
)


def coders(x: np.ndarray, bits: float) -> list[Coder]:
    """Those timed. embdc: whole files of so many bits per value, models learnt anew in every encode.

    Principal components have a basis that is known: of few tokens with many channels none is worth its bytes.
    """
    found = [replace(whole_files(effort), settings=(bits,)) for effort in (1, 0)] + [channels()]
    known = others_basis([x], scaled=False)
    found += [components(f"pca-{codec}-trained", Video(codec), known) for codec in ("hevc", "av1")]
    found += [coder for coder in peers.self_contained() if coder.name in NAMES]
    return [normalised(coder, scaled=False) for coder in peers.present(found)]


def nearest(coder: Coder, x: np.ndarray, bits: float) -> Any:
    """The setting whose bits per value are nearest to `bits`, by halving; bits rise with the settings."""
    known: dict[int, float] = {}

    def at(number: int) -> float:
        if number not in known:
            known[number] = coder.coded(x, coder.settings[number]).bits
        return known[number]

    low, high = 0, len(coder.settings) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) > bits else (middle, high)
    return coder.settings[min((low, high), key=lambda number: abs(np.log(at(number) / bits)))]


def peer_rows(x: np.ndarray, bits: float, rounds: int) -> list[dict[str, Any]]:
    """Medians over `rounds`, in each of which every coder has its turn; ratios are of speeds, over embdc-1's."""
    settings = [(coder, nearest(coder, x, bits)) for coder in coders(x, bits)]
    turns = [[coder.coded(x, setting) for coder, setting in settings] for _ in range(rounds)]
    seconds = np.median([[(one.encode_seconds, one.decode_seconds) for one in turn] for turn in turns], axis=0)
    ours = seconds[[coder.name for coder, _ in settings].index(OURS)]
    return [
        _row(x, coder, setting, one.bits, own, ours)
        for (coder, setting), one, own in zip(settings, turns[0], seconds, strict=True)
    ]


def _row(
    x: np.ndarray, coder: Coder, setting: object, bits: float, seconds: Sequence[float], ours: Sequence[float]
) -> dict[str, Any]:
    encode, decode = map(float, seconds)
    return {
        "shape": "x".join(map(str, x.shape)),
        "coder": coder.name,
        "setting": setting,
        "bits_per_value": round(bits, 3),
        "encode_mvalues_s": round(x.size / encode / 1e6, 2),
        "decode_mvalues_s": round(x.size / decode / 1e6, 2),
        "encode_over_embdc": round(float(ours[0]) / encode, 3),
        "decode_over_embdc": round(float(ours[1]) / decode, 3),
    }
