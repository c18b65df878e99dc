"""Mixtures through the whole transform codec: both sides agree to the bit, and errors are what the step allows."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli import dtypes
from embdc_cli.codec.chain import Chain
from embdc_cli.codec.stage import Stage
from embdc_cli.codec.table import ChunkKind, Codebook, codec_for
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.dead_zone import DeadZone
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.mixture.rate_rounding import RateRounding
from embdc_cli.codec.transform.mixture.stage import Mixture
from embdc_cli.codec.transform.mixture.track_paths import TrackPaths
from embdc_cli.codec.transform.mixture.track_planes import TrackPlanes
from embdc_cli.codec.transform.mixture.trellis_points import TrellisPoints
from embdc_cli.codec.transform.models import GroupModels, TransformModels
from embdc_cli.codec.transform.normalise import Normalise
from embdc_cli.codec.transform.planes import Planes
from embdc_cli.codec.transform.time_dct import TimeDct
from embdc_cli.codec.transform.token_scale import TokenScale
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.entropy.tables import static_tables
from embdc_cli.errors import CorruptArchive, EmbdcError, MissingModel
from embdc_cli.values import StreamSpec
from tests.codec.codec_cases import LIMITS, nmse, rows_of, spec_of
from tests.codec.mixture.mixture_cases import bit_flips, drawn_mixture, populations

CHUNK = 64


def no_codebook(digest: bytes) -> Codebook:
    raise MissingModel(f"codebook {digest.hex()}: not here")


def scene(shape: tuple[int, int, int], kinds: int = 3, motion: float = 0.05, seed: int = 0) -> np.ndarray:
    return populations(shape, kinds, motion=motion, seed=seed)[0]


@dataclass(frozen=True, eq=False)
class Case:
    """A stream that is coded as a mixture. counts: tokens of its rows, when ragged."""

    rows: np.ndarray
    spec: StreamSpec
    options: FitOptions = field(default_factory=FitOptions)
    counts: np.ndarray | None = None
    groups: int = 1


def plain(rows: np.ndarray, dtype: str = "float32", **options: object) -> Case:
    special = int(options.pop("special_tokens", 0))
    stored = dtypes.from_float32(rows, dtype)
    return Case(
        stored, spec_of(rows.shape, dtype, special_tokens=special), FitOptions(**options), None, 1 + (special > 0)
    )


def with_nonfinite() -> np.ndarray:
    rows = scene((64, 20, 6))
    rows[3, 4:9, 2], rows[63, 0], rows[10:20, 11] = np.nan, np.inf, -np.inf
    return rows


def with_constants() -> np.ndarray:
    rows = scene((64, 20, 6))
    rows[..., 1], rows[..., 4] = -0.0, 3.14159
    return rows


def with_special_token() -> np.ndarray:
    rows = scene((64, 21, 6))
    rows[:, 0] = 100 + rows[:, 5] + rows_of("moving", (64, 6))
    return rows


RAGGED = np.random.default_rng(0).integers(0, 20, 64)
CASES = {
    "plain": plain(scene((64, 20, 6))),
    "short last chunk": plain(scene((131, 12, 5))),
    "float16": plain(scene((64, 20, 6)), "float16"),
    "bfloat16": plain(scene((64, 20, 6)), "bfloat16"),
    "one token": plain(np.repeat(scene((1, 40, 6)).reshape(40, 1, 6), 8, axis=0)),
    "one row": plain(scene((1, 400, 6))),
    "two rows": plain(scene((2, 300, 6))),
    "three rows": plain(scene((3, 200, 6))),
    "one channel": plain(scene((64, 20, 1))),
    "two channels": plain(scene((64, 20, 2))),
    "three channels": plain(scene((64, 20, 3))),
    "wide": plain(scene((4, 200, 260))),
    "channel weighting": plain(scene((64, 20, 6)) * [1, 1, 50, 1, 0.1, 1], weighting=Weighting("channel")),
    "token weighting": plain(scene((64, 20, 6)) * np.exp2(np.arange(20) - 9.0)[:, None], weighting=Weighting("token")),
    "vector weighting": plain(scene((64, 20, 6)), weighting=Weighting("matrix", np.array([1, 2, 3, 1, 0.5, 0.1]))),
    "special token": plain(with_special_token(), special_tokens=1),
    "constants": plain(with_constants()),
    "kept infinities": plain(with_nonfinite(), nonfinite_keep=True),
    "all modes": plain(scene((64, 60, 5), 20, 0.02), effort=2),
    "trellis": plain(scene((64, 20, 6)), effort=3),
    "trellis, short last chunk": plain(scene((70, 12, 5)), effort=3),
    "trellis, kept infinities": plain(with_nonfinite(), effort=3, nonfinite_keep=True),
    "ragged": Case(
        scene((1, int(RAGGED.sum()), 6))[0],
        StreamSpec("data", "float32", "t,n,c", (6,), len(RAGGED), ragged=True),
        counts=RAGGED,
    ),
}  # fmt: skip


@functools.cache
def fit_of(case: Case) -> Fit:
    """Modes are learnt once for all steps, as an encoder does that looks for its target."""
    counts = None if case.counts is None else [case.counts]
    return Fit(case.spec, chunks_of(case), counts, case.options)


def models_of(case: Case, relative_step: float) -> TransformModels:
    fit = fit_of(case)
    return fit.models(fit.rms * relative_step)


def chunks_of(case: Case) -> list[np.ndarray]:
    if case.counts is not None:
        return [case.rows]
    return [case.rows[start : start + CHUNK] for start in range(0, len(case.rows), CHUNK)]


def coded(case: Case, models: TransformModels, chunks: Sequence[np.ndarray] | None = None) -> tuple[np.ndarray, int]:
    """(decoded rows, bytes of models and chunks), both sides being of one mind about every chunk."""
    payload = models.to_bytes()
    again = TransformModels.from_bytes(payload, case.spec, LIMITS, no_codebook, case.options.weighting)
    assert again.to_bytes() == payload
    encoder, resumed = TransformCodec(case.spec, models), TransformCodec(case.spec, again)
    decoder = codec_for(ChunkKind.TRANSFORM, case.spec, payload, LIMITS, no_codebook)
    out, total = [], len(payload)
    for chunk in chunks_of(case) if chunks is None else chunks:
        encoded = encoder.encode(chunk, case.counts)
        assert resumed.encode(chunk, case.counts).payload == encoded.payload
        values, crc = decoder.decode(encoded.payload, len(chunk), case.counts)
        assert values.tobytes() == encoded.decoded.tobytes()
        assert (values.shape, values.dtype) == (chunk.shape, chunk.dtype)
        assert crc == encoded.symbol_crc
        total += len(encoded.payload)
        out.append(values)
    return np.concatenate(out), total


def mixtures(models: TransformModels) -> list[Mixture]:
    return [stage for group in models.groups for stage in group.chain if isinstance(stage, Mixture)]


def ranks(mixture: Mixture) -> int:
    return sum(mode.rank for mode in mixture.modes)


def mixture_of(chain: Chain) -> Mixture:
    (found,) = (stage for stage in chain if isinstance(stage, Mixture))
    return found


@pytest.mark.parametrize("name", CASES)
def test_both_sides_agree_and_the_error_falls_with_the_step(name: str) -> None:
    case = CASES[name]
    finite = np.isfinite(dtypes.to_float32(case.rows, case.spec.dtype))
    errors, used = [], []
    for step in (0.5, 0.1, 0.01):
        models = models_of(case, step)
        assert len(models.groups) == case.groups
        used.append(len(mixtures(models)))
        decoded, _ = coded(case, models)
        x, y = (dtypes.to_float32(rows, case.spec.dtype)[finite] for rows in (case.rows, decoded))
        assert np.isfinite(y).all()
        errors.append(float(((x.astype(np.float64) - y) ** 2).sum()))
        assert decoded[~finite].tobytes() == case.rows[~finite].tobytes()
    assert max(used) > 0
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize("name", CASES)
def test_coefficients_are_off_by_no_more_than_the_quantiser_says(name: str) -> None:
    """In the mixture's domain, coded vectors alone: rounding by rate promises 2 steps, a trellis 1 on average."""
    case = CASES[name]
    steps = (0.5, 0.3, 0.1, 0.05, 0.01)
    models = next(m for m in (models_of(case, step) for step in steps) if any(ranks(one) for one in mixtures(m)))
    for group, tokens in zip(models.groups, models.layout.split(finite_rows(case)), strict=True):
        if not any(isinstance(stage, Mixture) for stage in group.chain):
            continue
        step = mixture_of(group.chain).step
        for start in range(0, len(tokens), CHUNK):
            part = group.chain.encode(tokens[start : start + CHUNK])
            y = [tokens[start : start + CHUNK], group.chain.reconstruct(part)]
            for stage, side in zip(group.chain.links[:-1], part.sides, strict=False):
                y = [stage.forward(one, side) for one in y]
            errors = np.abs(y[0] - y[1]).astype(np.float64)
            rounding = 1e-5 * float(np.abs(y[0]).max(initial=0.0) + np.abs(tokens).max())
            assert (errors**2).sum() <= errors.size * (step + rounding) ** 2
            if isinstance(group.chain.links[-1], RateRounding):
                assert errors.max(initial=0.0) <= 2 * step + rounding


