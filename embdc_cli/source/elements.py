"""From the element types that numpy files declare to embdc's names, and their bytes to storage order."""

from __future__ import annotations

import numpy as np

from embdc_cli.dtypes import STORAGE, storage

_NAMES = {(dtype.kind, dtype.itemsize): name for name, dtype in STORAGE.items() if name != "bfloat16"}


def dtype_name(dtype: np.dtype) -> str:
    """embdc's name for `dtype` (see `dtypes.STORAGE`), or numpy's own for a type that embdc does not store.

    Two opaque bytes are bfloat16: this is how ml_dtypes, and embdc itself, save it with numpy.
    """
    if dtype.name == "bfloat16" or (dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None):
        return "bfloat16"
    if dtype.names is not None:
        return "structured"
    return _NAMES.get((dtype.kind, dtype.itemsize), dtype.name)


def in_storage_order(array: np.ndarray) -> np.ndarray:
    """`array` of any type with a name, with the same bits in the storage dtype: big-endian is swapped, V2 viewed."""
    wanted = storage(dtype_name(array.dtype))
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and not np.little_endian):
        array = array.byteswap()  # a swap, not a cast: NaN payloads stay
    return array.view(wanted)
