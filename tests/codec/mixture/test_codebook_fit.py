"""A mixture on the axes of a codebook: what it foretells, what it sends, and what vectors that are not there cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.fields import FieldWriter
from embdc_cli.codec.transform.mixture.codebook_fit import CodebookFit
from embdc_cli.codec.transform.mixture.mixture_fit import MixtureFit
from embdc_cli.codec.transform.mixture.statistics import Principal
from embdc_cli.codec.transform.offer import Offer
from embdc_cli.codec.transform.parameters import SegmentStage
from embdc_cli.entropy.coding_tables import fixed_tables

D = 32
ROTATION = np.linalg.qr(np.random.default_rng(1).standard_normal((D, D)))[0]
SCALES = np.arange(1, D + 1) ** -0.7


def drawn(rows: int, tokens: int, seed: int) -> np.ndarray:
    """(rows, tokens, D) float32 of the covariance that the codebook knows."""
    x = np.random.default_rng(seed).standard_normal((rows, tokens, D)) * SCALES
    return np.asarray(x @ ROTATION.T, np.float32)


@dataclass(frozen=True, eq=False)
class Known:
    """A codebook of `rank` of the true vectors, rounded as in a file."""

    rank: int = D
    tables: None = None
    digest: bytes = bytes(32)
    channels: int = D

    def vectors(self) -> np.ndarray:
        return np.round(ROTATION.T[: self.rank] * 2**14) / 2**14

    def centre(self) -> np.ndarray:
        return np.zeros(D)


def fit_of(x: np.ndarray, codebook: Known, *, dependent: bool = False) -> CodebookFit:
    return CodebookFit([x], codebook, np.zeros(D), float(x.std()), dependent=dependent)


def coded(x: np.ndarray, offer: Offer, step: float) -> tuple[int, float]:
    """(bits, squared error in squared steps) when the offer is taken."""
    chain, out = Chain(offer.build(fixed_tables())), FieldWriter()
    for stage in chain:
        assert isinstance(stage, SegmentStage)
        stage.write(out)
    found = chain.encode(x)
    back = chain.reconstruct(chain.unpack(chain.pack(found), x.shape))
    error = float(((back.astype(np.float64) - x) ** 2).sum())
    return 8 * (len(out.bytes()) + len(chain.pack(found))), error / step**2


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("codebook", [Known(), Known(rank=20), Known(rank=3)])
@pytest.mark.parametrize("relative_step", [2.0, 0.5, 0.1])
def test_it_foretells_what_coding_costs(codebook: Known, dependent: bool, relative_step: float) -> None:
    x = drawn(32, 60, 2)
    step = relative_step * float(x.std())
    offer = fit_of(x, codebook, dependent=dependent).offer(step, 1.0)
    bits, distortion = coded(x, offer, step)
    assert bits == pytest.approx(offer.bits, rel=0.1, abs=3000)
    assert distortion == pytest.approx(offer.distortion, rel=0.15)


def test_a_short_input_is_cheaper_on_known_axes_and_a_long_one_hardly() -> None:
    for rows, least, most in ((2, 0.0, 0.9), (400, 0.95, 1.01)):
        x = drawn(rows, 60, 3)
        step = 0.5 * float(x.std())
        tokens = x.reshape(-1, D)
        own = MixtureFit([x], Principal.of_tokens(tokens), 1, np.zeros(D), float(x.std()), dependent=False)
        costs = [fit.offer(step, 1.0).cost for fit in (fit_of(x, Known()), own)]
        assert least < costs[0] / costs[1] < most
