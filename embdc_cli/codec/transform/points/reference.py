"""Points by table, in numpy: the definition of what `cpu.py` compiles."""

from __future__ import annotations

import numpy as np


def look_up(codes: np.ndarray, table: np.ndarray) -> np.ndarray | None:
    """(n,) float32 values of codes (n,) int32 within +-2^30, None when one is not in the table.

    table: (2 K + 1,) float32, of codes -K to K.
    """
    largest = len(table) // 2
    if codes.size and not -largest <= codes.min() <= codes.max() <= largest:
        return None
    return np.asarray(table[codes + largest])
