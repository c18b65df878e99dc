"""How much of a network a segment takes, and what the stage keeps of it in archives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embdc_cli.codec.fields import FieldReader, FieldWriter
from embdc_cli.codec.reconstruction.network import Network
from embdc_cli.codec.reconstruction.stage import FULL, MAX_STRENGTH, Reconstruction
from embdc_cli.codec.reconstruction.strength import Effect
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.codec.transform.fit import Fit, FitOptions
from embdc_cli.codec.transform.models import TransformModels
from embdc_cli.codec.transform.parameters import Scope
from embdc_cli.codec.weighting import Weighting
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.errors import CorruptArchive, MissingModel
from tests.codebook.codebook_cases import make_codebook, make_network
from tests.codec.codec_cases import LIMITS, nmse, spec_of
from tests.codec.reconstruction.network_cases import CHANNELS, codebook_with, steady_network, wavering

ROWS = wavering()
SPEC = spec_of(ROWS.shape)
GOOD, BAD = steady_network(0.3), steady_network(-0.3)


def models(network: Network | None, mode: str = "auto", *, vector: bool = True, **options: object) -> TransformModels:
    chosen = FitOptions(codebook=codebook_with(network), vector=vector, reconstruction=mode, effort=0, **options)
    fit = Fit(SPEC, [ROWS], None, chosen)
    return fit.models(2 * fit.rms if vector else fit.rms)


def strength(made: TransformModels) -> int:
    """0 where no network is run."""
    return next((stage.strength for stage in made.groups[-1].chain if isinstance(stage, Reconstruction)), 0)


def decoded_error(made: TransformModels) -> float:
    return nmse(ROWS, TransformCodec(SPEC, made).encode(ROWS).decoded)


def test_auto_takes_what_helps_and_leaves_what_does_not() -> None:
    off, auto, bad, without = (models(n, m) for n, m in ((GOOD, "off"), (GOOD, "auto"), (BAD, "auto"), (None, "auto")))
    assert [strength(one) for one in (off, bad, without)] == [0, 0, 0]
    assert strength(auto) > 0
    assert decoded_error(auto) < 0.98 * decoded_error(off)
    assert off.to_bytes() == bad.to_bytes() == without.to_bytes()
    assert off.codebook is None
    assert auto.codebook is not None


def test_on_takes_all_of_it_whatever_it_does() -> None:
    made = models(BAD, "on")
    assert strength(made) == FULL
    assert decoded_error(made) > 1.05 * decoded_error(models(BAD, "off"))


@pytest.mark.parametrize("kind", ["channel", "token"])
def test_other_errors_than_the_plain_one_have_no_network(kind: str) -> None:
    assert strength(models(GOOD, "auto", weighting=Weighting(kind))) == 0


@pytest.mark.parametrize("vector", [True, False])
def test_models_come_back_and_move_with_the_step(vector: bool) -> None:
    made = models(GOOD, "on", vector=vector)
    codebook = codebook_with(GOOD)
    back = TransformModels.from_bytes(made.to_bytes(), SPEC, LIMITS, lambda digest: codebook)
    assert back.to_bytes() == made.to_bytes()
    coded = TransformCodec(SPEC, made).encode(ROWS)
    values, crc = TransformCodec(SPEC, back, LIMITS).decode(coded.payload, len(ROWS))
    assert (crc, values.tobytes()) == (coded.symbol_crc, coded.decoded.tobytes())
    (stage,) = (one for one in made.groups[0].chain if isinstance(one, Reconstruction))
    (moved,) = (one for one in made.with_steps_scaled(2).groups[0].chain if isinstance(one, Reconstruction))
    assert (moved.step, moved.strength, stage.vector) == (2 * stage.step, stage.strength, vector)


def test_codes_are_those_of_the_same_step_without_it() -> None:
    coded = [TransformCodec(SPEC, models(GOOD, mode)).encode(ROWS) for mode in ("off", "on")]
    assert coded[0].payload == coded[1].payload
    assert coded[0].symbol_crc == coded[1].symbol_crc
    assert coded[0].decoded.tobytes() != coded[1].decoded.tobytes()


def test_without_the_network_the_codebook_need_not_be_there() -> None:
    def missing(digest: bytes) -> None:
        raise MissingModel(f"codebook {digest.hex()}: not here")

    payload = models(GOOD, "on").to_bytes()
    with pytest.raises(MissingModel):
        TransformModels.from_bytes(payload, SPEC, LIMITS, missing)
    bare = TransformModels.from_bytes(payload, SPEC, LIMITS, missing, reconstruction=False)
    coded = TransformCodec(SPEC, models(GOOD, "off")).encode(ROWS)
    assert TransformCodec(SPEC, bare).decode(coded.payload, len(ROWS))[0].tobytes() == coded.decoded.tobytes()


def test_a_codebook_that_is_wanted_for_its_basis_must_be_there() -> None:
    def missing(digest: bytes) -> None:
        raise MissingModel(f"codebook {digest.hex()}: not here")

    lent = replace(make_codebook(24, 6, encoder=None), network=GOOD)
    few = np.random.default_rng(1).standard_normal((6, 3, 4)) @ (20 * lent.vectors()[:4])
    few = (lent.centre() + few).astype(np.float32)
    fit = Fit(spec_of(few.shape), [few], None, FitOptions(codebook=lent, effort=0, reconstruction="on"))
    wants = fit.models(0.005 * fit.rms)
    assert wants.groups[0].by_codebook
    with pytest.raises(MissingModel):
        TransformModels.from_bytes(wants.to_bytes(), spec_of(few.shape), LIMITS, missing, reconstruction=False)


@pytest.mark.parametrize("network", [GOOD, make_network(3)])
def test_the_strength_is_the_best_one(network: Network) -> None:
    made = models(None, "off")
    chain, rms = made.groups[0].chain, float(ROWS.std(axis=(0, 1)).mean())
    effect = Effect.of(chain, Reconstruction.of(network, 2 * rms, rms, vector=True), [ROWS])
    saved = [effect.saved(one) for one in range(MAX_STRENGTH + 1)]
    assert int(np.argmax(saved)) == effect.strength
    assert saved[0] == 0


def scope(network: Network | None, *, reconstructs: bool = True) -> Scope:
    return Scope(CHANNELS, 1, LIMITS, fixed_tables(), codebook_with(network), None, reconstructs=reconstructs)


def written(**changes: object) -> bytes:
    out = FieldWriter()
    replace(Reconstruction(GOOD, 0.5, -7, True, 20), **changes).write(out)  # type: ignore[arg-type]
    return out.bytes()


def test_parameters_come_back() -> None:
    found = Reconstruction.read(FieldReader(written(), "stage"), scope(GOOD))
    assert (found.step, found.coarseness, found.vector, found.strength) == (0.5, -7, True, 20)
    assert found.network is not None
    for network in (None, GOOD):
        bare = Reconstruction.read(FieldReader(written(), "stage"), scope(network, reconstructs=False))
        assert np.array_equal(bare.inverse(ROWS, b""), ROWS)


@pytest.mark.parametrize(
    ("data", "network"),
    [
        (written(), None),
        (written(strength=0), GOOD),
        (written(strength=33), GOOD),
        (written(step=0.0), GOOD),
        (written(step=float("inf")), GOOD),
        (written()[:9] + b"\2" + written()[10:], GOOD),
        (written()[:-1], GOOD),
    ],
    ids=["no network", "no strength", "strength", "step 0", "step inf", "flag", "cut"],
)
def test_parameters_that_no_encoder_writes(data: bytes, network: Network | None) -> None:
    with pytest.raises(CorruptArchive):
        Reconstruction.read(FieldReader(data, "stage"), scope(network))
