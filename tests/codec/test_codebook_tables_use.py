"""A codebook's tables are used with its basis, or alone where a segment is long enough to pay for naming them."""

from __future__ import annotations

import numpy as np
import pytest

from embdc_cli.codec.table import StageId
from embdc_cli.codec.transform.fit import _TABLES_PAY_FROM_BITS, Fit, FitOptions
from embdc_cli.entropy.coding_tables import CodingTables, fixed_tables
from tests.codec.codec_cases import spec_of
from tests.codec.test_codec_codebook import CorpusBasis

CHANNELS = 24
TRAINED = CodingTables(fixed_tables().planes, fixed_tables().planes, fixed_tables().paths)


@pytest.mark.parametrize(("rows", "step", "used"), [(8, 1.0, False), (60, 0.01, True)])
def test_tables_alone_are_named_from_a_length_on(rows: int, step: float, used: bool) -> None:
    rng = np.random.default_rng(1)
    corpus = rng.standard_normal((500, 4)) @ rng.standard_normal((4, CHANNELS))
    few = CorpusBasis(tokens=corpus, tables=TRAINED, kept=1)  # one vector of a corpus that is not like the input
    x = rng.standard_normal((rows, 40, CHANNELS)).astype(np.float32)
    fit = Fit(spec_of(x.shape), [x], None, FitOptions(codebook=few))
    models = fit.models(step * fit.rms)
    assert (fit.foretell(step * fit.rms).bits > _TABLES_PAY_FROM_BITS) == used
    assert StageId.CODEBOOK_KLT not in [stage.stage for stage in models.groups[0].chain]
    assert models.codebook_tables == used
    assert (models.codebook is few) == used