def finite_rows(case: Case) -> np.ndarray:
    x = dtypes.to_float32(case.rows, case.spec.dtype)
    return dtypes.from_float32(np.where(np.isfinite(x), x, 0.0).astype(np.float32), case.spec.dtype)


def test_constant_channels_are_exact_at_any_step() -> None:
    case = CASES["constants"]
    for step in (10.0, 0.3):
        decoded, _ = coded(case, models_of(case, step))
        for channel in (1, 4):
            assert decoded[..., channel].tobytes() == case.rows[..., channel].tobytes()


def test_kinds_of_tokens_cost_less_than_one_transform_for_all() -> None:
    rows = scene((64, 100, 16), 4)
    case = plain(rows)
    models = models_of(case, 0.05)
    assert len(mixtures(models)) == 1
    decoded, size = coded(case, models)
    single, as_good = plain(rows, effort=0), []
    for step in (0.01, 0.02, 0.03, 0.05):
        other = models_of(single, step)
        assert not mixtures(other)
        plain_decoded, plain_size = coded(single, other)
        if nmse(rows, plain_decoded) <= nmse(rows, decoded):
            as_good.append(plain_size)
    assert min(as_good) > 1.2 * size


# chunks beyond the sample


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 200, 0])
def test_models_serve_chunks_of_other_lengths(rows: int) -> None:
    case = CASES["plain"]
    models = models_of(case, 0.3)
    assert mixtures(models)
    other = np.resize(case.rows, (rows, *case.rows.shape[1:]))
    decoded, _ = coded(case, models, [other])
    assert rows == 0 or nmse(other, decoded) < 0.01


