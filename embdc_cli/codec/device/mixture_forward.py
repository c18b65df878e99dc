"""A mixture of KLTs forwards on a device: its search, one product for each mode, one along time for each block.

Twice the CPU is asked about a chunk that is measured: the maps of the search become tracks there, and codes under a
plain dead zone say how much the tracks move.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Upload
from embdc_cli.codec.device.forward import Forward, Measured
from embdc_cli.codec.device.mixture import Facts, taken_of
from embdc_cli.codec.device.mixture_search import DeviceSearcher
from embdc_cli.codec.device.narrow import Narrow
from embdc_cli.codec.device.rounding import rounded
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.transform.mixture.modes import Mode
from embdc_cli.codec.transform.mixture.stage import REACH, Mixture
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.codec.transform.time_dct import matrix


class _Analysis:
    """mean (D,), analysis (D, r); no analysis where the vectors are the first axes."""

    def __init__(self, mode: Mode, upload: Upload) -> None:
        self.rank = mode.rank
        self._mean = upload(mode.mean)
        self._vectors = None if mode.on_axes or not mode.rank else upload(np.ascontiguousarray(mode.synthesis.T))

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """(n, r) coefficients of tokens (n, D)."""
        centred = x - self._mean
        return centred[:, : self.rank] if self._vectors is None else centred @ self._vectors


def mixture(stage: Mixture, upload: Upload, staging: Staging) -> Forward:
    """(F, N, D) -> flat float32 coefficients as in `mixture.stage`."""
    modes = [_Analysis(mode, upload) for mode in stage.modes]
    matrices = [upload(matrix(1 << level)) for level in range(LEVELS)]
    searcher = None
    if stage.tables is not None:
        searcher = DeviceSearcher([(m.mean, m.synthesis) for m in stage.modes], REACH * stage.step, upload)
    narrow = Narrow()

    def run(x: torch.Tensor, beside: Beside) -> torch.Tensor:
        (places,), facts = beside.tensors, beside.facts
        assert isinstance(facts, Facts)
        order = torch.arange(len(places), device=places.device)
        order = torch.empty_like(order).scatter_(0, places.long(), order)
        tokens = x.flatten(0, 1).index_select(0, order)
        parts = [tokens.new_zeros(0)]
        first = 0
        for number, group in groupby(facts.blocks, key=lambda block: block.mode):
            blocks, mode = list(group), modes[number]
            sizes = [block.tracks << block.level for block in blocks]
            y = mode.of(tokens[first : first + sum(sizes)])
            first += sum(sizes)
            for block, part in zip(blocks, y.split_with_sizes(sizes), strict=True):
                length = 1 << block.level
                in_time = part.reshape(length, block.tracks, mode.rank).transpose(1, 2)
                in_time = in_time.reshape(length, mode.rank * block.tracks)
                parts.append((matrices[block.level] @ in_time if block.level else in_time).flatten())
        return torch.cat(parts)

    def measure(x: torch.Tensor) -> Measured:
        rows, tokens = x.shape[:2]
        tracks = Tracks.single_rows(rows, tokens)
        if searcher is not None:
            tracks = Tracks.of_maps(*staging.fetched(searcher.maps(x)))
        taken = taken_of(tracks)
        y = run(x, Beside(tuple(staging.copied(taken.arrays)), taken.facts))
        rough = narrow.fetched(rounded(y, stage.step), staging)
        return Measured(stage.side_of(tracks, rough), y)

    return Forward(run, measure)
