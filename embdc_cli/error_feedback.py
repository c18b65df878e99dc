"""Error feedback: what one lossy encode loses is added to the input of the next one.

    y_t = coded(g_t + e_{t-1}),   e_t = g_t + e_{t-1} - y_t,   e_{-1} = 0

So a gradient that is sent at one or two bits a value is delayed rather than lost: the sum of what was sent differs from
the sum of the gradients by the last residual alone.
Source: Seide et al., "1-bit stochastic gradient descent", Interspeech 2014; Karimireddy et al., "Error feedback fixes
SignSGD and other gradient compression schemes", ICML 2019.
Not here: momentum, and anything else that an optimiser does with what it gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from embdc_cli import dtypes
from embdc_cli.archive import Archive
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.output import atomic_output
from embdc_cli.sink import format_for, open_sink
from embdc_cli.source import open_dump
from embdc_cli.values import Dump, StreamSpec, Tensor


@dataclass(frozen=True)
class Corrected:
    """A tensor plus what was lost before. Both have the same shape; the sum is in the tensor's own type."""

    tensor: Tensor
    residual: Tensor

    @property
    def spec(self) -> StreamSpec:
        return self.tensor.spec

    @property
    def token_counts(self) -> np.ndarray | None:
        return self.tensor.token_counts

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows in storage dtype."""
        return dtypes.from_float32(self.exact(start, stop), self.spec.dtype)

    def exact(self, start: int, stop: int) -> np.ndarray:
        """Rows in float32."""
        parts = (self.tensor, self.residual)
        a, b = (dtypes.to_float32(part.read(start, stop), part.spec.dtype) for part in parts)
        return np.asarray(a + b)


@contextmanager
def corrected(dump: Dump, path: str) -> Iterator[Dump]:
    """`dump` with the residuals in the file `path` added to its tensors of the same names.

    Raises: SourceError for a residual that no tensor of the same shape is there for; tensors without one stay.
    """
    with closing(open_dump(path, EncodeOptions())) as residual:
        yield replace(dump, tensors=_sums(dump.tensors, residual.tensors, path))


def _sums(tensors: Sequence[Tensor], residuals: Sequence[Tensor], path: str) -> list[Tensor]:
    left = {residual.spec.name: residual for residual in residuals}
    sums: list[Tensor] = []
    for tensor in tensors:
        found = left.pop(tensor.spec.name, None)
        if found is not None and found.spec.shape != tensor.spec.shape:
            raise SourceError(
                f"--residual-in: {path}: {tensor.spec.name!r}: expected {tensor.spec.shape}, found {found.spec.shape}"
            )
        sums.append(tensor if found is None else Corrected(tensor, found))
    if left:
        raise SourceError(f"--residual-in: {path}: {min(left)!r} is not in the input")
    return sums


def check_residual(path: str, dump: Dump) -> None:
    """Refuse, before anything is encoded, a residual that could not be written. Raises: UsageError."""
    ragged = [one.spec.name for one in dump.tensors if one.spec.dtype in dtypes.FLOATS and one.token_counts is not None]
    if ragged:
        raise UsageError(f"--residual-out: stream {ragged[0]!r}: expected rows of one shape, found ragged ones")
    format_for(path, _residual_specs(dump), None)


def _residual_specs(dump: Dump) -> list[StreamSpec]:
    return [replace(tensor.spec, dtype="float32") for tensor in _floats(dump)]


def _floats(dump: Dump) -> list[Tensor]:
    return [one for one in dump.tensors if one.spec.dtype in dtypes.FLOATS]


def write_residual(path: str, dump: Dump, archive: str, *, force: bool) -> None:
    """What the archive has lost of `dump`, float32 for every floating-point tensor, as the dump `path`."""
    specs = _residual_specs(dump)
    with Archive(archive) as decoded, atomic_output(path, force=force) as out:
        sink = open_sink(format_for(path, specs, None), out, specs)
        try:
            for tensor in _floats(dump):
                view = decoded[tensor.spec.name]
                for entry, rows in view.pieces(range(tensor.spec.known_rows)):
                    kept = dtypes.to_float32(decoded.rows(view, entry, rows), view.spec.dtype)
                    sink.write(tensor.spec.name, rows.start, _lost(_exact(tensor, rows), kept))
            sink.close()
        except BaseException:
            sink.discard()
            raise


def _lost(exact: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """What is missing; NaN and infinities are kept as they are, or the encoder had refused them."""
    with np.errstate(invalid="ignore", over="ignore"):
        lost = exact - kept
    lost[~np.isfinite(lost)] = 0
    return np.asarray(lost)


def _exact(tensor: Tensor, rows: range) -> np.ndarray:
    """Rows in float32, before the sum was rounded to the tensor's type."""
    if isinstance(tensor, Corrected):
        return tensor.exact(rows.start, rows.stop)
    return dtypes.to_float32(tensor.read(rows.start, rows.stop), tensor.spec.dtype)
