"""Token dropping, the rival of coding: only the patches that CLS attends to most are kept, and which costs a bit each.

Source: Yang et al., "VisionZip: longer is better but not necessary in vision language models", arXiv 2412.04467,
section 3.2, its dominant tokens; what it merges into contextual tokens is dropped here. Attention is that of the last
block, averaged over heads: for tokens before that block it knows what their consumer will look at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import zstandard


def most_attended(attention: np.ndarray, share: float) -> np.ndarray:
    """(T, N) bool: the `share` of each row's patches with the greatest attention (T, N)."""
    count = max(1, round(share * attention.shape[1]))
    order = np.argsort(-attention, axis=1, kind="stable")[:, :count]
    kept = np.zeros(attention.shape, bool)
    np.put_along_axis(kept, order, True, axis=1)
    return kept


def dropped(
    x: np.ndarray, kept: np.ndarray, coder: Callable[[np.ndarray], tuple[float, np.ndarray]]
) -> tuple[float, np.ndarray]:
    """(bits per value of x, x decoded with zeros where tokens were dropped): the kept ones through `coder`, and a mask.

    x: (T, S + N, D) with S special tokens, which stay. kept: (T, N), equally many in every row.
    """
    special = x.shape[1] - kept.shape[1]
    there = np.concatenate([np.ones((len(x), special), bool), kept], axis=1)
    fewer = x[there].reshape(len(x), -1, x.shape[-1])
    bits, decoded = coder(fewer)
    whole = np.zeros(x.shape, np.float32)
    whole[there] = decoded.reshape(-1, x.shape[-1])
    mask = 8 * len(zstandard.ZstdCompressor(level=19).compress(np.packbits(kept).tobytes()))
    return (bits * fewer.size + mask) / x.size, whole


def stored(x: np.ndarray) -> tuple[float, np.ndarray]:
    """(bits per value, x as float16) through zstd -19."""
    narrow = x.astype(np.float16)
    return 8 * len(zstandard.ZstdCompressor(level=19).compress(narrow.tobytes())) / x.size, narrow
