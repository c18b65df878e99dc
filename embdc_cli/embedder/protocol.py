"""What an embedder is: frames in, one array per stream out; every frame on its own, whatever the batch around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec

if TYPE_CHECKING:
    import torch

Frame: TypeAlias = "np.ndarray | torch.Tensor"
"""(H, W, 3) uint8 RGB; a tensor only for an embedder on a CUDA device, and there."""


class FrameEmbedder(Protocol):
    """An embedder made ready for frames of one size.

    specs: the streams it gives, rows None. batch_size: frames per call that suit it; any number is taken.
    """

    @property
    def specs(self) -> Sequence[StreamSpec]: ...

    @property
    def batch_size(self) -> int: ...

    def embed(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        """frames: B of them. Returns per stream (B, *row_shape) in the spec's dtype.

        Frames of another size than announced are resized as the embedder's preprocessing does, to the same tokens.
        """

    def provenance(self) -> dict[str, Any]:
        """What the archive records: name, layer, weights, preprocessing, types, library versions; never a path."""


class Embedder(Protocol):
    """A loaded network, or a formula; holds no state between frames."""

    @property
    def notes(self) -> Sequence[str]:
        """Words for stderr."""

    def for_size(self, height: int, width: int) -> FrameEmbedder:
        """Made ready for frames of `height` x `width` pixels."""


def chosen_streams(asked: Sequence[str], available: Sequence[str], encoder: str) -> tuple[str, ...]:
    """The streams of --streams; UsageError for one that `encoder` does not have, one named twice, or none."""
    unknown = [name for name in asked if name not in available]
    if unknown or not asked:
        found = ", ".join(unknown) or "nothing"
        raise UsageError(f"--streams: {encoder} has {', '.join(available)}, found {found}")
    if len(set(asked)) < len(asked):
        raise UsageError(f"--streams: expected every name once, found {', '.join(asked)}")
    return tuple(asked)
