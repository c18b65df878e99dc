"""A mixture of KLTs backwards on a device: one product along time for each block of tracks, one for each mode.

Tokens come out in the order of modes, and one pass puts them into the order of the chunk.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch

from embdc_cli.codec.device.beside import Beside, Inverse, Taken, Upload
from embdc_cli.codec.stage import Shape
from embdc_cli.codec.transform.mixture.modes import Mode
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.tracks import LEVELS, Tracks
from embdc_cli.codec.transform.time_dct import matrix


class _Block(NamedTuple):
    """Tracks of 2^level rows under one mode. mode: its number."""

    mode: int
    level: int
    tracks: int


class Facts(NamedTuple):
    """Blocks in order, and the rows and tokens of the chunk."""

    blocks: list[_Block]
    rows: int
    tokens: int


def taken_of(tracks: Tracks) -> Taken:
    """Where in the order of modes each token of the chunk is, (F * N,) int32; and `Facts`."""
    places = np.empty(tracks.rows * tracks.tokens, np.int32)
    places[tracks.order] = np.arange(len(places), dtype=np.int32)
    blocks = [_Block(block.mode, block.level, len(block.tracks)) for block in tracks.blocks]
    return Taken((places,), Facts(blocks, tracks.rows, tracks.tokens))


class _DeviceMode:
    """mean (D,), synthesis (r, D); no synthesis where the vectors are the first axes."""

    def __init__(self, mode: Mode, upload: Upload) -> None:
        self.rank = mode.rank
        self.mean = upload(mode.mean)
        self.synthesis = None if mode.on_axes or not mode.rank else upload(mode.synthesis)

    def synthesise(self, y: torch.Tensor, out: torch.Tensor) -> None:
        """Tokens out (n, D) of coefficients y (r, n)."""
        if self.synthesis is not None:
            torch.addmm(self.mean, y.t(), self.synthesis, out=out)
        else:
            out.copy_(self.mean.expand(out.shape))
            out[:, : self.rank] += y.t()


def mixture(stage: Mixture, upload: Upload) -> Inverse:
    """y: flat float32 coefficients as in `mixture.stage` -> (F, N, D)."""
    modes = [_DeviceMode(mode, upload) for mode in stage.modes]
    matrices = [upload(np.ascontiguousarray(matrix(1 << level).T)) for level in range(LEVELS)]
    channels = stage.modes[0].channels

    def take(side: bytes, shape: Shape) -> Taken:
        return taken_of(stage.chunk(side).tracks)

    def run(y: torch.Tensor, beside: Beside) -> torch.Tensor:
        (places,), facts = beside.tensors, beside.facts
        x = y.new_empty((len(places), channels))
        first = end = 0
        for number, group in groupby(facts.blocks, key=lambda block: block.mode):
            blocks, mode = list(group), modes[number]
            count = sum(block.tracks << block.level for block in blocks)
            in_time = y.new_empty((mode.rank, count))
            at = 0
            for block in blocks if mode.rank else ():
                rows, size = 1 << block.level, block.tracks << block.level
                start, end = end, end + size * mode.rank
                part = y[start:end].view(rows, mode.rank * block.tracks)
                if block.level:
                    part = matrices[block.level] @ part
                of_block = in_time[:, at : at + size].view(mode.rank, rows, block.tracks)
                of_block.copy_(part.view(rows, mode.rank, block.tracks).transpose(0, 1))
                at += size
            mode.synthesise(in_time, x[first : first + count])
            first += count
        return x.index_select(0, places).view(facts.rows, facts.tokens, channels)

    return Inverse(run, take)
