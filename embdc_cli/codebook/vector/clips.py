"""What levels are learnt from: chunks of tokens, those of every stream about that stream's own mean.

An archive keeps the mean of each segment, so codewords need not know it: centred by the corpus instead, most of them
would only tell one clip from another. For the same reason refinement leaves the mean of a codebook alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli.codebook.corpus import Chunk, layout_of, read_tokens
from embdc_cli.codebook.engine import HERE, Engine
from embdc_cli.codec.transform.sparse_fit import grid_width
from embdc_cli.values import Tensor

MAX_VALUES: Final = 1 << 22
"""Of all clips: 16 MiB, and some ten seconds for each step of refinement."""


@dataclass(frozen=True, eq=False)
class Clip:
    """chunks: (F, N, D) float32 each, about their common mean. width: of the token grid."""

    chunks: tuple[np.ndarray, ...]
    width: int

    @property
    def tokens(self) -> np.ndarray:
        """(n, D) of all chunks."""
        return np.concatenate([chunk.reshape(-1, chunk.shape[-1]) for chunk in self.chunks])


def read_clips(sample: Sequence[tuple[Tensor, list[Chunk]]], engine: Engine = HERE) -> list[Clip]:
    """One clip for each stream. Raises: SourceError for NaN and infinities."""
    return list(engine.map(_clip, sample))


def _clip(tensor: Tensor, chosen: Sequence[Chunk]) -> Clip:
    layout = layout_of(tensor.spec)
    chunks = []
    for chunk in chosen:
        tokens = read_tokens(tensor, chunk)
        rows = 1 if tensor.spec.ragged else max(1, chunk[1] - chunk[0])
        chunks.append(tokens.reshape(rows, -1, layout.fold))
    count = max(1, sum(chunk.shape[0] * chunk.shape[1] for chunk in chunks))
    mean = sum(chunk.sum(axis=(0, 1), dtype=np.float64) for chunk in chunks) / count
    centred = tuple((chunk - mean).astype(np.float32) for chunk in chunks)
    return Clip(centred, grid_width(tensor.spec, centred[0].shape[1], tensor.spec.channels // layout.fold))
