"""What reading and writing dumps share: format names, suffixes, and how each format spells the element types.

numpy and HDF5 have no bfloat16: there it is two opaque bytes (`V2`, as ml_dtypes writes it), viewed as uint16.
A ragged tensor in a format without lists is its flat tokens under NAME and the counts under NAME.token_counts.
"""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = {
    ".npy": "npy",
    ".npz": "npz",
    ".safetensors": "safetensors",
    ".h5": "h5",
    ".hdf5": "h5",
    ".pt": "pt",
    ".pth": "pt",
    ".raw": "raw",
}
FORMATS: Final = ("npy", "npz", "safetensors", "h5", "pt", "raw")
INDEX_FORMATS: Final = ("faiss",)
"""Outputs that nothing is encoded from."""
OUTPUT_FORMATS: Final = (*FORMATS, *INDEX_FORMATS)
OUTPUT_SUFFIXES: Final = {**SUFFIXES, ".faiss": "faiss"}
ONE_ARRAY_FORMATS: Final = ("npy", "raw", "faiss")
RAGGED_AS_TOKENS: Final = ("faiss",)
"""One-array formats that hold tokens, whatever rows they are of."""

BFLOAT16_VOID: Final = "<V2"
TOKEN_COUNTS: Final = ".token_counts"
SINGLE: Final = "data"
"""Stream name of the one array of a format that has no names."""

SAFETENSORS_DTYPES: Final = {
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "BOOL": "bool",
}