def test_ragged_chunks_may_be_empty() -> None:
    case = CASES["ragged"]
    models = models_of(case, 0.3)
    assert mixtures(models)
    empty = dataclasses.replace(case, counts=np.zeros(3, np.int64))
    decoder = TransformCodec(case.spec, models)
    encoded = decoder.encode(case.rows[:0], empty.counts)
    values, crc = decoder.decode(encoded.payload, 3, empty.counts)
    assert values.shape == (0, 6)
    assert crc == encoded.symbol_crc


@pytest.mark.parametrize("kind", ["noise", "far", "zero", "huge", "scaled"])
def test_a_chunk_unlike_the_sample_is_coded_all_the_same(kind: str) -> None:
    case = CASES["plain"]
    shape = case.rows.shape
    strange = {
        "noise": rows_of("noise", shape),
        "far": rows_of("moving", shape) - 50,
        "zero": rows_of("zero", shape),
        "huge": rows_of("huge", shape),
        "scaled": case.rows * np.float32(1000),
    }[kind]
    errors = []
    for step in (0.3, 0.03, 3e-3):
        decoded, _ = coded(case, models_of(case, step), [strange])
        assert np.isfinite(decoded).all()
        errors.append(float(((strange - decoded).astype(np.float64) ** 2).sum()))
    if kind != "huge":  # 1e38 is beyond the codes of any of these steps
        assert errors == sorted(errors, reverse=True)


