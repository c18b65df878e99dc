"""The rule as it is documented."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.distribution.verdict import verdict
from tests.distribution.sources import described, noise, walk


@pytest.mark.parametrize(
    ("gains", "kind"),
    [
        ((0.99, 0.9, 0.5), "noise"),
        ((1.0, 0.9, 0.5), "pictures"),
        ((3.0, 4.0, 2.0), "time"),
        ((3.0, 4.0, 5.0), "channels"),
        ((None, None, 5.0), "channels"),
        ((None, None, 0.0), "noise"),
        ((None, None, None), "unknown"),
    ],
)
def test_kind(gains: tuple[float | None, ...], kind: str) -> None:
    named = dict(zip(("dct", "time", "klt_paid"), gains, strict=True))
    assert verdict(named | {"klt": 9.0}, 0.1, varies=True)["kind"] == kind


def test_words() -> None:
    found = verdict({"dct": 1.2, "time": 4.0, "klt_paid": 2.5}, 0.93, varies=True)["words"]
    assert "; then channels 2.5 dB, neighbours 1.2 dB; 93 % of the energy" in found
    assert ";" not in verdict({"dct": 4.0, "time": 0.1, "klt_paid": 0.5}, 0.5, varies=True)["words"]
    nothing = dict.fromkeys(("dct", "time", "klt_paid"))
    assert verdict(nothing, None, varies=False)["kind"] == "constant"


def test_known_sources() -> None:
    white = noise(64, 144, 16)
    assert described(white)["verdict"]["kind"] == "noise"
    assert described(walk(white, 0.95, 0))["verdict"]["kind"] == "time"
    smooth = walk(walk(noise(64, 24, 24, 16), 0.95, 1), 0.95, 2)
    assert described(smooth)["verdict"]["kind"] == "pictures"
    mixed = (noise(64 * 144, 16) * 2.0 ** -np.arange(16)) @ noise(16, 16, seed=1)
    assert described(mixed.reshape(64, 144, 16))["verdict"]["kind"] == "channels"
