"""Arrays that are in memory already: numpy, torch, lists of matrices, dicts of any of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embdc_cli.errors import SourceError
from embdc_cli.options import EncodeOptions
from embdc_cli.source.candidate import Candidate, Contents, Reader
from embdc_cli.source.digest import ends_digest, head_digest, input_bytes
from embdc_cli.source.elements import dtype_name, in_storage_order
from embdc_cli.source.nested import flatten, same_dim
from embdc_cli.source.select import select
from embdc_cli.source.torch_rows import is_tensor, joined_candidate, tensor_candidate
from embdc_cli.values import Dump

if TYPE_CHECKING:
    import torch

    OneArray = np.ndarray | torch.Tensor
    ArrayInput = OneArray | Sequence[OneArray] | Mapping[str, "ArrayInput"]

_SHOWN = "array"


def open_arrays(value: ArrayInput, options: EncodeOptions | None = None) -> Dump:
    """The dump of an array, a dict name -> array (nested ones joined by "."), or a list of matrices (N_i, D).

    Arrays are numpy arrays or torch tensors on any device; they are not copied, so they must not change while the
    dump is in use. A list of matrices of one D and type is one ragged tensor. Raises SourceError for anything else.
    """
    found, others = flatten(value, _is_array, _is_ragged, _SHOWN)
    if not found:
        raise SourceError(f"{_SHOWN}: expected numpy arrays or torch tensors, found {', '.join(others) or 'nothing'}")
    contents = Contents([_candidate(name, one) for name, one in found], skipped=others)
    selection = select(contents, options or EncodeOptions(), _SHOWN)
    tensors = selection.tensors
    return Dump(
        tensors,
        timeline=selection.timeline,
        timed_streams=selection.timed_streams,
        exact_streams=selection.exact_streams,
        source={
            "kind": "array",
            "size_bytes": input_bytes(tensors),
            "head_digest": head_digest(tensors),
            "ends_digest": ends_digest(tensors),
        },
        warnings=selection.warnings,
    )


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray | np.generic) or is_tensor(value)


def _is_ragged(arrays: Sequence[Any]) -> bool:
    return same_dim([tuple(array.shape) for array in arrays], [array.dtype for array in arrays])


def _candidate(name: str, value: Any) -> Candidate:
    if isinstance(value, list):
        return joined_candidate(name, [_candidate(f"{name}.{number}", one) for number, one in enumerate(value)])
    if is_tensor(value):
        return tensor_candidate(name, value)
    array = np.asarray(value)
    return Candidate(name, dtype_name(array.dtype), array.shape, lambda: _reader(array))


def _reader(array: np.ndarray) -> Reader:
    rows = array.reshape(1) if array.ndim == 0 else array
    return lambda start, stop: in_storage_order(np.ascontiguousarray(rows[start:stop]))
