"""The value type of a codebook: a KLT basis in integers, corpus statistics, entropy tables and levels of codewords.

Everything a decoder uses is an integer, so that every machine reads the same codebook; `file` gives it bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embdc_cli.codebook.identity import Identity
from embdc_cli.codec.reconstruction.network import Network
from embdc_cli.codec.vq.levels import MAX_LEVELS, LearntLevel
from embdc_cli.entropy.coding_tables import CodingTables

EXPONENTS = range(-30, 1)
"""Powers of two a basis vector may be scaled by: entries of a unit vector never need more."""
SPECTRUM_FLOOR = -2000
"""Quarter octaves that stand for an eigenvalue of zero (2^-500, below any float32 variance)."""


@dataclass(frozen=True, eq=False)
class Codebook:
    """What a corpus teaches: D channels, R <= D basis vectors in order of falling eigenvalue.

    mean: (D,) int16, in units of 2^mean_exponent. basis: (R, D) int16, row i in units of 2^exponents[i].
    exponents: (R,) int8. spectrum: (R,) int16, round(4 log2 eigenvalue). tables: of the coefficients, if trained.
    encoder: whose embeddings these are, None when the corpus did not say. training: counts and seed; never names.
    levels: of vector quantisation, for coefficients in this basis; none in a codebook of kind transform.
    network: for decoded tokens, whatever codes them.
    """

    mean: np.ndarray
    mean_exponent: int
    basis: np.ndarray
    exponents: np.ndarray
    spectrum: np.ndarray
    tables: CodingTables | None
    encoder: Identity | None
    training: dict[str, int]
    levels: tuple[LearntLevel, ...] = ()
    network: Network | None = None

    def __post_init__(self) -> None:
        rank, channels = self.basis.shape
        expected = (
            ("mean", self.mean, np.int16, (channels,)),
            ("basis", self.basis, np.int16, (rank, channels)),
            ("exponents", self.exponents, np.int8, (rank,)),
            ("spectrum", self.spectrum, np.int16, (rank,)),
        )
        for name, array, dtype, shape in expected:
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(f"{name}: expected {np.dtype(dtype)} {shape}, found {array.dtype} {array.shape}")
        if not 1 <= rank <= channels:
            raise ValueError(f"rank: expected 1 to {channels}, found {rank}")
        if self.exponents.min() < EXPONENTS[0] or self.exponents.max() > EXPONENTS[-1]:
            raise ValueError(f"exponents: expected {EXPONENTS[0]} to {EXPONENTS[-1]}")
        if not self.basis.any(axis=1).all():
            raise ValueError("basis: a vector is zero")
        if (np.diff(self.spectrum) > 0).any():
            raise ValueError("spectrum: not in falling order")
        if len(self.levels) > MAX_LEVELS:
            raise ValueError(f"levels: expected at most {MAX_LEVELS}, found {len(self.levels)}")
        if any(level.channels[-1] >= rank for level in self.levels):
            raise ValueError(f"levels: expected coefficients below {rank}")

    @property
    def kind(self) -> str:
        """What `train-codebook --kind` made it."""
        return "vq" if self.levels else "transform"

    @property
    def channels(self) -> int:
        """D, the length of the tokens this codebook is for."""
        return int(self.basis.shape[1])

    @property
    def rank(self) -> int:
        """R, the number of basis vectors."""
        return int(self.basis.shape[0])

    def vectors(self) -> np.ndarray:
        """(R, D) float64: the basis vectors, unit length within their rounding."""
        vectors: np.ndarray = np.ldexp(self.basis.astype(np.float64), self.exponents[:, None])
        return vectors

    def centre(self) -> np.ndarray:
        """(D,) float64: the mean token of the corpus."""
        centre: np.ndarray = np.ldexp(self.mean.astype(np.float64), self.mean_exponent)
        return centre

    @cached_property
    def file_bytes(self) -> bytes:
        """The bytes of the `.embdcb` file: equal codebooks have equal bytes."""
        from embdc_cli.codebook.file import to_bytes  # the file format knows the value, not the other way round

        return to_bytes(self)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the file bytes: the name archives call this codebook by."""
        return hashlib.sha256(self.file_bytes).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codebook) and self.file_bytes == other.file_bytes

    def __hash__(self) -> int:
        return hash(self.digest)
