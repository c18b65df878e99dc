"""Inputs: dumps in six formats and video, as tensors whose rows can be read (`values.Dump`, `values.Feed`)."""

from embdc_cli.source.detect import detect_format
from embdc_cli.source.open import open_dump, open_stdin

__all__ = ["detect_format", "open_dump", "open_stdin"]
