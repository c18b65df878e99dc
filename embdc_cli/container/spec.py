"""All numbers of the container format, in the order of embdc(5)."""

from __future__ import annotations

from typing import Final

# Signature: 16 bytes at the start of every part. The byte above 127, CR LF, SUB and LF show transfers that
# cleared the high bit, rewrote line ends, or stopped at an end-of-file character (as in PNG).
MAGIC: Final = b"\x89EMBDC\r\n\x1a\n\x00"
MAJOR: Final = 1  # of what is written
MAJORS: Final = (0, 1)  # of what is read; 0 is the draft, which differs from 1 in nothing but the number
MINOR: Final = 0
SIGNATURE_FORMAT: Final = "<11sBB3s"  # magic, major, minor, zeros
SIGNATURE_BYTES: Final = 16
READER_LEVEL: Final = 0  # highest `min_reader` of a header that this reader satisfies
FEATURES: Final[frozenset[str]] = frozenset()  # known entries of a header's `features`

# Chunk header: 40 bytes before every payload.
SYNC: Final = bytes.fromhex("d3e59b1fa807c67a")  # no prefix of it is also a suffix: occurrences cannot overlap
CHUNK_FORMAT: Final = "<8s4sHHIIQI"  # sync, type, flags, mask, part_id, seq, length, payload CRC; then the header CRC
CHUNK_BYTES: Final = 40
ALIGNMENT: Final = 8  # of chunks, relative to the start of their part
FLAG_CRITICAL: Final = 1 << 0
FLAG_COPY_SAFE: Final = 1 << 1
FLAG_PRIVATE: Final = 1 << 2
PAD_SHIFT: Final = 8  # bits 8-10: number of zero bytes at the end of the payload
FLAGS_RESERVED: Final = 0xF8F8

# Chunk types. Upper case first letter: critical, a reader that does not know it must stop.
HEAD: Final = b"HEAD"  # header, JSON
CODEBOOK: Final = b"CBOK"
MODELS: Final = b"MODL"
DATA: Final = b"DATA"
TIMES: Final = b"pTS_"
DIGESTS: Final = b"dGST"
META: Final = b"mETA"  # the JSON of HEAD again, near the end
SUMMARY: Final = b"sUMM"
INDEX: Final = b"iNDX"
TAIL: Final = b"tAIL"

# Type codes of the index; permanent, never reused.
TYPE_CODES: Final[dict[bytes, int]] = {
    DATA: 0,
    MODELS: 1,
    TIMES: 2,
    CODEBOOK: 3,
    INDEX: 4,
    HEAD: 5,
    DIGESTS: 6,
    META: 7,
    SUMMARY: 8,
    TAIL: 9,  # never in an index, which comes before it
}
OTHER_CODE: Final = 15  # an ancillary chunk that the writer carried along without knowing it

# Payload prefixes.
DATA_FORMAT: Final = "<HHIQIIqqfeeII"
# stream, kind, segment, row0, rows, symbol CRC, pts0, pts1, mse, cosine distance mean and max, tokens bytes, models CRC
DATA_BYTES: Final = 56
MODELS_FORMAT: Final = "<HHI"  # stream, zero, segment
MODELS_BYTES: Final = 8
CODEBOOK_FORMAT: Final = "<32sQII"  # SHA-256, bytes, 1 when embedded, zero
CODEBOOK_BYTES: Final = 48
TIMES_FORMAT: Final = "<IIQqqq"  # item, rows, row0, first start, last end, step (0: columns follow)
TIMES_BYTES: Final = 40
INDEX_FORMAT: Final = "<BBHIIIQ"  # form, layout, zero, chunks, first seq, zero, first offset
INDEX_BYTES: Final = 24
INDEX_CHECKPOINT: Final = 0
INDEX_FULL: Final = 1
INDEX_LAYOUT: Final = 0
TAIL_FORMAT: Final = "<QQQQQQ32sBB6s"
# part bytes, distances back to iNDX, sUMM, mETA (0: none), dGST, chunks of the part, root, major, minor, zeros
TAIL_BYTES: Final = 88
PACKED_JSON: Final = 1  # first byte of HEAD, mETA, sUMM when a raw deflate stream follows; plain JSON begins with {
DIGEST_BYTES: Final = 16  # SHA-256 prefix per chunk in dGST

# Opening and checkpoints.
OPENING_BYTES: Final = 1 << 16  # one suffix read of this size opens a normal archive
CHECKPOINT_CHUNKS: Final = 256  # DATA chunks between checkpoint indexes

# Limits. A reader refuses more before it allocates anything.
MAX_PAYLOAD_BYTES: Final = 1 << 28  # 256 MiB, any chunk; CRC-32 keeps Hamming distance 3 up to 512 MiB
MAX_JSON_BYTES: Final = 1 << 22  # 4 MiB: HEAD, mETA, sUMM
MAX_JSON_DEPTH: Final = 16
MAX_JSON_RATIO: Final = 64  # bytes of JSON per byte of its packed form
MAX_STREAMS: Final = 65_535
MAX_ITEMS: Final = 1 << 20
MAX_SEGMENTS: Final = 1 << 32
MAX_ROWS: Final = (1 << 63) - 1
MAX_NAME_BYTES: Final = 4096
MAX_RANK: Final = 32  # axes of one row
MAX_DIMENSION: Final = (1 << 32) - 1
MAX_TIMES_ROWS: Final = 1 << 20  # rows of one pTS_ chunk; a constant rate costs 40 bytes, whatever the length
MAX_TIMELINE_ROWS: Final = 1 << 27  # rows of one timeline: 51 days at 30 rows a second, 2 GiB as arrays

# Hard caps of the header's own limits (decode cost per chunk) and their defaults.
DEFAULT_CHUNK_BYTES: Final = 1 << 26  # 64 MiB
CAP_CHUNK_ROWS: Final = 1 << 24
CAP_CHUNK_VALUES: Final = 1 << 30
FREE_CHUNK_VALUES: Final = 1 << 23  # what a chunk of any size may decode to: constants pack without bound
FREE_CHUNK_ROWS: Final = 1 << 20
MAX_CHUNK_RATIO: Final = 64  # values, and rows, for each byte of the content of a chunk that decodes to more
CAP_RANK: Final = 1 << 16  # channels kept by a transform
CAP_MODES: Final = 1 << 16
CAP_GROUP: Final = 1 << 12  # rows of one temporal transform
