"""Arrays of a chunk to the device in one copy, and back, through page-locked memory, on streams of their own.

What goes to the device nobody waits for: torch's allocators keep both ends of a copy until it is done. On a CPU it is a
plain copy. Threads may share a staging; each waits for what it fetches itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

_ALIGNMENT: Final = 256
"""Bytes: what kernels may expect of a tensor of their own."""


class Staging:
    """Copies to `device`; what is started on the current stream afterwards sees what was copied."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = self._back = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._back = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @property
    def device_index(self) -> int:
        """What `torch.cuda.device` takes to make it the current one: -1, which changes nothing, for the CPU."""
        return -1 if self._stream is None else self.device.index

    def copied(self, arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The arrays as tensors on the device."""
        starts = [0]
        for array in arrays:
            starts.append(-(-(starts[-1] + array.nbytes) // _ALIGNMENT) * _ALIGNMENT)
        here = torch.empty(starts[-1], dtype=torch.uint8, device="cpu", pin_memory=self._stream is not None)
        bytes_here = here.numpy()
        for start, array in zip(starts, arrays, strict=False):
            bytes_here[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        there = self._copied(here)
        return [_part(there, start, array) for start, array in zip(starts, arrays, strict=False)]

    def fetched(self, tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """The tensors as arrays, once what was started on the current stream is done."""
        if self._back is None:
            return [tensor.numpy() for tensor in tensors]
        self._back.wait_stream(torch.cuda.current_stream(self.device))
        here = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
        with torch.cuda.stream(self._back):
            for array, tensor in zip(here, tensors, strict=True):
                array.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._back)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # the thread sleeps
            done.record(self._back)
        done.synchronize()
        return [array.numpy() for array in here]

    def fetched_together(self, tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """`fetched` in one copy: for many small tensors, which are put one behind the other on the device."""
        order = sorted(range(len(tensors)), key=lambda at: -tensors[at].element_size())  # so that each is aligned
        flat = [tensors[at].contiguous().view(-1).view(torch.uint8) for at in order]
        if not flat:
            return []
        (together,) = self.fetched([torch.cat(flat)])
        ends = np.cumsum([len(one) for one in flat])
        found = [np.zeros(0)] * len(tensors)
        for at, part in zip(order, np.split(together, ends[:-1]), strict=True):
            like = torch.empty(0, dtype=tensors[at].dtype).numpy()
            found[at] = part.view(like.dtype).reshape(tensors[at].shape)
        return found

    def _copied(self, here: torch.Tensor) -> torch.Tensor:
        if self._stream is None:
            return here
        with torch.cuda.stream(self._stream):
            there = here.to(self.device, non_blocking=True)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._stream)
        there.record_stream(current)
        return there


def _part(there: torch.Tensor, start: int, array: np.ndarray) -> torch.Tensor:
    dtype = getattr(torch, array.dtype.name)
    return there[start : start + array.nbytes].view(dtype).view(array.shape)
