"""FAISS output: a flat index of all tokens, as `faiss.read_index` reads it, without the library.

Ids count tokens: row * tokens of a row + token, where rows are ragged from the first token of all on. The metric is l2.
float16 becomes an IndexScalarQuantizer of QT_fp16, the very values that npy output has; other types an IndexFlat in
float32. Vector-quantised codes stay behind: an additive quantiser of FAISS knows one set of codebooks, of full width
and 2^n codewords, where archives have one set per segment, tokens that stop at any level (a 257th codeword) and values
kept exactly.

Layout, little-endian: "IxSQ" or "IxF2"; [i32] D, [i64] n, [i64] 2^20 twice, [u8] 1 for trained, [i32] 1 for l2.
Of IxSQ: [i32] 4 for QT_fp16, [i32] 0, [f32] 0, [u64] D, [u64] 2 D, [u64] 0. Then [u64] count and the values: bytes of
IxSQ, float32 of IxF2.
Source: faiss/impl/index_write.cpp of FAISS, whose reader takes files of all older versions.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sequential import SequentialSink
from embdc_cli.tokens import as_tokens

_HEADER: Final = struct.Struct("<4siqqqBi")
_UNUSED: Final = 1 << 20
_L2: Final = 1
_QT_FP16: Final = 4
_SCALAR_QUANTISER: Final = struct.Struct("<iifQQQ")
_COUNT: Final = struct.Struct("<Q")


class FaissSink(SequentialSink):
    """The one stream as an index."""

    def begin(self, stream: OutputStream) -> None:
        channels = stream.spec.channels
        tokens = stream.size // (dtypes.item_bytes(stream.spec.dtype) * max(1, channels))
        half = stream.spec.dtype == "float16"
        self.out.write(_HEADER.pack(b"IxSQ" if half else b"IxF2", channels, tokens, _UNUSED, _UNUSED, 1, _L2))
        if half:
            self.out.write(_SCALAR_QUANTISER.pack(_QT_FP16, 0, 0.0, channels, 2 * channels, 0))
        self.out.write(_COUNT.pack(tokens * channels * (2 if half else 1)))

    def rows(self, stream: OutputStream, rows: np.ndarray) -> np.ndarray:
        """Tokens, one after the other."""
        x = as_tokens(rows, stream.spec)
        return x.astype("<f2") if stream.spec.dtype == "float16" else x.astype("<f4", copy=False)
