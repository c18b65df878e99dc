"""From the element types that numpy files declare to embdc's names, and their bytes to storage order."""

from __future__ import annotations

import numpy as np

from embdc_cli.dtypes import STORAGE, storage
from embdc_cli.errors import SourceError
from embdc_cli.values import StreamSpec

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


def as_coded(rows: np.ndarray, spec: StreamSpec, row0: int) -> np.ndarray:
    """Rows from `row0` on in the type that `spec` is coded in; only float64 is cast, to float32.

    Raises: SourceError naming the first value that float32 does not hold.
    """
    wanted = storage(spec.dtype)
    if rows.dtype == wanted:
        return rows
    with np.errstate(over="ignore"):
        cast = rows.astype(wanted)
    beyond = np.isinf(cast) & np.isfinite(rows)
    if beyond.any():
        flat = int(np.argmax(beyond))
        if spec.ragged:
            where = f"value {flat} of the rows from {row0}"
        else:
            inside = np.unravel_index(flat % max(1, spec.row_values), spec.row_shape)
            row = [row0 + flat // max(1, spec.row_values)] if spec.timed else []
            where = str([*row, *map(int, inside)])
        raise SourceError(
            f"stream {spec.name!r}: {rows.reshape(-1)[flat]:.9g} at {where}, expected at most "
            f"{np.finfo(wanted).max:.9g}: float64 is cast to float32",
            hint="scale the values before they are saved",
        )
    return cast
