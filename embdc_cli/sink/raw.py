"""Raw output: the values and nothing else, little endian."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sequential import SequentialSink
from embdc_cli.sink.sink import ByteOutput

_SHORT = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}


class RawSink(SequentialSink):
    """The one stream as bare numbers; a warning has the --raw that reads them again."""

    def __init__(self, out: ByteOutput, streams: Sequence[OutputStream], resources: ExitStack) -> None:
        super().__init__(out, streams, resources)
        shape = "x".join(map(str, streams[0].shape)) or "1"
        dtype = _SHORT.get(streams[0].spec.dtype, streams[0].spec.dtype)
        self.warnings.append(f"output: raw {dtype} has no header, read it with --raw dtype={dtype},shape={shape}")
