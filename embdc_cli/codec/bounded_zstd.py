"""zstd whose output size is known beforehand: a frame that claims another size is refused, not allocated."""

from __future__ import annotations

import zstandard

from embdc_cli.errors import CorruptArchive

LEVEL = 9


def compress(data: bytes | memoryview) -> bytes:
    """`data` as one zstd frame without size and checksum, which are known outside; b"" for nothing."""
    if not len(data):
        return b""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(data), write_content_size=False, write_checksum=False, write_dict_id=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def decompress(data: bytes | memoryview, size: int, what: str) -> bytes:
    """The `size` bytes of one frame. Raises CorruptArchive when `data` is anything else."""
    try:
        if size == 0:
            out = b""
        else:
            claimed = zstandard.get_frame_parameters(data).content_size
            if claimed not in (zstandard.CONTENTSIZE_UNKNOWN, size):
                raise CorruptArchive(f"{what}: expected {size} bytes of zstd, found a frame of {claimed}")
            out = zstandard.ZstdDecompressor().decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptArchive(f"{what}: expected {size} bytes of zstd, found damage: {error}") from error
    if len(out) != size or (size == 0 and len(data)):
        raise CorruptArchive(f"{what}: expected {size} bytes of zstd, found {len(out)} and {len(data)} bytes of input")
    return out
