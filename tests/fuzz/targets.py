"""What reads bytes that nobody should trust, as functions of those bytes: they return, or raise an `EmbdcError`.

`seeds` gives good bytes of each to begin from.
"""

from __future__ import annotations

import functools
import io
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.numpy import save

import embdc_cli as embdc
from embdc_cli.archive import Archive
from embdc_cli.codebook import file as codebook_file
from embdc_cli.codec.table import codec_for
from embdc_cli.container.correction import corrected
from embdc_cli.container.storage import FileObject
from embdc_cli.errors import EmbdcError
from embdc_cli.inputs import open_input
from embdc_cli.options import EncodeOptions
from embdc_cli.reporter import Silent
from tests.container.container_cases import forged, split
from tests.synthetic import embeddings

ROWS = 16
MOST_ROWS = 1000
RELU = np.maximum(embeddings(ROWS, 16, 12).astype(np.float32) - 1, 0).astype(np.float16)
ENCODED = {
    "transform-0": (embeddings(ROWS, 9, 12), {"target_nmse": 0.05, "effort": 0}),
    "transform-1": (embeddings(ROWS, 9, 12), {"target_nmse": 0.02, "effort": 1}),
    "transform-2": (embeddings(ROWS, 10, 12), {"target_nmse": 0.02, "effort": 2, "special_tokens": "1"}),
    "sparse": (RELU, {"target_nmse": 0.02, "effort": 2}),
    "vq": (embeddings(ROWS, 9, 12), {"codec": "vq", "target_nmse": 0.1}),
    "lossless": (embeddings(ROWS, 4, 8), {"lossless": True}),
    "h264": (embeddings(ROWS, 9, 12), {"codec": "h264", "target_nmse": 0.2}),
    "hevc": (embeddings(ROWS, 9, 12), {"codec": "hevc", "target_nmse": 0.2}),
    "av1": (embeddings(ROWS, 9, 12), {"codec": "av1", "target_nmse": 0.2}),
}
DUMPS = ("npy", "npz", "pt", "safetensors", "h5")


def dump(suffix: str, data: bytes) -> None:
    """A dump in a file of that suffix, all of it read."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = f"{folder}/x.{suffix}"
        Path(path).write_bytes(data)
        opened = open_input(path, EncodeOptions(), Silent())
        try:
            for tensor in opened.tensors:
                tensor.read(0, min(tensor.spec.known_rows, MOST_ROWS))
        finally:
            opened.close()


def archive(data: bytes) -> None:
    """An archive: opened, everything decoded that can be, verified, and its flipped bits looked for."""
    with suppress(EmbdcError):
        corrected(FileObject(io.BytesIO(data)), ())
    with Archive(io.BytesIO(data)) as opened:
        for view in map(opened.__getitem__, opened):
            with suppress(EmbdcError):
                _ = view.timeline
            for entry, wanted in view.pieces(range(min(view.spec.known_rows, MOST_ROWS))):
                with suppress(EmbdcError):
                    opened.rows(view, entry, wanted)
        opened.reader.verify()


def chunk(data: bytes) -> None:
    """An archive with right checksums: of a good one, the chunk whose number is the first byte has this content."""
    chunks = list(split(seeds()["archive"]))
    number = data[0] % len(chunks) if data else 0
    chunks[number] = (chunks[number][0], data[1:])
    archive(forged(chunks))


def coded(name: str, data: bytes) -> None:
    """A chunk of a codec: models, when the first byte is odd, or payload."""
    codec_models, payload, decode = coding(name)
    models = data[1:] if data[:1] and data[0] % 2 else codec_models
    decode(models, payload if models is not codec_models else data[1:])


@functools.cache
def coding(name: str) -> tuple[bytes, bytes, Callable[[bytes, bytes], np.ndarray]]:
    """(models, payload, decode) of the first chunk of an archive made with `ENCODED[name]`."""
    source, options = ENCODED[name]
    with tempfile.TemporaryDirectory() as folder:
        embdc.encode(source, f"{folder}/a.embdc", chunk_frames=ROWS, **options)
        with Archive(f"{folder}/a.embdc") as opened:
            view = opened["data"]
            ((entry, payload),) = opened.reader.fetch([view.stream.entries[0]])
            models = opened.reader.models(view.stream, entry.record.segment)
            limits = opened.reader.header.limits
    kind, spec = entry.record.kind, view.spec

    def decode(models: bytes, payload: bytes) -> np.ndarray:
        rows, _ = codec_for(kind, spec, models, limits, opened.codebook).decode(payload, ROWS)
        assert rows.shape == (ROWS, *spec.row_shape)
        return rows

    return models, payload, decode


@functools.cache
def seeds() -> dict[str, bytes]:
    """Good bytes of every target."""
    x = embeddings(ROWS, 4, 8)
    found: dict[str, bytes] = {"safetensors": save({"a": x, "b": x[:, 0]})}
    with tempfile.TemporaryDirectory() as folder:
        here = os.path.join(folder, "x.")
        np.save(here + "npy", x)
        np.savez_compressed(here + "npz", a=x, b=x[:, 0])
        torch.save({"a": torch.from_numpy(x), "b": [torch.zeros(3)]}, here + "pt")
        with h5py.File(here + "h5", "w") as file:
            file["a"] = x
            file.create_dataset("g/b", data=x, chunks=(4, 4, 8), compression="gzip")
        np.savez(here + "timed.npz", clip=x, timestamps=np.arange(ROWS) ** 1.1)
        embdc.encode(here + "timed.npz", here + "embdc", chunk_frames=4)
        np.save(here + "long.npy", embeddings(64, 9, 12))
        embdc.train_codebook([here + "long.npy"], here + "embdcb", holdout=0)
        for name in ("npy", "npz", "pt", "h5"):
            found[name] = Path(here + name).read_bytes()
        found["archive"] = Path(here + "embdc").read_bytes()
        found["codebook"] = Path(here + "embdcb").read_bytes()
    found["chunk"] = b"\2" + split(found["archive"])[2][1]
    return found | {name: b"\0" + coding(name)[1] for name in ENCODED}


TARGETS: dict[str, Callable[[bytes], None]] = {
    **{suffix: functools.partial(dump, suffix) for suffix in DUMPS},
    "codebook": lambda data: void(codebook_file.read(data)),
    "archive": archive,
    "chunk": chunk,
    **{name: functools.partial(coded, name) for name in ENCODED},
}


def void(value: object) -> None:
    """Nothing."""
    del value
