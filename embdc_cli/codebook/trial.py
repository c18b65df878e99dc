"""Size and error of one stream at any step, with or without a codebook, from the codec itself as encode uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from embdc_cli import dtypes
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import CHUNK_ROWS, CHUNK_VALUES, channels_of
from embdc_cli.codec.transform.codebook_klt import CodebookKlt
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.metrics import ChannelMoments, ErrorSums
from embdc_cli.options import EncodeOptions
from embdc_cli.values import Tensor


@dataclass(frozen=True, order=True)
class Point:
    """A stream at one step: its error, the bytes it takes, and whether the codebook's basis codes it."""

    nmse: float
    size: float
    by_codebook: bool = False


Curve = list[Point]
"""In rising order of nmse."""

EFFORT: Final = EncodeOptions().effort_level()
"""What encode does when nothing is asked for."""
MAX_SAMPLE_VALUES = 1 << 24
STEPS_PER_OCTAVE = 2
VECTOR_STEPS_PER_OCTAVE = 1
"""Of `--codec vq`, whose levels are learnt anew at every step."""
_FINEST, _COARSEST = -40, 20  # in steps around the rms
_CHUNK_BYTES = 96  # header and index entry


class StreamTrial:
    """Codes whole chunks of `tensor`, evenly spread and MAX_SAMPLE_VALUES at most, and scales their bytes to all."""

    def __init__(self, tensor: Tensor, codebook: Codebook | None, *, vector: bool = False) -> None:
        """vector: code with `--codec vq`."""
        spec, counts = tensor.spec, tensor.token_counts
        rows = spec.known_rows
        tokens = rows if counts is None else int(counts.sum())
        self.values = tokens * spec.row_values
        per_chunk = max(1, min(CHUNK_ROWS, CHUNK_VALUES * rows // max(1, self.values)))
        starts = range(0, rows, per_chunk)
        every = max(1, -(-self.values // MAX_SAMPLE_VALUES))
        cuts = [(start, min(start + per_chunk, rows)) for start in starts[::every]]
        self._spec = spec
        self._chunks = [tensor.read(*cut) for cut in cuts]
        self._counts = None if counts is None else [counts[start:stop] for start, stop in cuts]
        self._scale = self.values / max(1, sum(chunk.size for chunk in self._chunks))
        self._framing = _CHUNK_BYTES * len(starts)
        self._steps = VECTOR_STEPS_PER_OCTAVE if vector else STEPS_PER_OCTAVE
        options = FitOptions(effort=EFFORT, codebook=codebook, vector=vector)
        self._fit = Fit(spec, self._chunks, self._counts, options)
        self._moments = ChannelMoments(channels_of(spec))
        for chunk in self._chunks:
            self._moments.add(self._tokens(chunk))

    def curve(self, least: float, most: float) -> Curve:
        """Points from below `least` nmse to above `most`, or as far as steps go."""
        if self._fit.rms == 0:
            return [self.measure(1.0)]
        points = {0: self._at(0)}
        coarse = fine = 0
        while coarse < _COARSEST and points[coarse].nmse < most:
            coarse += 1
            points[coarse] = self._at(coarse)
        while fine > _FINEST and points[fine].nmse > least:
            fine -= 1
            points[fine] = self._at(fine)
        return sorted(points.values())

    def _at(self, index: int) -> Point:
        return self.measure(self._fit.rms * 2.0 ** (index / self._steps))

    def measure(self, step: float) -> Point:
        """The whole stream at quantiser step `step`."""
        models = self._fit.models(step)
        codec = TransformCodec(self._spec, models)
        sums = ErrorSums(channels_of(self._spec))
        payload = 0
        for number, chunk in enumerate(self._chunks):
            encoded = codec.encode(chunk, None if self._counts is None else self._counts[number])
            payload += len(encoded.payload)
            sums.add(self._tokens(chunk), self._tokens(encoded.decoded))
        size = len(models.to_bytes()) + payload * self._scale + self._framing
        return Point(sums.nmse(self._moments), size, uses_basis(models))

    def _tokens(self, rows: np.ndarray) -> np.ndarray:
        return dtypes.to_float32(rows, self._spec.dtype).reshape(-1, channels_of(self._spec))


def uses_basis(models: TransformModels) -> bool:
    """Whether some tokens are coded in the basis of a codebook."""
    return any(isinstance(stage, CodebookKlt) for group in models.groups for stage in group.chain)
