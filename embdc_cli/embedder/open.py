"""Which embedder `--encoder` means."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from embdc_cli.embedder.patch_dct import NAME as PATCH_DCT
from embdc_cli.embedder.patch_dct import PatchDct
from embdc_cli.embedder.protocol import Embedder, chosen_streams
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions

if TYPE_CHECKING:
    import torch


def open_embedder(options: EncodeOptions) -> Embedder:
    """The embedder for --encoder, --layer, --streams, --batch-size and --device, loaded.

    None or `patch-dct`: the built-in one; a `.pt2` file: an exported program; else a local folder or the hub name of
    a vision tower. The last one opened is kept, so that a batch of videos loads its network once.
    Raises: MissingModel, UsageError, ResourceError.
    """
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size: expected 1 or more, found {options.batch_size}")
    if _built_in(options):
        chosen_streams(options.streams, ("patch",), PATCH_DCT)
        if options.layer is not None:
            raise UsageError(f"--layer: {PATCH_DCT} has no layers, found {options.layer}")
        return PatchDct()
    return _load(str(options.encoder), options.layer, options.streams, options.batch_size, options.device)


def frames_device(options: EncodeOptions) -> torch.device | None:
    """The CUDA device where the embedder will take frames; None for frames in host memory. Raises as it does."""
    if _built_in(options):
        return None
    from embdc_cli.embedder.device import chosen_device

    device = chosen_device(options.device)
    return device if device.type == "cuda" else None


def _built_in(options: EncodeOptions) -> bool:
    return options.encoder is None or options.encoder == PATCH_DCT


@lru_cache(maxsize=1)
def _load(encoder: str, layer: int | None, streams: tuple[str, ...], batch_size: int | None, device: str) -> Embedder:
    if os.fspath(encoder).endswith(".pt2"):
        from embdc_cli.embedder.exported import ExportedEmbedder

        return ExportedEmbedder.open(encoder, layer=layer, streams=streams, batch_size=batch_size, device=device)
    from embdc_cli.embedder.huggingface import HuggingFaceEmbedder

    return HuggingFaceEmbedder.open(encoder, layer=layer, streams=streams, batch_size=batch_size, device=device)
