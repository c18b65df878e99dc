"""Rows of torch tensors as numpy arrays; works on tensors that somebody else made, so it imports no torch itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embdc_cli.source.candidate import Candidate, Reader

if TYPE_CHECKING:
    import torch


def is_tensor(value: object) -> bool:
    """Whether `value` is a torch tensor; without torch in the process nothing can be one."""
    module = sys.modules.get("torch")
    return module is not None and isinstance(value, module.Tensor)


def torch_dtype_name(tensor: torch.Tensor) -> str:
    """embdc's name for the type of `tensor`, or torch's own for one that embdc does not store."""
    if tensor.layout != sys.modules["torch"].strided or tensor.is_quantized or tensor.is_nested:
        return f"{str(tensor.layout).removeprefix('torch.')} {'quantized ' * tensor.is_quantized}tensor"
    if tensor.is_meta:
        return "meta (no values)"
    return str(tensor.dtype).removeprefix("torch.")


def tensor_reader(tensor: torch.Tensor) -> Reader:
    """The reader of `tensor`, on whatever device and with whatever strides."""
    rows = tensor.detach().reshape(1) if tensor.dim() == 0 else tensor.detach()

    def read(start: int, stop: int) -> np.ndarray:
        part = rows[start:stop].cpu().resolve_neg().contiguous()
        if part.dtype == sys.modules["torch"].bfloat16:
            return part.view(sys.modules["torch"].int16).numpy().view("<u2")
        return part.numpy()

    return read


def tensor_candidate(name: str, tensor: torch.Tensor) -> Candidate:
    """`tensor` under `name`."""
    return Candidate(name, torch_dtype_name(tensor), tuple(tensor.shape), lambda: tensor_reader(tensor))


def joined_candidate(name: str, parts: Sequence[Candidate]) -> Candidate:
    """Arrays [N_i, D] of one type as the rows of one ragged array."""
    counts = np.array([part.shape[0] for part in parts], np.int64)
    edges = np.concatenate([[0], np.cumsum(counts)])

    def open_parts() -> Reader:
        readers = [part.open() for part in parts]

        def read(start: int, stop: int) -> np.ndarray:
            if start == stop:
                return readers[0](0, 0)
            first = int(np.searchsorted(edges, start, "right")) - 1
            last = int(np.searchsorted(edges, stop, "left"))
            spans = [(number, int(edges[number]), int(counts[number])) for number in range(first, last)]
            pieces = [readers[number](max(start - base, 0), min(stop - base, count)) for number, base, count in spans]
            return np.concatenate(pieces)

        return read

    return Candidate(name, parts[0].dtype, (int(edges[-1]), parts[0].shape[1]), open_parts, counts)
