"""Small files for the tests of sources, and one way to look at what was opened."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from embdc_cli.options import EncodeOptions
from embdc_cli.source import open_dump
from embdc_cli.values import Dump

RNG = np.random.default_rng(7)
FEATURES = RNG.standard_normal((9, 4, 3)).astype(np.float16)


def opened(path: str | Path, **options: object) -> Dump:
    """The dump at `path`."""
    return open_dump(path, EncodeOptions(**options))  # type: ignore[arg-type]  # any option, by keyword


def arrays(dump: Dump) -> dict[str, np.ndarray]:
    """Every tensor of `dump`, read whole and closed."""
    found = {tensor.spec.name: tensor.read(0, tensor.spec.known_rows) for tensor in dump.tensors}
    dump.close()
    return found


def npy_bytes(array: np.ndarray) -> bytes:
    """What numpy.save writes."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """A zip file of `members`."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path
