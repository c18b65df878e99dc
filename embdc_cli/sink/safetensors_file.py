"""safetensors output, written front to back: the library would need every tensor in memory.

Source: the format section of the safetensors README.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from embdc_cli.dtypes import item_bytes
from embdc_cli.dump_formats import SAFETENSORS_DTYPES
from embdc_cli.errors import UsageError
from embdc_cli.sink.layout import OutputStream
from embdc_cli.sink.sequential import SequentialSink
from embdc_cli.sink.sink import ByteOutput

_ALIGNMENT = 8
_METADATA = "__metadata__"
_MAX_HEADER = 100_000_000
_NAMES = {name: label for label, name in SAFETENSORS_DTYPES.items()}


class SafetensorsSink(SequentialSink):
    """Every stream as a tensor; the header lists them in their order.

    The format allows no gaps, so wider types come first: every tensor then starts at a multiple of its item size.
    metadata: words for the header's own field of them.
    """

    def __init__(
        self,
        out: ByteOutput,
        streams: Sequence[OutputStream],
        resources: ExitStack,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        by_width = sorted(streams, key=lambda stream: -item_bytes(stream.spec.dtype))
        super().__init__(out, by_width, resources)
        starts: dict[str, int] = {}
        position = 0
        for stream in by_width:
            starts[stream.name] = position
            position += stream.size
        fields: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
        for stream in streams:
            if stream.name == _METADATA:
                raise UsageError(f"output: {_METADATA!r} cannot be the name of a safetensors tensor")
            fields[stream.name] = {
                "dtype": _NAMES[stream.spec.dtype],
                "shape": stream.shape,
                "data_offsets": (starts[stream.name], starts[stream.name] + stream.size),
            }
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        self._header = text + b" " * (-len(text) % _ALIGNMENT)
        if len(self._header) > _MAX_HEADER:
            raise UsageError(f"output: the names need {len(self._header)} bytes, safetensors allows {_MAX_HEADER}")

    def begin_output(self) -> None:
        self.out.write(struct.pack("<Q", len(self._header)) + self._header)
