"""One look at a stream before anything is coded: its statistics, its digest, its first bad value."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from embdc_cli.encoding.scenes import scene_starts, signatures
from embdc_cli.errors import SourceError
from embdc_cli.metrics import ChannelMoments
from embdc_cli.tokens import Cut, as_tokens
from embdc_cli.values import StreamSpec, Tensor

_SCENE_VALUES: Final = 4096  # smaller rows are vectors, and their signatures would outgrow the memory that is promised
_SPARSE: Final = 0.25  # share of zeros from which on zeros are nothing special


@dataclass
class Survey:
    """What one reading of a stream tells: channel moments (None for companions) and a digest of all its values.

    scenes: rows that begin a scene. padding: whether there are tokens of nothing but zeros among others that are not
    mostly zeros themselves, as those of rectified maps are.
    """

    moments: ChannelMoments | None
    digest: str
    scenes: list[int] = field(default_factory=list)
    padding: bool = False


def survey(tensor: Tensor, cuts: Sequence[Cut], *, nonfinite: str, lossy: bool) -> Survey:
    """Read the stream once. nonfinite: "refuse" or "keep" (then such values count as the channel's mean so far).

    Raises: SourceError naming the first NaN or infinity when they are refused.
    """
    spec = tensor.spec
    digest = hashlib.sha256()
    moments = ChannelMoments(spec.channels) if lossy else None
    found: list[np.ndarray] = []
    empty_tokens = zeros = 0
    for start, stop in cuts:
        rows = tensor.read(start, stop)
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        if moments is None or not rows.size:
            continue
        tokens = as_tokens(rows, spec)
        bad = ~np.isfinite(tokens)
        if bad.any():
            if nonfinite != "keep":
                raise _nonfinite_error(spec, tokens, bad, start)
            tokens = np.where(bad, moments.mean.astype(np.float32), tokens)
        moments.add(tokens)
        empty_tokens += int(np.count_nonzero(~tokens.any(axis=1)))
        zeros += tokens.size - int(np.count_nonzero(tokens))
        if spec.timed and not spec.ragged and spec.row_values >= _SCENE_VALUES:
            found.append(signatures(tokens.reshape(stop - start, -1, spec.channels)))
    scenes = scene_starts(np.concatenate(found)) if found else []
    full = 0 if moments is None else (moments.count - empty_tokens) * spec.channels
    dense = zeros - empty_tokens * spec.channels < _SPARSE * full
    return Survey(moments, digest.hexdigest(), scenes, padding=empty_tokens > 0 and spec.channels > 1 and dense)


def _nonfinite_error(spec: StreamSpec, tokens: np.ndarray, bad: np.ndarray, row0: int) -> SourceError:
    flat = int(np.argmax(bad))
    value = tokens.reshape(-1)[flat]
    if spec.ragged:
        position = f"value {flat} of the rows from {row0}"
    else:
        rows = tokens.size // max(1, spec.row_values)
        row, *inside = (int(i) for i in np.unravel_index(flat, (rows, *spec.row_shape)))
        position = str([row0 + row, *inside] if spec.timed else inside)
    name = "NaN" if np.isnan(value) else "infinity"
    return SourceError(
        f"stream {spec.name!r}: {name} at {position}, expected finite values",
        hint="--nonfinite keep stores such positions exactly; --lossless keeps every bit",
    )
