"""The bases that may code a token group, each as a candidate to be counted: identity, own KLT, KLT of a codebook."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embdc_cli.codec.table import Codebook
from embdc_cli.codec.transform.candidate import Candidate
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.domain import Domain
from embdc_cli.codec.transform.free_klt import FreeKlt, least_squares
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.klt import ReflectedKlt

_RELATIVE_VARIANCE = 1e-13
"""Eigenvalues below this share of the largest are rounding errors of float64 sums."""


def identity(domain: Domain, mean: np.ndarray | None, groups: Sequence[int]) -> Candidate:
    """Channels as they are; mean None keeps the zeros of sparse maps."""
    return Candidate(
        analysis=None,
        mean=mean,
        variances=domain.variance,
        entries=np.zeros(len(domain.variance)),
        truncates=False,
        build=lambda rank, exponents: Identity(),
        unit=domain.unit,
        groups=groups,
    )


def own_klt(domain: Domain, covariance: np.ndarray, mean: np.ndarray, groups: Sequence[int]) -> Candidate:
    """The eigenvectors of the segment: orthonormal under plain error, free under a metric R.

    With R = L^T L the problem is plain in z = L u: its KLT V gives the synthesis (L^-1 V)^T and the analysis L^T V.
    """
    metric = domain.metric
    factor = None if metric is None else np.linalg.cholesky(metric).T
    values, vectors = np.linalg.eigh(covariance if factor is None else factor @ covariance @ factor.T)
    kept = values > max(float(values.max(initial=0.0)), 0.0) * _RELATIVE_VARIANCE
    values, vectors = values[kept][::-1], np.ascontiguousarray(vectors[:, kept][:, ::-1])
    channels, rank = vectors.shape
    if factor is None:
        return Candidate(
            analysis=vectors.astype(np.float32),
            mean=mean,
            variances=values,
            entries=channels - np.arange(rank),
            truncates=True,
            build=lambda rank, exponents: ReflectedKlt.fit(vectors[:, :rank].T, exponents),
            unit=domain.unit,
            groups=groups,
        )
    synthesis = np.linalg.solve(factor, vectors).T
    return Candidate(
        analysis=(factor.T @ vectors).astype(np.float32),
        mean=mean,
        variances=values,
        entries=np.full(rank, channels),
        truncates=True,
        build=lambda rank, exponents: FreeKlt.fit(synthesis[:rank], exponents, metric),
        unit=domain.unit,
        groups=groups,
    )


def from_codebook(
    domain: Domain, codebook: Codebook, mean: np.ndarray, tokens: int, groups: Sequence[int]
) -> Candidate:
    """The vectors and the mean of a codebook. tokens: in the sample, for what its vectors do not reach."""
    vectors = codebook.vectors()
    analysis = least_squares(vectors, None)
    outside = 0.0
    if domain.covariance is not None and codebook.rank < codebook.channels:
        inside = float(((vectors @ domain.covariance) * analysis.T).sum())
        outside = max(0.0, float(np.trace(domain.covariance)) - inside) * tokens
    return Candidate(
        analysis=analysis,
        mean=mean,
        variances=np.ones(codebook.rank),
        entries=np.zeros(codebook.rank),
        truncates=True,
        build=lambda rank, exponents: CodebookKlt(codebook, rank),
        unit=domain.unit,
        groups=groups,
        known_mean=codebook.centre(),
        outside=outside,
        reference_bits=8.0 * len(codebook.digest),
    )
