"""Error of channels against their variance: a few hundred numbers whatever the channels.

Channels in order of falling variance, in bins of equal length; variance and mse of a bin are means over its channels.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from embdc_cli.metrics import ChannelMoments, ErrorSums

BINS: Final = 240


def by_variance(sums: ErrorSums, moments: ChannelMoments) -> dict[str, list[Any]]:
    """{rank, variance, mse} of every bin; rank: how many channels have more variance than its first."""
    order = np.argsort(-moments.m2, kind="stable")
    bins = min(BINS, len(order))
    if not bins:
        return {"rank": [], "variance": [], "mse": []}
    first = np.arange(bins) * len(order) // bins
    lengths = np.diff(first, append=len(order))
    variance = np.add.reduceat(moments.m2[order], first) / lengths / max(1, moments.count)
    mse = np.add.reduceat(sums.channel_sse[order], first) / lengths / max(1, sums.tokens)
    return {"rank": first.tolist(), "variance": variance.tolist(), "mse": mse.tolist()}
