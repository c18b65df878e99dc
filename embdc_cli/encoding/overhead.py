"""What chunks cost beside their payload, for estimates beforehand; `inspect` shows what they did cost."""

from __future__ import annotations

from typing import Final

FRAMING_BYTES: Final = 40 + 56 + 7  # chunk header, record, padding at most
INDEX_BYTES: Final = 16 + 16  # digest; index entry, usually half of that
END_BYTES: Final = 2048  # summary of one stream, tail, a checkpoint
HEADER_BYTES: Final = 2048
