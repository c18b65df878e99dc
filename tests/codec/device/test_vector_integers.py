"""Kernels give the integers of every test vector that the CPU gives: interpreted, and on a GPU where there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.archive import Archive
from embdc_cli.codec.device import context_coder, plane_coders
from embdc_cli.codec.device import cuda as device_kernels
from embdc_cli.codec.device.beside import Upload
from embdc_cli.codec.device.chain import DeviceChain
from embdc_cli.codec.device.codec import OnDevice, copied
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_context import TimeContext
from embdc_cli.codec.transform.time_context import cuda as context_kernels
from embdc_cli.container.contents import Entry, Stream
from embdc_cli.entropy.levels import cuda as level_kernels
from embdc_cli.errors import EmbdcError
from tests.entropy.device_cases import DEVICES, INTERPRETED

VECTORS = sorted((Path(__file__).parents[2] / "conformance" / "vectors").glob("*.embdc"))
MOST_VALUES = 150
"""That are interpreted in seconds. For what the others hold stand `test_plane_coders` and the tests of kernels."""
CODERS = (Planes, TrackPlanes, TrackPaths, TimeContext)


def vectors() -> Iterator[Any]:
    for path in VECTORS:
        inspected = json.loads(path.with_suffix(".json").read_text("utf-8"))["inspect"]
        if inspected is not None:
            slow = inspected["values"] > MOST_VALUES
            yield pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(autouse=True)
def _on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on the CPU, where kernels are interpreted."""
    monkeypatch.setattr(plane_coders, "kernels_on", lambda _: level_kernels)
    monkeypatch.setattr(context_coder, "kernels_on", lambda _: context_kernels)
    if INTERPRETED:  # which takes long for a program, however much there is in it
        for module in (plane_coders, device_kernels):
            monkeypatch.setattr(module, "TILE", 64)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("path", list(vectors()))
def test_integers_of_a_vector(path: Path, device: str) -> None:
    beside = path.with_suffix(".embdcb")
    with embdc.open(path, codebooks=[beside] if beside.exists() else []) as archive:
        for name in archive:
            stream = archive[name].stream
            segments: dict[int, list[tuple[Entry, bytes]]] = {}
            for full, payload in good_chunks(archive, stream):
                segments.setdefault(full.record.segment, []).append((full, payload))
            for segment, chunks in segments.items():
                codec = archive.codec(stream, segment, TransformCodec.kind)
                assert isinstance(codec, TransformCodec)
                compare(codec, chunks, torch.device(device))


def good_chunks(archive: Archive, stream: Stream) -> list[tuple[Entry, bytes]]:
    """The chunks of codec transform that the CPU decodes."""
    found = []
    for entry in stream.entries:
        if entry.record.kind == TransformCodec.kind:
            try:
                ((full, payload),) = archive.reader.fetch([entry])
                archive.decode(stream, full, payload)
            except EmbdcError:
                continue
            found.append((full, payload))
    return found


def compare(codec: TransformCodec, chunks: list[tuple[Entry, bytes]], device: torch.device) -> None:
    """All chunks at once against one after the other."""
    there, staging = OnDevice(codec, device), Staging(device)
    given = [(payload, full.record.rows, full.record.token_counts) for full, payload in chunks]
    taken = [copied(there.take(*one), staging) for one in given]
    expected = [codec.codes(*one)[0] for one in given]
    for number, models in enumerate(codec.models.groups):
        chain = DeviceChain(models.chain, Upload(device))
        assert chain.together == isinstance(models.chain.coder, CODERS)
        found = chain.codes([one.groups[number][0] for one in taken], staging)
        assert found.faults is None or not found.faults.isnan().any()
        for codes, own in zip(found.codes, expected, strict=True):
            np.testing.assert_array_equal(codes.cpu().numpy(), own[number].codes)
