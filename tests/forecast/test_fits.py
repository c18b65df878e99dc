"""Fits that rows share are made once, and every row is told what they take."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.encoding import plan
from embdc_cli.forecast.fits import SharedFits
from tests.synthetic import embeddings


def test_rows_of_one_effort_share_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    efforts: list[int] = []
    fit = plan.Fit

    def counted(spec: Any, rows: Any, counts: Any, options: Any) -> Any:
        if len(rows[0]) == 40:  # not those that only warm up
            efforts.append(options.effort)
        return fit(spec, rows, counts, options)

    monkeypatch.setattr(plan, "Fit", counted)
    x = embeddings(40)
    together = embdc.plan(x, rows=["small", "balanced", "cosine=0.9", "fast"])["rows"]
    assert efforts == [0, 1, 3]
    assert [row["name"] for row in together] == ["small", "balanced", "cosine=0.9", "fast"]
    for row in together:
        (alone,) = embdc.plan(x, rows=[row["name"]])["rows"]
        assert {**alone, "encode_s": 0, "decode_s": 0} == {**row, "encode_s": 0, "decode_s": 0}


def test_every_row_is_told_what_its_fits_take() -> None:
    fits = SharedFits(1 << 20)
    for _ in range(2):
        fits.begin_row()
        for _ in range(3):
            fits.get("fit", lambda: time.sleep(0.05) or np.zeros(1), lambda _: 1)
        assert 0.05 <= fits.seconds < 0.1
    assert fits.spent < 0.05
