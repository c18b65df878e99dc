"""Retrieval by the cosine of pooled frames, over several clips: frame to frame, and frame to its second of a clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .figures import Figure, Figures
from .pooling import pooled

_DEPTHS = (1, 10)
_APART_SECONDS = 1.0  # nearer neighbours in time are left out: any measure finds them
_SEGMENT_SECONDS = 1.0


def retrieval(
    originals: Sequence[np.ndarray],
    decoded: Sequence[np.ndarray],
    kept: Sequence[np.ndarray] | None = None,
    *,
    rates: Sequence[float],
) -> Figures:
    """recall_at_1, recall_at_10: share of an original frame's nearest original frames among its nearest decoded ones.
    segment: a decoded frame's nearest mean of original segments of a second, itself left out of its own, is its own.

    originals, decoded: (T, N, D) for each clip. kept: (T, N) for each. rates: frames per second of each.
    """
    masks: Sequence[np.ndarray | None] = kept if kept is not None else [None] * len(decoded)
    before = np.concatenate([pooled(x) for x in originals])
    after = np.concatenate([pooled(x, mask) for x, mask in zip(decoded, masks, strict=True)])
    clips = np.repeat(np.arange(len(originals)), [len(x) for x in originals])
    seconds = np.concatenate([np.arange(len(x)) / rate for x, rate in zip(originals, rates, strict=True)])
    found = {f"recall_at_{k}": Figure(1.0, _recall(before, after, clips, seconds, k)) for k in _DEPTHS}
    segments = np.unique(np.stack([clips, seconds // _SEGMENT_SECONDS]), axis=1, return_inverse=True)[1].ravel()
    if np.bincount(segments).max() < 2:
        raise ValueError(f"rates {list(rates)}: no segment of {_SEGMENT_SECONDS:g} s has two frames")
    return {**found, "segment": Figure(_own_segment(before, before, segments), _own_segment(before, after, segments))}


def _recall(queries: np.ndarray, database: np.ndarray, clips: np.ndarray, seconds: np.ndarray, k: int) -> float:
    near = (clips[:, None] == clips) & (np.abs(seconds[:, None] - seconds) <= _APART_SECONDS)

    def nearest(x: np.ndarray) -> np.ndarray:
        return np.argpartition(np.where(near, np.inf, -_cosines(queries, x)), k - 1, axis=1)[:, :k]

    pairs = zip(nearest(queries), nearest(database), strict=True)
    return float(np.mean([np.isin(wanted, got).mean() for wanted, got in pairs]))


def _own_segment(original: np.ndarray, queries: np.ndarray, segments: np.ndarray) -> float:
    members = np.eye(segments.max() + 1)[segments]
    sums, counts = members.T @ original, members.sum(axis=0)
    likeness = _cosines(queries, sums / counts[:, None])
    alone = counts[segments] == 1  # nothing is left of a segment without its only frame
    rest = (sums[segments] - original) / np.maximum(counts[segments] - 1, 1)[:, None]
    own = (_unit(queries) * _unit(rest)).sum(axis=1)
    likeness[np.arange(len(segments)), segments] = own
    return float((likeness.argmax(axis=1) == segments)[~alone].mean())


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(_unit(a) @ _unit(b).T)


def _unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))
