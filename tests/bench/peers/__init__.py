"""Coders that embdc is compared with, one family per file; `coder` says what they have in common."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence

import numpy as np

from peers.coder import Coder
from peers.kvtc import kvtc
from peers.llm265 import rows_as_pictures
from peers.principal import components, others_basis
from peers.product_quantisation import product, residual
from peers.raw import zstd
from peers.rounding import rounding
from peers.scientific import sz3, zfp
from peers.video import Video


def self_contained() -> list[Coder]:
    """Every coder whose bytes are all that its decoder needs."""
    return [
        *(
            components(
                f"pca-{codec}{'' if depth == 10 else ' 8-bit'}{'' if inter else ' intra'}", Video(codec, depth, inter)
            )
            for codec in ("hevc", "av1")
            for depth in (10, 8)
            for inter in (True, False)
        ),
        *(rows_as_pictures(variant) for variant in ("intra", "inter", "rotated inter")),
        kvtc("kvtc zstd", "zstd"),
        kvtc("kvtc deflate", "deflate"),
        product(),
        residual(),
        sz3(),
        zfp(),
        rounding("token"),
        rounding("channel"),
        zstd(),
    ]


def trained(others: Sequence[np.ndarray], *, scaled: bool) -> list[Coder]:
    """Coders with a basis or codebooks from other clips of the same encoder and layer, which are not counted."""
    known = others_basis(others, scaled=scaled)
    return [
        components("pca-hevc-trained", Video("hevc"), known),
        components("pca-av1-trained", Video("av1"), known),
        kvtc("kvtc-trained", "zstd", known),
        product(others, scaled=scaled),
        residual(others, scaled=scaled),
    ]


def present(coders: Iterable[Coder]) -> list[Coder]:
    """Those whose package is there; the others are named on stderr."""
    found = []
    for coder in coders:
        try:
            if coder.package:
                importlib.import_module(coder.package)
            found.append(coder)
        except ImportError as error:
            print(f"left out: {coder.name}: {error}; hint: pip install '.[bench]'", file=sys.stderr)
    return found
