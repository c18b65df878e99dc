"""The files beside the two inputs: the linear head of `--probe` and the classes of `--labels`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embdc_cli.comparison.opening import opened_dump
from embdc_cli.comparison.pairing import Pair
from embdc_cli.comparison.probe import Head, Probe
from embdc_cli.dtypes import FLOATS, to_float32
from embdc_cli.errors import UsageError
from embdc_cli.options import CompareOptions, EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.source import detect_format
from embdc_cli.source.location import locate
from embdc_cli.source.npy import npy_contents
from embdc_cli.values import Dump, Tensor

_BIAS, _WEIGHT = "bias", "weight"


@dataclass(frozen=True)
class Probing:
    """What `--probe`, `--probe-on` and `--labels` ask for. labels: (T,) int64 or None."""

    head: Head
    on: str
    labels: np.ndarray | None

    def fits(self, pair: Pair) -> bool:
        """Whether the head takes vectors of this stream. Raises: UsageError when there are more or fewer labels."""
        if self.head.channels != pair.layout.channels:
            return False
        if self.labels is not None and len(self.labels) != pair.layout.known_rows:
            raise UsageError(
                f"--labels: stream {pair.name!r}: expected a label for each of {pair.layout.known_rows} rows, "
                f"found {len(self.labels)}"
            )
        return True

    def probe(self, pair: Pair) -> Probe:
        """A fresh probe of a stream that the head fits."""
        return Probe(self.head, self.on, pair.tokens, self.labels)


def read_probing(options: CompareOptions, reporter: Reporter) -> Probing | None:
    """The files that the options name, read; None without a probe. Raises: UsageError, SourceError."""
    if options.probe is None:
        return None
    head = read_head(options.probe, reporter)
    labels = None if options.labels is None else read_labels(options.labels, head.classes)
    return Probing(head, options.probe_on, labels)


def read_head(path: str, reporter: Reporter) -> Head:
    """The head in a dump: its one float matrix is the weight (K, D), a vector of K beside it the bias.

    Of several vectors the one called as the weight, with `bias` for `weight` (head.weight, head.bias), is taken.
    Raises: UsageError for anything else, SourceError.
    """
    with opened_dump(path, EncodeOptions(), reporter) as dump:
        return _head(path, dump)


def _head(path: str, dump: Dump) -> Head:
    floats = [tensor for tensor in dump.tensors if tensor.spec.dtype in FLOATS]
    matrices = [tensor for tensor in floats if len(tensor.spec.shape) == 2 and not tensor.spec.ragged]
    if len(matrices) != 1:
        found = ", ".join(f"{tensor.spec.name} {list(tensor.spec.shape)}" for tensor in floats)
        raise UsageError(f"--probe: {path}: expected one weight matrix (K, D), found {found}")
    spec = matrices[0].spec
    weight = _values(matrices[0])
    if not weight.size:
        raise UsageError(f"--probe: {path}: expected a weight matrix (K, D), found {list(spec.shape)}")
    vectors = {one.spec.name: one for one in floats if one.spec.shape == (len(weight),)}
    if len(vectors) > 1:
        name = spec.name.removesuffix(_WEIGHT) + _BIAS
        if name not in vectors:
            raise UsageError(f"--probe: {path}: expected one bias, called {name}, found {', '.join(vectors)}")
        vectors = {name: vectors[name]}
    bias = _values(*vectors.values()) if vectors else np.zeros(len(weight))
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise UsageError(f"--probe: {path}: expected finite weights, found NaN or infinity")
    return Head(weight, bias)


def read_labels(path: str, classes: int) -> np.ndarray:
    """The classes of rows, (T,) int64, from an npy file of integers.

    Raises: UsageError for another shape or type, or for a label that is not one of `classes`; SourceError.
    """
    if path == "-" or detect_format(path) != "npy":
        raise UsageError(f"--labels: {path}: expected an npy file")
    source = locate(path, EncodeOptions.spool_max)
    try:
        contents = npy_contents(source)
        try:
            (candidate,) = contents.candidates
            if len(candidate.shape) != 1 or not candidate.dtype.startswith(("int", "uint")):
                raise UsageError(
                    f"--labels: {path}: expected one integer a row, found {list(candidate.shape)} {candidate.dtype}"
                )
            labels = candidate.open()(0, candidate.shape[0])
        finally:
            contents.close()
    finally:
        source.close()
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(f"--labels: {path}: row {row}: expected 0 to {classes - 1}, found {labels[row]}")
    return labels.astype(np.int64)


def _values(tensor: Tensor) -> np.ndarray:
    """All of a tensor, float64."""
    spec = tensor.spec
    return to_float32(tensor.read(0, spec.known_rows), spec.dtype).reshape(spec.shape).astype(np.float64)
