"""Real embeddings, where they are at hand: sizes that the measured design promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zstandard

from embdc_cli.codec.lossless.codec import LosslessCodec
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit
from tests.codec.codec_cases import nmse, spec_of


def dump(shared_data: Path, name: str) -> np.ndarray:
    return np.load(shared_data / "data" / "embeddings" / f"{name}.npy")


@pytest.mark.parametrize(
    "name",
    ["cars__mobilenetv2__map", "cars__mobilenetv2__pooled", "juggle__vit-tiny__final", "images__vit-tiny__logits"],
)
def test_lossless_is_exact_and_below_zstd_of_the_whole_file(shared_data: Path, name: str) -> None:
    rows = dump(shared_data, name)
    codec = LosslessCodec(spec_of(rows.shape, str(rows.dtype)))
    total = 0
    for start in range(0, len(rows), 64):
        chunk = rows[start : start + 64]
        encoded = codec.encode(chunk)
        assert codec.decode(encoded.payload, len(chunk))[0].tobytes() == chunk.tobytes()
        total += len(encoded.payload)
    assert total < 0.95 * len(zstandard.ZstdCompressor(level=9).compress(rows.tobytes()))


@pytest.mark.parametrize(
    ("name", "step", "bits", "error"),
    [
        ("juggle__vit-tiny__final", 0.9, 0.5, 0.047),
        ("cars__mobilenetv2__map", 1.0, 0.33, 0.02),
        ("cars__vit-tiny__penultimate", 0.5, 0.35, 0.012),
    ],
)
def test_rate_and_error_of_the_transform(shared_data: Path, name: str, step: float, bits: float, error: float) -> None:
    rows = dump(shared_data, name)
    spec = spec_of(rows.shape, str(rows.dtype))
    fit = Fit(spec, [rows])
    models = fit.models(fit.rms * step)
    encoded = TransformCodec(spec, models).encode(rows)
    assert (len(encoded.payload) + len(models.to_bytes())) * 8 / rows.size < bits
    assert nmse(rows, encoded.decoded, spec.dtype) < error
