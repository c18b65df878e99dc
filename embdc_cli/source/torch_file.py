"""Files of torch.save: loaded with weights_only, so that no pickled code runs, and read by rows where they lie.

torch maps the file; where the mapping of a tensor lies in the file is looked up, and its rows are then read with
pread, because a mapping that is read through once counts as resident memory.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from embdc_cli.dtypes import storage
from embdc_cli.errors import SourceError
from embdc_cli.source.candidate import Candidate, Contents
from embdc_cli.source.file_rows import file_rows
from embdc_cli.source.location import InputFile
from embdc_cli.source.nested import flatten, same_dim
from embdc_cli.source.positioned import PositionedFile
from embdc_cli.source.torch_rows import is_tensor, joined_candidate, tensor_candidate
from embdc_cli.source.zip_members import open_zip, zip_members

_DAMAGE: Final = (
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, EOFError, OSError,
    OverflowError, MemoryError, struct.error,
)  # fmt: skip
"""What torch.load raises for damage, depending on the layer that meets it."""
_PROBE_BYTES = 64


def torch_contents(source: InputFile) -> Contents:
    """The tensors of a file of torch.save, named by their keys joined with "."; a bare tensor is called `data`.

    A list of tensors [N_i, D] of different N_i is one ragged tensor. Raises SourceError for damage and for pickled
    objects other than tensors in dicts and lists.
    """
    with ExitStack() as stack:
        file = source.positioned()
        stack.callback(file.close)
        in_place = _check_zip(source, file)
        found, others = flatten(_load(source, mapped=in_place is not None), is_tensor, _is_ragged, source.shown)
        mappings = _mappings(source.path) if in_place else []
        candidates = [_candidate(name, value, file, mappings) for name, value in found]
        return Contents(candidates, skipped=others, close=stack.pop_all().close)


def _check_zip(source: InputFile, file: PositionedFile) -> bool | None:
    """Whether values lie in the file as this machine reads them; None for the format before torch 1.6, no zip file."""
    if file.read_up_to(0, 2) != b"PK":
        return None
    little = True
    with open_zip(source) as archive:
        for member in zip_members(archive, file):
            name = member.info.filename
            if not member.stored:
                raise SourceError(f"{source.shown}: {name} is compressed, which torch.save never does")
            if name.endswith("/constants.pkl"):
                raise SourceError(
                    f"{source.shown}: expected tensors, found a TorchScript program", hint="save its state_dict()"
                )
            if name.count("/") == 1 and name.endswith("/byteorder"):
                little = file.read_exactly(member.data_offset, min(member.info.file_size, 16)) == b"little"
    return little


def _load(source: InputFile, *, mapped: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch finds unusual is an error below, or no matter
            return torch.load(source.path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        what = f"pickled objects of {culprit[1]}" if culprit else str(error).splitlines()[0]
        raise SourceError(
            f"{source.shown}: expected tensors in dicts and lists, found {what}",
            hint="any other pickled object can run code and is never loaded; save {'features': tensor} instead",
        ) from error
    except _DAMAGE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(f"{source.shown}: truncated or damaged torch file, {first}") from error


def _is_ragged(tensors: Sequence[torch.Tensor]) -> bool:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return same_dim(shapes, [tensor.dtype for tensor in tensors]) and len({shape[0] for shape in shapes}) > 1


def _candidate(name: str, value: Any, file: PositionedFile, mappings: list[_Mapping]) -> Candidate:
    if isinstance(value, list):
        parts = [_candidate(f"{name}.{number}", part, file, mappings) for number, part in enumerate(value)]
        return joined_candidate(name, parts)
    candidate = tensor_candidate(name, value)
    if not candidate.storable:
        return candidate
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise SourceError(
            f"{file.shown}: {name} of shape {candidate.shape} is an expanded view of fewer values",
            hint="call .contiguous() on it before saving",
        )
    return _in_file(candidate, value, file, mappings) or candidate


_Mapping = tuple[int, int, int]
"""Addresses [start, stop) of a mapping, and the file offset of its start."""


def _mappings(path: str) -> list[_Mapping]:
    """Where in this process the file at `path` is mapped; nothing where the system does not tell (not Linux)."""
    inode = str(os.stat(path).st_ino)
    found = []
    try:
        with open("/proc/self/maps") as lines:
            for line in lines:
                addresses, _, offset, _, mapped_inode, *_ = line.split()
                if mapped_inode == inode:
                    start, stop = (int(part, 16) for part in addresses.split("-"))
                    found.append((start, stop, int(offset, 16)))
    except FileNotFoundError:
        return []
    return found


def _in_file(
    candidate: Candidate, tensor: torch.Tensor, file: PositionedFile, mappings: list[_Mapping]
) -> Candidate | None:
    """The candidate read with pread, when the tensor is mapped and lies in C or Fortran order; else None."""
    fortran = not tensor.is_contiguous()
    transposed = tensor.permute(list(reversed(range(tensor.dim()))))
    if (fortran and not transposed.is_contiguous()) or tensor.is_neg():
        return None
    size, address = tensor.numel() * tensor.element_size(), tensor.data_ptr()
    for start, stop, offset in mappings:
        if size and start <= address and address + size <= stop:
            position = address - start + offset
            # the inode number alone could belong to a file of another disk
            probe = tensor.as_strided((tensor.numel(),), (1,))[: _PROBE_BYTES // tensor.element_size()]
            seen = probe.contiguous().view(torch.uint8).numpy().tobytes()
            if file.read_up_to(position, len(seen)) == seen:
                dtype = np.dtype("<u2") if candidate.dtype == "bfloat16" else storage(candidate.dtype)
                reader = partial(file_rows, file, position, dtype, candidate.shape, fortran=fortran)
                return replace(candidate, open=reader)
    return None
