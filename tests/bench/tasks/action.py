"""A stand-in for action recognition: what a linear probe on pooled frames in order knows of the time in a segment.

Three questions of segments of 8 frames: forwards or backwards; halves in order or swapped; one, two or four frames
between one and the next. Probes learn from original segments, and answer for decoded ones of other times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .figures import Figure, Figures
from .pooling import pooled
from .probe import Probe

_FRAMES = 8
_STRIDES = (1, 2, 4)
_FOLDS = 5
_GAP = 8  # frames at each side of what is tested that no probe has seen
_HOP = 2  # frames between starts of segments

_FLOOR = 1e-3  # under logarithms, far below what real frames differ by

Segments = Iterator[tuple[np.ndarray, int]]  # frames of a clip, class


def action(
    originals: Sequence[np.ndarray], decoded: Sequence[np.ndarray], kept: Sequence[np.ndarray] | None = None
) -> Figures:
    """direction, order (1 of 2 by chance), speed (1 of 3): accuracy by cross-validation over times.

    originals, decoded: (T, N, D) for each clip. kept: (T, N) for each.
    """
    masks: Sequence[np.ndarray | None] = kept if kept is not None else [None] * len(decoded)
    before = [pooled(x) for x in originals]
    after = [pooled(x, mask) for x, mask in zip(decoded, masks, strict=True)]
    return {
        "direction": _answers(before, after, _turned, _distances),
        "order": _answers(before, after, _swapped, _distances),
        "speed": _answers(before, after, _sped, _changes),
    }


def _turned(first: int, last: int) -> Segments:
    for start in range(first, last - _FRAMES + 1, _HOP):
        frames = np.arange(start, start + _FRAMES)
        yield frames, 0
        yield frames[::-1], 1


def _swapped(first: int, last: int) -> Segments:
    for start in range(first, last - _FRAMES + 1, _HOP):
        frames = np.arange(start, start + _FRAMES)
        yield frames, 0
        yield np.roll(frames, _FRAMES // 2), 1


def _sped(first: int, last: int) -> Segments:
    for label, stride in enumerate(_STRIDES):
        for start in range(first, last - _STRIDES[-1] * (_FRAMES - 1), _HOP):  # the same starts for all
            yield np.arange(start, start + stride * _FRAMES, stride), label


def _distances(frames: np.ndarray) -> np.ndarray:
    """Logarithms of the distances between any two of frames (8, D).

    Source: Junejo, Dexter, Laptev, Perez, "View-independent action recognition from temporal self-similarities", IEEE
    T-PAMI 33, 2011.
    """
    earlier, later = np.triu_indices(len(frames), 1)
    return np.asarray(np.log(((frames[earlier] - frames[later]) ** 2).mean(axis=1) + _FLOOR))


def _changes(frames: np.ndarray) -> np.ndarray:
    """Logarithms of the mean change of each channel of frames (8, D) from one to the next, and over four."""
    steps = [np.abs(frames[lag:] - frames[:-lag]).mean(axis=0) for lag in (1, 4)]
    return np.asarray(np.log(np.concatenate(steps) + _FLOOR))


def _answers(
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    segments: Callable[[int, int], Segments],
    features: Callable[[np.ndarray], np.ndarray],
) -> Figure:
    """Every clip is cut in five; each part in turn is tested, and the rest learnt from but for a gap."""
    right, asked = np.zeros(2), 0
    for fold in range(_FOLDS):
        known, tests = [], []
        for original, other in zip(before, after, strict=True):
            first, last = (len(original) * edge // _FOLDS for edge in (fold, fold + 1))
            for start, end in ((0, first - _GAP), (last + _GAP, len(original))):
                known += [(features(original[frames]), label) for frames, label in segments(start, end)]
            for frames, label in segments(first, last):
                tests.append((features(original[frames]), features(other[frames]), label))
        probe = Probe(np.stack([one for one, _ in known]), np.array([label for _, label in known]))
        labels = np.array([label for *_, label in tests])
        for side in (0, 1):
            right[side] += (probe.classes(np.stack([test[side] for test in tests])) == labels).sum()
        asked += len(tests)
    return Figure(float(right[0] / asked), float(right[1] / asked))
