"""embdc itself as a coder: whole files at a target of bits per value, through its API."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import embdc_cli as embdc
from peers.coder import Coder, Parts, Shape

TARGETS: Final = (0.005, 0.01, 0.03, 0.1, 0.3, 0.8, 1.6, 2.6, 4.0)


def whole_files(
    effort: int, *, weighting: str = "none", others: Sequence[Path] = (), codebook: Path | None = None
) -> Coder:
    """Setting: bits per value. codebook: where one is learnt from the `others`; files refer to it, uncounted."""
    options: dict[str, Any] = {"effort": effort, "weighting": weighting}
    if codebook is not None:
        options |= {"codebook": str(codebook), "embed_codebook": "no"}

    def learn(target: float) -> None:
        if codebook is not None and not codebook.exists():
            embdc.train_codebook(others, codebook)

    def encode(x: np.ndarray, target: float) -> Parts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "x.embdc"
            embdc.encode(x, file, target_bpv=target, **options)
            return (file.read_bytes(),)

    def decode(parts: Parts, shape: Shape, target: float) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            file, out = Path(folder) / "x.embdc", Path(folder) / "x.npy"
            file.write_bytes(parts[0])
            embdc.decode(file, out, codebooks=(str(codebook),) if codebook is not None else ())
            return np.load(out)

    name = f"embdc-{effort}" + ("-trained" if codebook is not None else "")
    return Coder(name, TARGETS, encode, decode, as_is=True, learn=learn)
