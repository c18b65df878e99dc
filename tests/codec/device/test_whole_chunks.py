"""Chunks of which kernels make all they can, as where there is a GPU: interpreted on the CPU, for small chunks.

What compares chunks here is what compares them in `test_chains`, which a GPU runs with kernels too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from embdc_cli.archive import Archive
from embdc_cli.codec.device import context_coder, plane_coders, points, rows
from embdc_cli.codec.device import cuda as device_kernels
from embdc_cli.codec.transform.fit import FitOptions
from embdc_cli.codec.transform.time_context import cuda as context_kernels
from embdc_cli.container import spec
from embdc_cli.entropy.levels import cuda as level_kernels
from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.errors import CorruptArchive
from tests.codec.codec_cases import rows_of, spec_of
from tests.codec.device.device_cases import assert_agree, groups_of
from tests.codec.device.test_chains import close, compare_vector, decoded_on, fitted
from tests.conformance.making import encoded, moving, transform_edited
from tests.entropy.device_cases import ON_CPU

pytestmark = pytest.mark.parametrize("device", [ON_CPU])


@pytest.fixture(autouse=True)
def _all_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (points, rows):
        monkeypatch.setattr(module, "kernels_on", lambda _: device_kernels)
    monkeypatch.setattr(plane_coders, "kernels_on", lambda _: level_kernels)
    monkeypatch.setattr(context_coder, "kernels_on", lambda _: context_kernels)
    for module in (plane_coders, device_kernels):
        monkeypatch.setattr(module, "TILE", 64)
    monkeypatch.setattr("embdc_cli.entropy.rans.choose_lanes", lambda cost: 32)
    monkeypatch.setattr(rans, "_TOGETHER", 64)
    monkeypatch.setattr(level_kernels, "BLOCK", 512)
    monkeypatch.setattr(level_kernels, "_CODES", 16)


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_efforts(effort: int, device: str) -> None:
    x = rows_of("moving", (3, 4, 3))
    codec = fitted(x, spec_of(x.shape), 0.5, FitOptions(effort=effort))
    coded = codec.encode(x)
    assert_agree(groups_of(codec, device, coded.payload, len(x)))
    close(decoded_on(device, codec, coded, len(x)), coded.decoded, "float32")


def test_a_wrong_checksum_of_integers_is_not_found(device: str, tmp_path: Path) -> None:
    """As `device_decoding` says; the codes are those of the CPU all the same."""
    source = encoded(moving(8, 6, 8), target_nmse=0.05, effort=0)
    edit = transform_edited(spec.DATA, lambda content: content[:20] + b"\1\2\3\4" + content[24:], source)
    path = tmp_path / "wrong.embdc"
    path.write_bytes(edit(tmp_path))
    archive = Archive(str(path))
    with archive, pytest.raises(CorruptArchive, match="decoded integers have checksum"):
        archive["data"].numpy(range(8))
    compare_vector(path, device)
