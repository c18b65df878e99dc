"""Kernels in Triton give the bits of torch, and write nowhere else: interpreted, and on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embdc_cli import dtypes
from embdc_cli.codec.device import codec, cuda, points, rows
from embdc_cli.codec.device.beside import Beside, Upload
from embdc_cli.codec.device.coders import narrowed
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.fit import FitOptions
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.entropy.coding_tables import fixed_tables
from tests.codec.codec_cases import rows_of, spec_of
from tests.codec.device.test_chains import decoded_on, fitted
from tests.codec.mixture.mixture_cases import drawn_mixture
from tests.entropy.device_cases import DEVICES

pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True)
def _kernels_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on the CPU, where they are interpreted."""
    for module in (points, rows):
        monkeypatch.setattr(module, "kernels_on", lambda _: cuda)


@pytest.mark.parametrize("largest", [0, 127, 32767, 1 << 30])
@pytest.mark.parametrize("trellis", [False, True])
@pytest.mark.parametrize("count", [0, 1, 1023, 1025, 3000])
def test_points(count: int, trellis: bool, largest: int, device: str) -> None:
    codes = np.random.default_rng(count).integers(-largest, largest + 1, count).astype(np.int32)
    codes[: min(9, count)] = (np.arange(9) - 4)[: min(9, count)] % (largest + 1)
    codes[-1:] = -largest
    mixture = drawn_mixture(3, (1,))
    stage = TrellisPoints(0.3, mixture, fixed_tables().paths) if trellis else DeadZone(0.3, (-5, 100, 64))
    inverse = points._by_table(stage, _shifts(stage), Upload(torch.device(device)))
    found = inverse.run(torch.from_numpy(narrowed(codes)).to(device), Beside())
    assert found.cpu().numpy().tobytes() == stage.inverse(codes, b"").tobytes()


def _shifts(stage: DeadZone | TrellisPoints) -> np.ndarray:
    if isinstance(stage, DeadZone):
        return np.array([0, *stage.offsets]) * points.OFFSET_UNIT
    return points.CENTROIDS.astype(np.float64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(0, 3, 2), (1, 1, 1), (3, 40, 30), (5, 2, 7), (2, 0, 3)])
@pytest.mark.parametrize("beside", [0, 2])
def test_values_are_rounded_and_limited(
    shape: tuple[int, int, int], beside: int, dtype: torch.dtype, device: str
) -> None:
    """Beside them lie other tokens, which stay what they are."""
    rng = np.random.default_rng(7)
    values = (rng.standard_normal(shape) * 10.0 ** rng.uniform(-9, 37.5, shape)).astype(np.float32)
    values.reshape(-1)[:2] = [np.inf, -np.inf][: values.size]
    if values.size > 9:  # halfway between two of float16, and of bfloat16: to the even one
        values.reshape(-1)[2:6] = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8]
    x = torch.from_numpy(values).to(device)
    limit = torch.finfo(dtype).max
    expected = torch.full((shape[0], shape[1] + 2 * beside, shape[2]), 5.0, dtype=dtype, device=device)
    out = expected.clone()
    within = slice(beside, beside + shape[1])
    expected[:, within].copy_(x).clamp_(-limit, limit)
    flag = cuda.store(x, out[:, within], limit)
    assert torch.equal(out, expected)
    assert not flag.isnan()


@pytest.mark.parametrize("place", [0, 1023, 1024, 2999])
def test_one_that_is_no_number_is_told(place: int, device: str) -> None:
    x = torch.ones((3, 10, 100), device=device)
    x.view(-1)[place] = float("nan")
    out = torch.empty_like(x, dtype=torch.float16)
    assert cuda.store(x, out, 65504.0).isnan()


@pytest.mark.parametrize("dtype", dtypes.FLOATS)
@pytest.mark.parametrize("special", [0, 1])
@pytest.mark.parametrize("effort", [0, 1])
def test_chunks(effort: int, special: int, dtype: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a chunk decodes to is what torch makes of it."""
    values = rows_of("moving", (9, 7, 6), dtype)
    coder = fitted(values, spec_of(values.shape, dtype, special_tokens=special), 0.2, FitOptions(effort=effort))
    coded = coder.encode(values)
    found = decoded_on(device, coder, coded, len(values))
    for module in (points, rows):
        monkeypatch.setattr(module, "kernels_on", lambda _: None)
    assert found.tobytes() == decoded_on(device, coder, coded, len(values)).tobytes()
    assert codec.write_rows is rows.write_rows
