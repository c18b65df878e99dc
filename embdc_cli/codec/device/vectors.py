"""A vector quantiser backwards on a device: codewords looked up and summed as whole numbers, as on any machine."""

from __future__ import annotations

import torch

from embdc_cli.codec.device.beside import Beside, Inverse, Upload
from embdc_cli.codec.vq.quantiser import VectorQuantiser
from embdc_cli.codec.vq.search.cuda import Lookup


def vector_quantiser(stage: VectorQuantiser, upload: Upload) -> Inverse:
    """Codes (F, N, L) -> float32 (F, N, r)."""
    known = Lookup.of(stage.packed, stage.rank, upload.device)
    upload.bytes += known.nbytes
    unit = 2.0**stage.exponent

    def run(codes: torch.Tensor, beside: Beside) -> torch.Tensor:
        sums = known.sums(codes.flatten(0, 1).int())
        return (sums * unit).float().view(*codes.shape[:2], stage.rank)

    return Inverse(run)
