"""Codes from a device in as few bytes as those before them fitted; where they do not fit, once more in four."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from embdc_cli.codec.device.staging import Staging

_TYPES: Final = (torch.int8, torch.int16, torch.int32)


class Narrow:
    """Remembers what codes fitted. Threads may share it: codes are the same whatever it remembers."""

    def __init__(self) -> None:
        self._dtype = _TYPES[0]

    def started(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """[int32 codes of any shape in fewer bytes, (2,) their least and greatest], to be fetched."""
        limits = torch.aminmax(codes) if codes.numel() else (codes.new_zeros(()), codes.new_zeros(()))
        return [codes.to(self._dtype), torch.stack(list(limits))]

    def ended(self, codes: torch.Tensor, fetched: list[np.ndarray], staging: Staging) -> np.ndarray:
        """The codes, int32, from what was fetched of them."""
        narrowed, limits = fetched
        largest = max(-int(limits[0]), int(limits[1]))
        self._dtype = next(dtype for dtype in _TYPES if largest <= torch.iinfo(dtype).max)
        if largest > np.iinfo(narrowed.dtype).max:
            (narrowed,) = staging.fetched([codes])
        return narrowed.astype(np.int32, copy=False)

    def fetched(self, codes: torch.Tensor, staging: Staging) -> np.ndarray:
        """Codes by themselves."""
        return self.ended(codes, staging.fetched(self.started(codes)), staging)
