"""Networks are learnt where rows around a token tell of it, kept where that holds in held-out streams, and left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embdc_cli as embdc
from embdc_cli.codebook import file
from embdc_cli.codebook.reconstruction.learning import drawn, gradient, learnt_network, loss
from embdc_cli.codebook.reconstruction.pairs import STEPS, Pairs, coded_pairs
from embdc_cli.codebook.reconstruction.training import gains_of, pays, with_network
from embdc_cli.codec.reconstruction.network import shapes
from embdc_cli.errors import UsageError
from embdc_cli.reporter import Silent
from embdc_cli.values import ArrayTensor, StreamSpec, Tensor
from tests.codec.reconstruction.network_cases import CHANNELS, codebook_with, wavering


def stream(seed: int, rows: int = 24) -> Tensor:
    array = wavering(rows, 40, seed)
    return ArrayTensor(StreamSpec("data", "float32", "t,n,c", array.shape[1:], len(array)), array)


@pytest.fixture(scope="module")
def pairs() -> list[Pairs]:
    return coded_pairs([stream(0)], codebook_with(None), 2, vector=True)


@pytest.fixture(scope="module")
def learnt() -> tuple[Any, Any]:
    return with_network(codebook_with(None), [stream(0), stream(1)], [stream(2)], "auto", None, 0, Silent())


def test_pairs_tell_the_error_of_any_gates(pairs: list[Pairs]) -> None:
    assert [one.step for one in pairs] == list(STEPS)
    for one in pairs:
        assert one.effect(np.zeros((len(one.linear), 5), np.float32)) == (0, 0)
        lost = np.zeros((len(one.linear), 5), np.float32)
        lost[:, 0] = -1  # tokens of nothing: what is left is the tokens themselves
        both, added = one.effect(lost)
        assert one.error - 2 * both + added == pytest.approx(one.energy, rel=1e-4)


def test_gradients_are_those_of_the_loss(pairs: list[Pairs]) -> None:
    rng = np.random.default_rng(3)
    batch = drawn(pairs[:2], rng)
    sizes = shapes(2, 4)
    parameters = [0.3 * rng.standard_normal((o, i)) for i, o in sizes] + [rng.standard_normal(o) for _, o in sizes]
    for number, slope in enumerate(gradient(parameters, batch)):
        at = np.unravel_index(np.argmax(np.abs(slope)), slope.shape)
        sides = []
        for sign in (-1, 1):
            moved = [one.copy() for one in parameters]
            moved[number][at] += sign * 1e-5
            sides.append(loss(moved, batch))
        assert (sides[1] - sides[0]) / 2e-5 == pytest.approx(slope[at], rel=1e-3)


def test_the_same_pairs_give_the_same_network(pairs: list[Pairs]) -> None:
    networks = [learnt_network(pairs, seed).to_bytes() for seed in (0, 0, 1)]
    assert networks[0] == networks[1] != networks[2]


def test_a_network_that_pays_is_kept(learnt: tuple[Any, Any]) -> None:
    codebook, report = learnt
    assert report["kept"]
    assert report["network_bytes"] == len(codebook.network.to_bytes()) < 1024
    assert [(point["codec"], point["step"]) for point in report["points"]] == [
        (codec, step) for codec in ("transform", "vq") for step in STEPS
    ]
    gains = [point["gain_heldout"] for point in report["points"] if point["codec"] == "vq"]
    assert max(gains) > 0.03
    for point in report["points"]:
        assert point["gain_heldout"] == 0 or point["gain_heldout"] >= max(0.01, point["gain_forced"] - 1e-3)


def test_a_network_is_left_out_where_it_does_not_pay_or_does_not_fit(learnt: tuple[Any, Any]) -> None:
    points = learnt[1]["points"]
    assert pays(points)
    assert not pays([point | {"gain_heldout": 0.0} for point in points])
    assert not pays([point | {"gain_heldout": None} for point in points])
    bare = codebook_with(None)
    for mode in ("auto", "on"):
        size = len(bare.file_bytes) + 10
        codebook, report = with_network(bare, [stream(0)], [stream(1)], mode, size, 0, Silent())
        assert (codebook.network, report["kept"]) == (None, False)


def test_a_gain_that_the_encoder_would_not_take_is_none(learnt: tuple[Any, Any], pairs: list[Pairs]) -> None:
    network = learnt[0].network
    most = [replace(one, error=50 * one.error) for one in pairs]
    point = gains_of(network, pairs, most, 0.5, vector=True)
    assert point["gain_forced"] > 0
    assert point["gain_heldout"] == 0


def test_nothing_to_learn_from_is_no_network() -> None:
    still = ArrayTensor(StreamSpec("data", "float32", "t,n,c", (2, CHANNELS), 3), np.ones((3, 2, CHANNELS), np.float32))
    bare = codebook_with(None)
    assert with_network(bare, [still], [], "on", None, 0, Silent()) == (bare, None)


def test_a_file_gives_back_its_network(learnt: tuple[Any, Any]) -> None:
    codebook, _ = learnt
    back = file.read(codebook.file_bytes)
    assert back.network is not None
    assert back.network.to_bytes() == codebook.network.to_bytes()
    assert (codebook.file_bytes[8], replace(codebook, network=None).file_bytes[8]) == (1, 0)
    assert b"NETW" not in replace(codebook, network=None).file_bytes


def test_a_codebook_is_trained_with_it_and_used(tmp_path: Path) -> None:
    for seed in range(3):
        np.save(tmp_path / f"{seed}.npy", wavering(seed=seed))
    out, archive = str(tmp_path / "c.embdcb"), tmp_path / "a.embdc"
    inputs = [str(tmp_path / f"{seed}.npy") for seed in range(3)]
    result = embdc.train_codebook(inputs, out, reconstruction="on", kind="transform")
    assert result["reconstruction"]["kept"]
    assert file.read(out).network is not None
    x = wavering(seed=9)
    options = {"codec": "vq", "codebook": out, "embed_codebook": "yes", "target_nmse": 0.2, "effort": 0}
    achieved = embdc.encode(x, str(archive), **options)["achieved"]["nmse"]
    assert achieved <= 0.2
    assert embdc.compare(x, str(archive))["streams"][0]["nmse"] == pytest.approx(achieved)
    assert embdc.verify(str(archive), deep=True)["ok"]
    with embdc.open(archive) as one, embdc.open(archive, reconstruction=False) as other:
        full, bare = one["data"][:].numpy(), other["data"][:].numpy()
        assert np.array_equal(one["data"][5:9].numpy(), full[5:9])
    assert np.square(bare - x).sum() > 1.01 * np.square(full - x).sum()
    embdc.decode(str(archive), str(tmp_path / "bare.npy"), reconstruction=False)
    assert np.array_equal(np.load(tmp_path / "bare.npy"), bare)
    for mode, same in (("off", True), ("on", False)):
        embdc.encode(x, str(tmp_path / "b.embdc"), reconstruction=mode, force=True, **options)
        with embdc.open(tmp_path / "b.embdc") as one, embdc.open(tmp_path / "b.embdc", reconstruction=False) as other:
            assert np.array_equal(one["data"][:].numpy(), other["data"][:].numpy()) == same
    hits = embdc.search(str(archive), full[3, 7], k=1, metric="l2")["hits"]
    assert (hits[0]["score"], hits[0]["token"]) == (0, 7)  # not that of the codes, which know no network


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reconstruction": "on"}, "expected a codebook with a network"),
        ({"reconstruction": "on", "weighting": "channel"}, "not with --weighting"),
        ({"reconstruction": "yes"}, "expected one of auto, on, off"),
    ],
)
def test_a_network_that_is_asked_for_in_vain(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        embdc.encode(wavering(4), str(tmp_path / "a.embdc"), **options)


def test_training_names_its_modes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one of auto, on, off"):
        embdc.train_codebook(["a.npy"], str(tmp_path / "c.embdcb"), reconstruction="maybe")
