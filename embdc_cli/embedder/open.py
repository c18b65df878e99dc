"""Which embedder `--encoder` means."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from embdc_cli.embedder.patch_dct import PatchDct
from embdc_cli.embedder.protocol import Embedder, Request, chosen_streams
from embdc_cli.errors import UsageError
from embdc_cli.options import PATCH_DCT, EncodeOptions

if TYPE_CHECKING:
    import torch


def open_embedder(options: EncodeOptions) -> Embedder:
    """The embedder for the options of videos and --device, loaded.

    None or `patch-dct`: the built-in one; a `.pt2` file: an exported program; else a local folder or the hub name of
    a vision tower. The last one opened is kept, so that a batch of videos loads its network once.
    Raises: MissingModel, UsageError, ResourceError.
    """
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size: expected 1 or more, found {options.batch_size}")
    kind = options.encoder_kind()
    if kind == "patch-dct":
        chosen_streams(options.streams, ("patch",), PATCH_DCT)
        if options.layer is not None:
            raise UsageError(f"--layer: {PATCH_DCT} has no layers, found {options.layer}")
        given = options.given(("encoder_dtype", "compile"))
        if given:
            raise UsageError(f"{given[0]}: {PATCH_DCT} is no network", hint="name one with --encoder, or leave it out")
        return PatchDct()
    request = Request(
        layer=options.layer,
        streams=options.streams,
        batch_size=options.batch_size,
        device=options.device,
        dtype=options.encoder_dtype,
        compile=options.compile,
    )
    return _load(kind, str(options.encoder), request)


def frames_device(options: EncodeOptions) -> torch.device | None:
    """The CUDA device where the embedder will take frames; None for frames in host memory. Raises as it does."""
    if options.encoder_kind() == "patch-dct":
        return None
    from embdc_cli.embedder.device import chosen_device

    device = chosen_device(options.device)
    return device if device.type == "cuda" else None


@lru_cache(maxsize=1)
def _load(kind: str, encoder: str, request: Request) -> Embedder:
    if kind == "exported":
        from embdc_cli.embedder.exported import ExportedEmbedder

        return ExportedEmbedder.open(encoder, request)
    from embdc_cli.embedder.huggingface import HuggingFaceEmbedder

    return HuggingFaceEmbedder.open(encoder, request)
