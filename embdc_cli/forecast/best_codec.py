"""`--codec auto`: the codecs tried on a sample, and the one that needs the fewest bytes for the target.

Of a size target, where all are equally large, the one with the least error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from embdc_cli.encoding.planning import RECENT_BYTES
from embdc_cli.errors import TargetMissed
from embdc_cli.forecast.fits import SharedFits
from embdc_cli.forecast.prediction import predict
from embdc_cli.forecast.sampling import draw
from embdc_cli.options import SIZE_TARGETS, EncodeOptions
from embdc_cli.reporter import Reporter
from embdc_cli.values import Dump

CANDIDATES: Final = ("transform", "vq", "hevc", "av1")
SAMPLE_BYTES: Final = 4 << 20
_SHOWN: Final = ("codec", "file_bytes", "bits_per_value", "nmse", "cosine", "encode_s", "decode_s")


def best_codec(
    dump: Dump, at_opening: dict[str, Any], options: EncodeOptions, reporter: Reporter
) -> tuple[str, list[dict[str, Any]]]:
    """(the codec to take, what each that meets the target would give of all of `dump`).

    Raises: what encode would; TargetMissed when none of them meets it.
    """
    sample = draw(dump, options.chunk_frames, SAMPLE_BYTES, 0)
    tried: list[dict[str, Any]] = []
    missed: TargetMissed | None = None
    for number, codec in enumerate(CANDIDATES):
        fits = SharedFits(RECENT_BYTES)
        try:
            found = predict(sample, at_opening, replace(options, codec=codec), fits, None, reporter)
        except TargetMissed as error:
            missed = error
        else:
            tried.append({key: found[key] for key in _SHOWN})
        reporter.progress("codec", number + 1, len(CANDIDATES), "codecs")
    if not tried and missed is not None:
        raise missed
    measure = "nmse" if options.target().kind in SIZE_TARGETS else "file_bytes"
    return str(min(tried, key=lambda one: one[measure])["codec"]), tried
