"""What counts as error while a codebook is refined: plain, as a weighting has it, or what a linear head makes of it.

    plain      |x - y|^2
    weighting  `codec.weighting`: channel and matrix are a metric M, (x - y)^T M (x - y); token divides by the variance
    probe      |x - y|^2 / 2 + kappa KL(softmax(W x + b) || softmax(W y + b)) / 2

All in the size of plain error: a metric is scaled to weigh the corpus as plain error does, and kappa is such that both
halves are equal for noise as large as a tenth of the corpus. Tokens x, y: (n, D), about the mean of their clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from embdc_cli.codec.weighting import Weighting

if TYPE_CHECKING:
    import torch

_NOISE: Final = 0.1
_BLOCK: Final = 1 << 14
_LEAST: Final = 1e-3
"""Of the mean variance of tokens: a token that hardly varies counts no more than this allows."""


@dataclass(frozen=True, eq=False)
class Loss:
    """metric: (D, D) float64 or None. by_token: whether tokens are divided by their variance, which `variance` is the
    mean of. weight (K, D) and bias (K,): of a head. mean: (D,) of the corpus, which the head sees with the tokens.
    """

    metric: np.ndarray | None = None
    by_token: bool = False
    variance: float = 1.0
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    mean: np.ndarray | None = None
    kappa: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether closed forms minimise it."""
        return self.metric is None and not self.by_token and self.weight is None

    def error(self, x: np.ndarray, y: np.ndarray) -> float:
        """Of all tokens."""
        if self.plain:
            return float(np.square(x - y, dtype=np.float64).sum())
        import torch

        with torch.no_grad():
            parts = range(0, len(x), _BLOCK)
            return float(
                sum(
                    self.of(torch.from_numpy(x[at : at + _BLOCK]), torch.from_numpy(y[at : at + _BLOCK]))
                    for at in parts
                )
            )

    def of(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The same as a scalar that has a gradient with respect to y."""
        import torch

        e = x - y
        if self.weight is not None and self.bias is not None:
            head, bias, mean = (torch.as_tensor(part).to(x) for part in (self.weight, self.bias, self.mean))
            p, q = (torch.log_softmax((tokens + mean) @ head.T + bias, dim=1) for tokens in (x, y))
            return (e * e).sum() / 2 + self.kappa / 2 * (p.exp() * (p - q)).sum()
        squares = e * e if self.metric is None else e * (e @ torch.as_tensor(self.metric).to(x))
        if self.by_token:
            own = x.var(dim=1, keepdim=True, correction=0)
            squares = squares * (self.variance / torch.clamp(own, min=_LEAST * self.variance))
        return squares.sum()


def loss_of(
    weighting: Weighting, head: tuple[np.ndarray, np.ndarray] | None, covariance: np.ndarray, mean: np.ndarray
) -> Loss:
    """For tokens of a corpus with these moments, (D, D) and (D,). Raises UsageError for weights of other channels."""
    variances = np.diagonal(covariance)
    variance = float(variances.mean())
    if head is not None:
        return _probe(head, covariance, mean)
    if weighting.kind == "token":
        return Loss(by_token=True, variance=variance)
    metric = weighting.metric(len(mean), "corpus")
    if weighting.kind == "channel":
        metric = np.divide(1.0, variances, out=np.zeros_like(variances), where=variances > 0)
    if metric is None:
        return Loss()
    full = np.diag(metric) if metric.ndim == 1 else metric
    return Loss(metric=full * (variances.sum() / max(float((full * covariance).sum()), 1e-300)))


def _probe(head: tuple[np.ndarray, np.ndarray], covariance: np.ndarray, mean: np.ndarray) -> Loss:
    """kappa from noise of the corpus' own shape, by the curvature of KL at the mean token."""
    weight, bias = head
    logits = weight @ mean + bias
    p = np.exp(logits - logits.max())
    p /= p.sum()
    curvature = weight.T @ (p[:, None] * weight) - np.outer(p @ weight, p @ weight)
    kl = _NOISE * float((curvature * covariance).sum()) / 2
    squares = _NOISE * float(np.trace(covariance))
    return Loss(weight=weight, bias=bias, mean=mean, kappa=squares / max(kl, 1e-12))
