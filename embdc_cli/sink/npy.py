"""npy output: one array, version 1.0, the bytes that numpy.save writes."""

from __future__ import annotations

import io

import numpy as np

from embdc_cli.dtypes import storage
from embdc_cli.dump_formats import BFLOAT16_VOID
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sequential import SequentialSink


def npy_header(stream: OutputStream) -> bytes:
    """Magic, version and header of an npy file with the array of `stream`."""
    descr = BFLOAT16_VOID if stream.spec.dtype == "bfloat16" else storage(stream.spec.dtype).str
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": stream.shape})
    return out.getvalue()


class NpySink(SequentialSink):
    """The one stream as an npy file."""

    def begin(self, stream: OutputStream) -> None:
        self.out.write(npy_header(stream))
