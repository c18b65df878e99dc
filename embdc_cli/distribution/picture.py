"""A PNG of one tensor: what a video codec would see of it, and how its values and its energy are spread.

From above: the first frame of the planes, 8 bits from four deviations below 0 to four above, at most 1024 pixels each
way; the histogram of the 256 levels of `amplitudes`, two pixels a level; the spectra, black 0 dB and white -60 dB below
the largest: variances of the 8 x 8 DCT, the mean in the upper left corner, and beside them those of the KLT as bars,
the strongest first.
"""

from __future__ import annotations

from typing import Final

import numpy as np

_PLANE: Final = 1024
_DEVIATIONS: Final = 4.0
_HIGH: Final = 128
_LEVEL: Final = 2
_BARS: Final = 368  # beside the DCT and a gap as wide as the histogram
_GAP: Final = 16
_DYNAMIC: Final = 60.0  # dB
_PAPER: Final = 255


def picture(frame: np.ndarray, histogram: np.ndarray, dct: np.ndarray | None, klt: np.ndarray | None) -> np.ndarray:
    """(H, W) uint8. frame: (h, w). histogram: (256,). dct, klt: variances (8, 8), (D,); None leaves a panel empty."""
    spectra = np.full((_HIGH, _HIGH + _GAP + _BARS), _PAPER, np.uint8)
    if dct is not None:
        side = _HIGH // len(dct)
        spectra[:, :_HIGH] = np.kron(_PAPER * (1 - _heights(dct)), np.ones((side, side)))
    if klt is not None:
        spectra[:, -_BARS:] = bars(_heights(klt)[np.arange(_BARS) * len(klt) // _BARS])
    counts = np.repeat(histogram / max(1, histogram.max()), _LEVEL)
    panels = [_grey(frame[:_PLANE, :_PLANE]), bars(counts), spectra]
    width = max(panel.shape[1] for panel in panels)
    found = []
    for panel in panels:
        edges = ((0, _GAP), (0, width - panel.shape[1]))
        found.append(np.pad(panel, edges, constant_values=_PAPER))
    return np.concatenate(found)


def bars(heights: np.ndarray) -> np.ndarray:
    """(128, n) uint8: a black bar of each height (n,) from 0 to 1."""
    rows = np.arange(_HIGH, 0, -1)[:, None]
    return np.where(rows <= np.ceil(heights * _HIGH), np.uint8(0), np.uint8(_PAPER))


def png(pixels: np.ndarray) -> bytes:
    """The file of (H, W) uint8."""
    import av

    encoder = av.CodecContext.create("png", "w")
    frame = av.VideoFrame.from_ndarray(pixels, format="gray")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "gray"
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def _grey(frame: np.ndarray) -> np.ndarray:
    """Values about 0 as grey."""
    scale = float(np.sqrt(np.mean(frame.astype(np.float64) ** 2))) or 1.0
    return np.clip(frame / (2 * _DEVIATIONS * scale) * _PAPER + 128, 0, _PAPER).astype(np.uint8)


def _heights(variances: np.ndarray) -> np.ndarray:
    """1 of the largest, 0 of what is 60 dB below it."""
    top = float(variances.max()) or 1.0
    decibels = 10 * np.log10(np.maximum(variances / top, 1e-30))
    return np.asarray(np.clip(1 + decibels / _DYNAMIC, 0, 1))
