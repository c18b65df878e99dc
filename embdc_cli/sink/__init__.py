"""Outputs: the rows of decoded streams as one file or stream of bytes in six formats, or an index."""

from embdc_cli.sink.open import format_for, open_sink
from embdc_cli.sink.sink import Sink

__all__ = ["Sink", "format_for", "open_sink"]
