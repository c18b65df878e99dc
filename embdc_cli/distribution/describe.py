"""All measures of one tensor, and of all tensors of an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from embdc_cli.distribution import forecast, picture
from embdc_cli.distribution.amplitudes import amplitudes, histogram
from embdc_cli.distribution.compaction import dct_variances, klt_variances, own_klt_variances, time_variances
from embdc_cli.distribution.correlation import correlation
from embdc_cli.distribution.natural import natural
from embdc_cli.distribution.planes import planes
from embdc_cli.distribution.sample import draw, tokens_of
from embdc_cli.distribution.verdict import verdict
from embdc_cli.dtypes import FLOATS
from embdc_cli.parallel import one_blas_thread
from embdc_cli.reporter import Reporter
from embdc_cli.values import Tensor

Show = Callable[[str, bytes], None]
"""Takes the name of a tensor, as it can be that of a file, and a PNG of it."""


def describe_all(
    tensors: Mapping[str, Tensor], exact: frozenset[str], reporter: Reporter, show: Show | None
) -> dict[str, Any]:
    """{distribution, skipped}: floats measured; times, counts and ids named. exact: names of tensors of times."""
    measured = [name for name, one in tensors.items() if one.spec.dtype in FLOATS and name not in exact]
    found = []
    with one_blas_thread():
        for name in measured:
            found.append(describe(name, tensors[name], show))
            reporter.progress("measure", len(found), len(measured), "tensors")
    others = [{"name": name, "dtype": one.spec.dtype} for name, one in tensors.items() if name not in measured]
    return {"distribution": found, "skipped": others}


def describe(name: str, tensor: Tensor, show: Show | None) -> dict[str, Any]:
    """The document of one tensor of floats; None for what it is too small for, or does not vary enough."""
    sample = draw(tensor)
    found, seen = amplitudes(sample), planes(sample)
    dct = None if seen is None else dct_variances(seen.frames)
    klt = klt_variances(sample)
    time = time_variances(sample)
    # a basis that is paid for may be learnt from all that it is used for
    tokens = tokens_of(tensor)
    own = own_klt_variances(sample) if tokens == sample.tokens else klt
    foretold = {
        "channels": forecast.bits(sample.variances),
        "klt": None if klt is None else forecast.bits(klt),
        "klt_paid": None if own is None else forecast.bits_with_basis(own, tokens),
    }
    gains = {
        "dct": None if dct is None else forecast.gain_db(forecast.bits(dct)),
        "time": None if time is None else forecast.gain_db(forecast.bits(time)),
        "klt": forecast.gain_db(foretold["klt"]),
        "klt_paid": forecast.gain_db(foretold["klt_paid"]),
    }
    if show is not None and seen is not None:
        counts = histogram(sample, found["least"], found["greatest"])
        show(quote(name, safe=" "), picture.png(picture.picture(seen.frames[0], counts, dct, klt)))
    return {
        "name": name,
        "shape": list(tensor.spec.shape),
        "dtype": tensor.spec.dtype,
        "sampled": sample.values.size,
        "nonfinite": sample.nonfinite,
        **found,
        "correlation": correlation(sample),
        "tiling": None if seen is None else seen.tiling,
        "gain_db": gains,
        "natural": natural(None if seen is None else seen.frames, dct),
        "forecast": {"nmse": forecast.NMSE, **foretold},
        "verdict": verdict(gains, found["massive"], varies=bool(sample.variances.sum() > 0)),
    }
