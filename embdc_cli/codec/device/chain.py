"""The chain of a token group on a device: codes to float32 tokens, by the inverses of its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise

import torch

from embdc_cli.codec.chain import Chain, Parted
from embdc_cli.codec.device import context_coder, mixture, network, plane_coders, points, products, scales, vectors
from embdc_cli.codec.device.beside import Beside, Inverse, Taken, Upload
from embdc_cli.codec.device.coders import Codes, Decoded, codes_from_cpu
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.reconstruction.stage import Reconstruction
from embdc_cli.codec.stage import Coder, Shape, Stage
from embdc_cli.codec.transform.basis import Basis
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.identity import Identity
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.sticky import Sticky
from embdc_cli.codec.transform.time_context import TimeContext
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.video.hadamard import Hadamard
from embdc_cli.codec.video.samples import VideoSamples
from embdc_cli.codec.vq.quantiser import VectorQuantiser


@singledispatch
def inverse_of(stage: Stage, upload: Upload) -> Inverse:
    """The stage backwards, its parameters uploaded. Raises TypeError for one that only the CPU has."""
    raise TypeError(f"stage {stage.stage.name.lower()} has no inverse on a device")


inverse_of.register(TokenScale, scales.token_scale)
inverse_of.register(Normalise, scales.normalise)
inverse_of.register(Reconstruction, network.reconstruction)
inverse_of.register(Identity, products.identity)
inverse_of.register(Basis, products.basis)
inverse_of.register(Hadamard, products.hadamard)
inverse_of.register(TimeDct, products.time_dct)
inverse_of.register(Mixture, mixture.mixture)
inverse_of.register(DeadZone, points.dead_zone)
inverse_of.register(TrellisPoints, points.trellis_points)
inverse_of.register(Sticky, points.sticky)
inverse_of.register(VideoSamples, points.video_samples)
inverse_of.register(VectorQuantiser, vectors.vector_quantiser)


@singledispatch
def codes_of(coder: Coder, upload: Upload) -> Codes:
    """The coder backwards, on the CPU unless it is registered."""
    return codes_from_cpu(coder, upload)


codes_of.register(TimeContext, context_coder.time_context)
codes_of.register(Planes, plane_coders.planes)
codes_of.register(TrackPlanes, plane_coders.track_planes)
codes_of.register(TrackPaths, plane_coders.track_paths)


@dataclass(frozen=True)
class TakenChain:
    """What the CPU read of a chunk for one chain: for its coder, and for each of its inverses, last stage first."""

    codes: Taken
    inverses: tuple[Taken, ...]

    @property
    def all(self) -> tuple[Taken, ...]:
        return self.codes, *self.inverses


class DeviceChain:
    """A chain, its parameters on a device."""

    def __init__(self, chain: Chain, upload: Upload) -> None:
        self._codes = codes_of(chain.coder, upload)
        self._inverses = list(_inverses(chain, upload))

    @property
    def together(self) -> bool:
        """Whether codes are decoded on the device, of many chunks at once."""
        return self._codes.together

    @property
    def takes(self) -> list[tuple[int, Callable[[bytes, Shape], Taken]]]:
        """(number of a stage, what is taken of a chunk for its inverse), last stage first."""
        return [(number, inverse.take) for number, inverse in self._inverses]

    def take(self, parted: Parted, crc: int | None) -> tuple[TakenChain, int | None]:
        """What goes to the device of a chunk, and the CRC-32 as of `coders.Codes`. Raises CorruptArchive."""
        codes, crc = self._codes.take(parted.codes, parted.shapes[-1], parted.known[-1], crc)
        taken = [one.take(parted.known[number], parted.shapes[number]) for number, one in self._inverses]
        return TakenChain(codes, tuple(taken)), crc

    def codes(self, chunks: Sequence[Beside], staging: Staging) -> Decoded:
        """The codes of many chunks."""
        return self._codes.run(chunks, staging)

    def tokens(self, codes: torch.Tensor, beside: Sequence[Beside]) -> torch.Tensor:
        """(F, N, D) float32 of the codes of a chunk."""
        y = codes
        for (_, inverse), one in zip(self._inverses, beside, strict=True):
            y = inverse.run(y, one)
        return y


def _inverses(chain: Chain, upload: Upload) -> list[tuple[int, Inverse]]:
    """(number of the stage, its inverse), last stage first; means and scales right before a basis are one with it."""
    found = []
    stages = list(enumerate(chain.links))
    merged = {
        number
        for (number, stage), (_, after) in pairwise(stages)
        if isinstance(stage, Normalise) and isinstance(after, Basis)
    }
    for number, stage in reversed(stages):
        before = chain.links[number - 1] if number - 1 in merged else None
        if isinstance(before, Normalise) and isinstance(stage, Basis):
            found.append((number, products.centred_basis(stage, before, upload)))
        elif number not in merged:
            found.append((number, inverse_of(stage, upload)))
    return found
