"""JSON as it is stored in HEAD, mETA and sUMM: as it is, or deflated against a dictionary that is part of the format.

A small archive is mostly keys and phrases that every archive has; the dictionary holds them once for all.
Content that begins with `{` is the canonical JSON itself. Content that begins with the byte 1 goes on with one raw
deflate stream (RFC 1951: no zlib header, no checksum, since the chunk has one), which may refer back into DICTIONARY
as if it came before the JSON. What names a part (part number, identity) is taken of the JSON, not of its packed
form: another deflate library may pack the same JSON into other bytes.

A reader never makes more than MAX_JSON_BYTES, nor MAX_JSON_RATIO times the content: JSON in memory takes many times
its bytes, and a file of many small parts would multiply that. Headers of thousands of streams stay below the ratio;
what does not is stored as it is.
The standard library's zlib is enough to read and write it.
"""

from __future__ import annotations

import zlib
from typing import Final

from embdc_cli.container.spec import MAX_JSON_BYTES, MAX_JSON_RATIO, PACKED_JSON
from embdc_cli.errors import CorruptArchive

_LINES: Final = """
"codebook":"","embed_codebook":"auto","record_name":true,"key":"","raw":"","input_format":"","layer":-2,
"time":"","streams":["patch","cls"],"special_tokens":"auto","weighting":"sha256:
{"source":{"kind":"joined","sources":2,"sources_digest":"
{"encoder":{"architecture":"","attention":"sdpa","batch_size":8,"device":"cuda",
"dtype":{"compute":"float32","storage":"float16"},"grid":[14,14],"kind":"huggingface","layer":null,
"libraries":{"torch":"2.","transformers":"5."},"name":"","preprocess":{"antialias":"pillow","crop":null,
"filter":"bicubic","mean":[0.5,0.5,0.5],"rescale":0.00392156862745098,
"resize":{"height":224,"rule":"exact","width":224},"std":[0.5,0.5,0.5]},"revision":null,"size":[224,224],
"weights_sha256":"
{"encoder":{"dtype":{"storage":"float16"},"grid":[16,16],"name":"patch-dct","version":1},
"source":{"average_fps":[30,1],"codec":"h264","colour":{"assumed":[],"matrix":"bt709","primaries":1,
"range":"limited","transfer":1},"container":"mov,mp4,m4a,3gp,3g2,mj2","declared_frames":,
"decoder":{"libavcodec":"62.","pyav":"17."},"height":1080,"kind":"video","pixel_format":"yuv420p",
"rotation":{"degrees":0,"mirrored":false},"sample_aspect":[1,1],"sampling":{"fps":"2","time":".."},
"timebase":[1,15360],"width":1920},"timebase":[1,
"special_tokens":1,"timed":true,"dtype":"bfloat16","name":"patch","row_shape":[256,1024],"ragged":true,
"duration_seconds":10.0,"input_incomplete":"","frames_decoded":,"interlaced":false,"size_bytes":,
"times_repaired":0,"vfr":false},
{"kind":"channel_nmse","value":{"kind":"max_size","value":{"kind":"bpv","value":0.
{"kind":"lossless","value":0.0},"weighting":"token"}{"kind":"nmse","value":0.
{"achieved":{"channel_nmse":0.0,"cosine":1.0,"cosine_p1":1.0,"nmse":0.0},"codec":"lossless","digest":"
{"achieved":{"channel_nmse":0.,"cosine":0.9,"cosine_p1":0.9,"nmse":0.0},
"source":{"ends_digest":"","size_bytes":},"streams":[{"achieved":{"channel_nmse":0.,"cosine":0.97,"cosine_p1":0.
"codec":"transform","digest":"","rows":,"sums":{"cosine_sum":,"energy":,"sse":,"tokens":,"values":}}],
"target":{"kind":"cosine","saturated":false,"value":0.97}}
"codec":{"name":"lossless"},"kind":"array"
{"codec":{"name":"transform"},"features":[],"input_head_digest":"","items":[{"source":{"kind":"npy"}}],
"limits":{"max_chunk_bytes":67108864,"max_chunk_rows":64,"max_chunk_values":,"max_group":64,"max_modes":64,
"max_rank":768},"min_reader":0,"recipe":{"chunk_frames":null,"codec":"transform","effort":1,
"nonfinite":"refuse","one_pass":false,"special_tokens":"0","target":{"kind":"cosine","value":0.97},
"weighting":"none"},"streams":[{"axes":"t,n,c","codec":"transform","dtype":"float16","name":"data",
"row_shape":[196,192],"rows":},{"axes":"t,c"],"target":{"kind":"cosine","value":0.97},"version":[0,0]}
"""
DICTIONARY: Final = _LINES.replace("\n", "").encode()
"""Never changed: archives refer into it. What is near its end costs least, so the commonest documents come last."""

_FORM: Final = bytes([PACKED_JSON])
_LEVEL: Final = 9
_RAW_WINDOW: Final = -15  # window of 32 KiB, which holds the whole dictionary; negative: without header and checksum
_MEMORY: Final = 9


def pack(payload: bytes) -> bytes:
    """Canonical JSON `payload` as the content of a chunk: packed where that is shorter and a reader takes it."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    packed = _FORM + packer.compress(payload) + packer.flush()
    return packed if len(packed) < len(payload) <= _limit(packed) else payload


def unpack(content: bytes, what: str) -> bytes:
    """The canonical JSON (not checked here) in the content of a HEAD, mETA or sUMM chunk, which `what` names.

    Raises: CorruptArchive for an unknown form, a stream that is damaged or cut, bytes behind it, or too much JSON.
    """
    if content[:1] == b"{":
        return content
    if content[:1] != _FORM:
        raise CorruptArchive(f"{what}: expected JSON, plain or packed, found {content[:1].hex() or 'nothing'}")
    limit = _limit(content)
    unpacker = zlib.decompressobj(_RAW_WINDOW, DICTIONARY)
    try:
        payload = unpacker.decompress(content[1:], limit)
        more = unpacker.decompress(unpacker.unconsumed_tail, 1)  # the mark of the end may be left, but no JSON
    except zlib.error as error:
        raise CorruptArchive(f"{what}: packed JSON is damaged: {error}") from error
    if more:
        raise CorruptArchive(f"{what}: expected at most {limit} bytes of JSON in {len(content)}, found more")
    if not unpacker.eof:
        raise CorruptArchive(f"{what}: packed JSON is cut after {len(content)} bytes")
    if unpacker.unused_data:
        raise CorruptArchive(f"{what}: {len(unpacker.unused_data)} bytes behind the packed JSON")
    return payload


def _limit(content: bytes) -> int:
    """Most bytes of JSON that packed `content` may stand for."""
    return min(MAX_JSON_BYTES, MAX_JSON_RATIO * len(content))
