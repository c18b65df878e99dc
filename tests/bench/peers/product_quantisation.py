"""Tokens by codebooks of k-means, from FAISS: one for each run of channels, or each for what those before it left.

Sources: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", IEEE T-PAMI 33, 2011; Liu et al.,
"Improved residual vector quantization for high-dimensional approximate nearest neighbor search", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from peers.coder import Coder, Parts, Shape, normalise, packed, unpacked

_ROUNDS: Final = 8  # of k-means
_BEAM: Final = 4
_TOKENS: Final = 8_000  # of other clips, to learn from

PRODUCT: Final = ((192, 4), (96, 4), (48, 4), (24, 4), (12, 6), (8, 8), (4, 8), (2, 8))
PRODUCT_TRAINED: Final = ((192, 8), (96, 8), (48, 8), (24, 8), (12, 8), (8, 8), (4, 8), (2, 8))
RESIDUAL: Final = ((1, 4), (2, 4), (4, 4), (8, 4), (8, 6))
RESIDUAL_TRAINED: Final = ((1, 8), (2, 8), (4, 8), (8, 8))


def product(others: Sequence[np.ndarray] = (), *, scaled: bool = False) -> Coder:
    """Setting: (channels to a code, bits of a code)."""
    return _coder("faiss-pq", product_quantiser, PRODUCT_TRAINED if others else PRODUCT, others, scaled=scaled)


def residual(others: Sequence[np.ndarray] = (), *, scaled: bool = False) -> Coder:
    """Setting: (codes to a token, bits of a code)."""
    return _coder("faiss-rq", residual_quantiser, RESIDUAL_TRAINED if others else RESIDUAL, others, scaled=scaled)


def _coder(name: str, blank: Any, settings: Sequence[Any], others: Sequence[np.ndarray], *, scaled: bool) -> Coder:
    """Codebooks from the tokens themselves, in float16, counted; or from those of `others`, not counted.

    blank: (channels, setting) to a FAISS quantiser before training and the name of its codebooks.
    """

    @cache
    def known(setting: Any) -> np.ndarray:
        tokens = np.concatenate([normalise(x, scaled=scaled)[2].reshape(-1, x.shape[-1]) for x in others])
        return learnt(blank, np.random.default_rng(0).permutation(tokens)[:_TOKENS], setting)

    def encode(x: np.ndarray, setting: Any) -> Parts:
        tokens = np.ascontiguousarray(x.reshape(-1, x.shape[-1]), np.float32)
        centroids = known(setting) if others else learnt(blank, tokens, setting)
        codes = with_codebooks(blank, tokens.shape[1], setting, centroids).compute_codes(tokens)
        return packed(codes.T.tobytes()), b"" if others else centroids.tobytes()

    def decode(parts: Parts, shape: Shape, setting: Any) -> np.ndarray:
        centroids = known(setting) if others else np.frombuffer(parts[1], np.float16)
        codes = np.frombuffer(unpacked(parts[0]), np.uint8).reshape(-1, shape[0] * shape[1])
        return np.asarray(with_codebooks(blank, shape[2], setting, centroids).decode(np.ascontiguousarray(codes.T)))

    if others:
        return Coder(f"{name}-trained", settings, encode, decode, "faiss", learn=known)
    return Coder(name, settings, encode, decode, "faiss")


def learnt(blank: Any, tokens: np.ndarray, setting: Any) -> np.ndarray:
    """Codebooks in float16."""
    import faiss

    faiss.omp_set_num_threads(1)
    quantiser, books = blank(tokens.shape[1], setting)
    quantiser.cp.niter = _ROUNDS
    quantiser.cp.min_points_per_centroid = 1
    quantiser.train(np.ascontiguousarray(tokens, np.float32))
    return faiss.vector_to_array(getattr(quantiser, books)).astype(np.float16)


def with_codebooks(blank: Any, channels: int, setting: Any, centroids: np.ndarray) -> Any:
    """A quantiser of these codebooks."""
    import faiss

    quantiser, books = blank(channels, setting)
    faiss.copy_array_to_vector(centroids.astype(np.float32), getattr(quantiser, books))
    quantiser.is_trained = True
    return quantiser


def product_quantiser(channels: int, setting: tuple[int, int]) -> tuple[Any, str]:
    import faiss

    run, bits = setting
    parts = max(
        count for count in range(1, channels + 1) if channels % count == 0 and count * run <= max(channels, run)
    )
    return faiss.ProductQuantizer(channels, parts, bits), "centroids"


def residual_quantiser(channels: int, setting: tuple[int, int]) -> tuple[Any, str]:
    import faiss

    quantiser = faiss.ResidualQuantizer(channels, *setting)
    quantiser.max_beam_size = _BEAM
    quantiser.train_type = faiss.ResidualQuantizer.Train_default  # plain k-means: others need more tokens than channels
    return quantiser, "codebooks"
