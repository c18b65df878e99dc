"""Bases, means and tables from a codebook: chosen where they pay, named by digest, refused where they do not fit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from embdc_cli.codec.reconstruction.network import Network
from embdc_cli.codec.table import ChunkKind, StageId, codec_for
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.entropy.coding_tables import CodingTables, fixed_tables
from embdc_cli.entropy.tables import Tables
from embdc_cli.errors import CorruptArchive, MissingModel, UsageError
from tests.codec.codec_cases import LIMITS, nmse, smooth, spec_of

D = 64
ROWS = smooth((40, 30, D))
SHORT = ROWS[:3]


@dataclass(frozen=True, eq=False)
class CorpusBasis:
    """A codebook as the codec sees it, learnt from ROWS."""

    tables: CodingTables | None = None
    digest: bytes = bytes(range(32))
    kept: int = D
    network: Network | None = None
    tokens: np.ndarray = field(default_factory=lambda: ROWS.reshape(-1, D).astype(np.float64))

    @property
    def channels(self) -> int:
        return self.tokens.shape[1]

    @property
    def rank(self) -> int:
        return self.kept

    def centre(self) -> np.ndarray:
        return self.tokens.mean(axis=0)

    def vectors(self) -> np.ndarray:
        vectors = np.linalg.eigh(np.cov(self.tokens.T))[1].T[::-1][: self.kept]
        return np.round(vectors * 2**10) / 2**10  # integers, as in the file: nearly orthonormal


def stages_of(models: TransformModels) -> list[StageId]:
    return [stage.stage for stage in models.groups[0].chain]


def test_a_short_input_takes_the_codebooks_basis() -> None:
    codebook = CorpusBasis()
    spec = spec_of(SHORT.shape)
    own = Fit(spec, [SHORT]).models(0.03)
    with_codebook = Fit(spec, [SHORT], None, FitOptions(codebook=codebook)).models(0.03)
    assert StageId.CODEBOOK_KLT in stages_of(with_codebook)
    asked = []
    decoder = codec_for(
        ChunkKind.TRANSFORM, spec, with_codebook.to_bytes(), LIMITS, lambda digest: asked.append(digest) or codebook
    )
    assert asked == [codebook.digest]
    encoded = TransformCodec(spec, with_codebook).encode(SHORT)
    values, crc = decoder.decode(encoded.payload, len(SHORT))
    assert crc == encoded.symbol_crc
    assert values.tobytes() == encoded.decoded.tobytes()
    assert decoder.encode(SHORT).payload == encoded.payload
    alone = TransformCodec(spec, own).encode(SHORT)
    assert nmse(SHORT, encoded.decoded) < 1.1 * nmse(SHORT, alone.decoded)
    assert len(with_codebook.to_bytes() + encoded.payload) < 0.9 * len(own.to_bytes() + alone.payload)


def test_a_codebook_that_does_not_pay_is_not_named() -> None:
    codebook = CorpusBasis(kept=1)
    models = Fit(spec_of(ROWS.shape), [ROWS], None, FitOptions(codebook=codebook)).models(0.02)
    assert models.codebook is None
    assert StageId.CODEBOOK_KLT not in stages_of(models)


def changed(tables: Tables) -> Tables:
    """Other tables of the same size that code the same magnitudes."""
    freq = tables.freq.astype(np.int64)
    freq[np.arange(len(freq)), freq.argmax(axis=1)] -= 20
    freq[:, 1] += 20
    return Tables(freq)


@pytest.mark.parametrize(("effort", "kind"), [(0, "planes"), (1, "rounded"), (3, "paths")])
def test_tables_of_a_codebook_code_the_coefficients(effort: int, kind: str) -> None:
    fixed = fixed_tables()
    tables = CodingTables(changed(fixed.planes), changed(fixed.rounded), changed(fixed.paths))
    codebook = CorpusBasis(tables=tables, kept=1)
    spec = spec_of(ROWS.shape)
    models = Fit(spec, [ROWS], None, FitOptions(effort=effort, codebook=codebook)).models(0.02)
    assert models.codebook is codebook
    assert models.codebook_tables
    again = TransformModels.from_bytes(models.to_bytes(), spec, LIMITS, lambda digest: codebook)
    for one in (models, again):
        assert vars(one.groups[0].chain.coder)["tables"] is getattr(tables, kind)
    encoded = TransformCodec(spec, models).encode(ROWS)
    assert TransformCodec(spec, again).decode(encoded.payload, len(ROWS))[0].tobytes() == encoded.decoded.tobytes()
    without = CorpusBasis(kept=1)
    with pytest.raises(CorruptArchive, match="expected a codebook with tables"):
        TransformModels.from_bytes(models.to_bytes(), spec, LIMITS, lambda digest: without)


def test_a_missing_or_different_codebook() -> None:
    spec = spec_of(SHORT.shape)
    payload = Fit(spec, [SHORT], None, FitOptions(codebook=CorpusBasis())).models(0.03).to_bytes()

    def missing(digest: bytes) -> CorpusBasis:
        raise MissingModel(f"codebook {digest.hex()}: not here")

    with pytest.raises(MissingModel, match="000102"):
        codec_for(ChunkKind.TRANSFORM, spec, payload, LIMITS, missing)
    narrow = CorpusBasis(tokens=np.random.default_rng(0).normal(size=(50, 3)), kept=3)
    with pytest.raises(CorruptArchive, match="64 channels"):
        codec_for(ChunkKind.TRANSFORM, spec, payload, LIMITS, lambda digest: narrow)
    with pytest.raises(UsageError, match="64 channels, found a codebook of 3"):
        Fit(spec, [SHORT], None, FitOptions(codebook=narrow))