def test_unlike_chunks_are_coded_as_finely_where_all_vectors_are_kept() -> None:
    """With every vector coded, the step alone decides the error, wherever the tokens are."""
    case = plain(scene((64, 60, 4), motion=1.0))
    strange = rows_of("moving", (64, 60, 4)) + 20
    for step in (0.1, 0.01):
        models = models_of(case, step)
        (mixture,) = mixtures(models)
        assert [mode.rank for mode in mixture.modes] == [4] * len(mixture.modes)
        decoded, _ = coded(case, models, [strange])
        error = float(((strange - decoded).astype(np.float64) ** 2).mean())
        assert error < mixture.step**2


# hostile bytes


MODELS = models_of(CASES["plain"], 0.01)
PAYLOAD = TransformCodec(CASES["plain"].spec, MODELS).encode(CASES["plain"].rows).payload


def decode_or_refuse(models: bytes, payload: bytes) -> None:
    case = CASES["plain"]
    try:
        codec = codec_for(ChunkKind.TRANSFORM, case.spec, models, LIMITS, no_codebook)
        values, _ = codec.decode(payload, CHUNK)
    except EmbdcError:
        return
    assert values.shape == case.rows.shape


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_models_and_chunks_are_refused_or_decode(data: st.DataObject) -> None:
    good = [MODELS.to_bytes(), PAYLOAD]
    which = data.draw(st.integers(0, 1))
    changed = bytearray(good[which])
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        changed = changed[: data.draw(st.integers(0, len(changed)))]
    good[which] = bytes(changed)
    decode_or_refuse(*good)


def test_bit_flips_at_the_front_are_refused_or_decode() -> None:
    models = MODELS.to_bytes()
    for changed in itertools.islice(bit_flips(models), 400):
        decode_or_refuse(changed, PAYLOAD)
    for changed in itertools.islice(bit_flips(PAYLOAD), 400):
        decode_or_refuse(models, changed)


GOOD_ORDERS = ("m q p", "n m q p", "s n m q p", "t m q p", "m d w")
BAD_ORDERS = (
    "n m q c", "n m t q p", "n m n q p", "m m q p", "n m s q p", "n q p", "n m q", "t m m q p", "m q p p", "m d p",
    "m q w", "m x p", "m x c", "m d c", "q p m", "x p", "m q q p", "n d w",
)  # fmt: skip


@pytest.mark.parametrize("order", [*GOOD_ORDERS, *BAD_ORDERS])
def test_mixtures_in_other_places_of_the_chain_are_corrupt(order: str) -> None:
    """What a mixture gives is flat, so that nothing but a quantiser and a coder of its own may follow."""
    mixture, none = drawn_mixture(6, (6, 2)), np.zeros(6, bool)
    named: dict[str, Stage] = {
        "n": Normalise.fit(
            np.zeros(6), 1.0, scale_codes=None, constant=none, values=np.zeros(6, np.float32), centre=None
        ),
        "s": TokenScale(),
        "t": TimeDct(8),
        "m": mixture,
        "x": DeadZone(1.0, (0, 0, 0)),
        "q": RateRounding(1.0, (0, 0, 0), mixture, static_tables()),
        "d": TrellisPoints(1.0, mixture, fixed_tables().paths),
        "c": Planes(8, np.full((4, 6), 20, np.uint8), static_tables()),
        "p": TrackPlanes(mixture, static_tables()),
        "w": TrackPaths(mixture, fixed_tables().paths),
    }
    chain = Chain.__new__(Chain)  # without its checks: what no encoder builds
    *chain.links, chain.coder = (named[letter] for letter in order.split())
    data = dataclasses.replace(MODELS, groups=(GroupModels(chain, 8),)).to_bytes()
    if order in GOOD_ORDERS:
        assert TransformModels.from_bytes(data, CASES["plain"].spec, LIMITS, no_codebook).to_bytes() == data
        return
    with pytest.raises(CorruptArchive):
        TransformModels.from_bytes(data, CASES["plain"].spec, LIMITS, no_codebook)


@pytest.mark.parametrize(
    ("limits", "what"), [({"max_modes": 1}, "at most 1, found"), ({"max_rank": 1}, "at most 1, found")]
)
def test_mixtures_beyond_the_limits_are_refused(limits: dict[str, int], what: str) -> None:
    case = CASES["plain"]
    with pytest.raises(CorruptArchive, match=what):
        codec_for(ChunkKind.TRANSFORM, case.spec, MODELS.to_bytes(), dataclasses.replace(LIMITS, **limits), no_codebook)
