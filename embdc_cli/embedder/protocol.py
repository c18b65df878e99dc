"""What an embedder is: frames in, one array per stream out; every frame on its own, whatever the batch around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from embdc_cli.errors import UsageError
from embdc_cli.values import StreamSpec

if TYPE_CHECKING:
    import torch

Frame: TypeAlias = "np.ndarray | torch.Tensor"
"""(H, W, 3) uint8 RGB; a tensor only for an embedder on a CUDA device, and there."""

Schedule = Sequence[tuple[int, int]]
"""(frame, size), in order: from which frame on, counted from 0, how many go through a network at once."""


@dataclass(frozen=True)
class Request:
    """What the user asked of an encoder: --layer, --streams, --batch-size, --device, --encoder-dtype, --compile."""

    layer: int | None = None
    streams: tuple[str, ...] = ("patch",)
    batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    compile: bool = False


class FrameEmbedder(Protocol):
    """An embedder made ready for frames of one size.

    specs: the streams it gives, rows None. batch_size: frames per call that suit it now; any number is taken.
    schedule: of the frames so far; empty where it changes nothing.
    """

    @property
    def specs(self) -> Sequence[StreamSpec]: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def schedule(self) -> Schedule: ...

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

    def for_size(self, height: int, width: int, schedule: Schedule = ()) -> FrameEmbedder:
        """Made ready for a video of `height` x `width` pixels. schedule: that of an earlier run, to be repeated.

        Raises: UsageError for --layer and --streams, ResourceError.
        """


def chosen_streams(asked: Sequence[str], available: Sequence[str], encoder: str) -> tuple[str, ...]:
    """The streams of --streams; UsageError for one that `encoder` does not have, one named twice, or none."""
    unknown = [name for name in asked if name not in available]
    if unknown or not asked:
        found = ", ".join(unknown) or "nothing"
        raise UsageError(f"--streams: {encoder} has {', '.join(available)}, found {found}")
    if len(set(asked)) < len(asked):
        raise UsageError(f"--streams: expected every name once, found {', '.join(asked)}")
    return tuple(asked)
