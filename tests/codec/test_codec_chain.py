"""Chains: only orders that the types allow can be built; what goes in comes out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from embdc_cli.codec.chain import Chain
from embdc_cli.codec.lossless.bit_pattern import BitPattern
from embdc_cli.codec.lossless.byte_planes import BytePlanes
from embdc_cli.codec.lossless.channel_major import ChannelMajor
from embdc_cli.codec.lossless.stored import Stored
from embdc_cli.codec.stage import ArrayStage, Coder, CodeStage, Quantiser, Stage
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale

ARRAY, QUANTISER, CODES, CODER = TimeDct(8), BitPattern("float32"), ChannelMajor(), Stored("<u4")
KINDS = {ARRAY: "a", QUANTISER: "q", CODES: "c", CODER: "b"}


def allowed(stages: tuple[Stage, ...]) -> bool:
    """array stages, one quantiser, code stages, one coder."""
    word = "".join(KINDS[stage] for stage in stages)
    stripped = word.lstrip("a")
    return stripped.startswith("q") and stripped[1:].lstrip("c") == "b"


@pytest.mark.parametrize("length", range(5))
def test_only_well_typed_orders_can_be_built(length: int) -> None:
    for stages in itertools.product(KINDS, repeat=length):
        if allowed(stages):
            assert Chain(stages).stages == stages
        else:
            with pytest.raises(ValueError, match="chain:"):
                Chain(stages)


def test_the_error_names_both_stages() -> None:
    with pytest.raises(ValueError, match="stored takes codes, but time_dct before it gives array"):
        Chain([ARRAY, CODER])


def test_every_kind_of_stage_is_typed() -> None:
    kinds = [(stage.takes, stage.gives) for stage in (ArrayStage, Quantiser, CodeStage, Coder)]
    assert len(set(kinds)) == 4


def test_exact_chain_gives_back_its_input() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    chain = Chain([BitPattern("float32"), ChannelMajor(), BytePlanes(4), Stored("u1")])
    coded = chain.unpack(chain.pack(chain.encode(x)), x.shape)
    assert chain.reconstruct(coded).tobytes() == x.tobytes()


def test_side_information_travels_with_the_bytes() -> None:
    x = np.random.default_rng(1).normal(size=(4, 3, 8)).astype(np.float32) * np.array([1, 100, 0.01])[:, None]
    chain = Chain([TokenScale(), DeadZone(0.1, (0, 0, 0)), Stored("<i4")])
    coded = chain.encode(x.astype(np.float32))
    again = chain.unpack(chain.pack(coded), x.shape)
    assert again.sides == coded.sides
    assert again.sides[0]
    np.testing.assert_array_equal(again.codes, coded.codes)
    scale = x.std(axis=-1, keepdims=True)
    assert np.abs(chain.reconstruct(again) - x).max() <= (0.1 * 0.65 * scale * 2**0.125).max()
