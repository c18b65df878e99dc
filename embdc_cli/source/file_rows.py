"""Rows of an array that lies in a file as plain elements, in C or Fortran order."""

from __future__ import annotations

import math

import numpy as np

from embdc_cli.source.elements import in_storage_order
from embdc_cli.source.positioned import PositionedFile

_WHOLE_COLUMNS = 4  # reading up to 4x what is asked for beats one pread per column
_BLOCK_BYTES = 8 << 20


def file_rows(
    file: PositionedFile, offset: int, dtype: np.dtype, shape: tuple[int, ...], *, fortran: bool = False
) -> FileRows:
    """The reader of an array of `shape` whose first element is at `offset`; a 0-D array reads as one row."""
    rows, *rest = shape or (1,)
    # with one axis that is longer than 1 both orders are the same
    if fortran and sum(size > 1 for size in shape) > 1:
        return FortranRows(file, offset, dtype, rows, tuple(rest))
    return FileRows(file, offset, dtype, rows, tuple(rest))


class FileRows:
    """C order: rows lie one after the other."""

    def __init__(
        self, file: PositionedFile, offset: int, dtype: np.dtype, rows: int, row_shape: tuple[int, ...]
    ) -> None:
        self.file = file
        self.offset = offset
        self.dtype = dtype
        self.rows = rows
        self.row_shape = row_shape
        self.row_values = math.prod(row_shape)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        out = np.empty((stop - start, *self.row_shape), self.dtype)
        self._fill(out, start * self.row_values)
        return in_storage_order(out)

    def _fill(self, out: np.ndarray, element: int) -> None:
        """Fill C-contiguous `out` with consecutive elements of the file."""
        self.file.read_into(self.offset + element * self.dtype.itemsize, out.reshape(-1).view(np.uint8).data)


class FortranRows(FileRows):
    """Fortran order: the first axis varies fastest, so the rows' values for one position lie side by side."""

    def __call__(self, start: int, stop: int) -> np.ndarray:
        count, columns = stop - start, self.row_values
        rows = np.empty((count, columns), self.dtype)
        if self.rows <= _WHOLE_COLUMNS * count:
            step = max(1, _BLOCK_BYTES // (self.rows * self.dtype.itemsize))
            for column in range(0, columns, step):
                block = np.empty((min(step, columns - column), self.rows), self.dtype)
                self._fill(block, column * self.rows)
                rows[:, column : column + len(block)] = block[:, start:stop].T
        elif count:
            strip = np.empty(count, self.dtype)
            for column in range(columns):
                self._fill(strip, column * self.rows + start)
                rows[:, column] = strip
        # columns are the row's positions in Fortran order too
        flipped = rows.reshape(count, *self.row_shape[::-1])
        axes = (0, *range(len(self.row_shape), 0, -1))
        return in_storage_order(np.ascontiguousarray(flipped.transpose(axes)))
