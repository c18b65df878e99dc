"""The corpus: what belongs together, what is held out, what is sampled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embdc_cli.codebook import corpus
from embdc_cli.errors import SourceError, UsageError
from embdc_cli.values import ArrayTensor, Dump, StreamSpec, Tensor
from tests.codebook.sources import CHANNELS, dump_of, gaussian, tensor_of

VIT = {"name": "vit", "layer": -2, "weights_sha256": "ab" * 32, "preprocessing": {"size": 224}}


def short(frames: int = 8, channels: int = CHANNELS, seed: int = 0) -> np.ndarray:
    return gaussian(frames, 4, channels, seed)


def assemble(*dumps: Dump, holdout: float = 0.25, seed: int = 0) -> corpus.Corpus:
    return corpus.assemble([f"{i}.npy" for i in range(len(dumps))], dumps, holdout=holdout, seed=seed)


def values_of(tensors: list[Tensor]) -> list[bytes]:
    return [tensor.read(0, tensor.spec.known_rows).tobytes() for tensor in tensors]


def test_whole_inputs_are_held_out() -> None:
    arrays = [short(seed=i) for i in range(8)]
    split = assemble(*(dump_of(array) for array in arrays))
    train, heldout = values_of(split.train), values_of(split.heldout)
    assert (len(train), len(heldout)) == (6, 2)
    assert sorted(train + heldout) == sorted(array.tobytes() for array in arrays)


@pytest.mark.parametrize(("units", "holdout", "held"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.1, 1), (10, 0.3, 3)])
def test_at_least_one_unit_is_on_either_side(units: int, holdout: float, held: int) -> None:
    split = assemble(*(dump_of(short(seed=i)) for i in range(units)), holdout=holdout)
    assert (len(split.train), len(split.heldout)) == (units - held, held)


def test_the_seed_decides_what_is_held_out() -> None:
    dumps = [dump_of(short(seed=i)) for i in range(8)]
    held = {tuple(values_of(assemble(*dumps, seed=seed).heldout)) for seed in range(5)}
    assert len(held) > 1
    assert values_of(assemble(*dumps, seed=3).heldout) == values_of(assemble(*dumps, seed=3).heldout)


def test_streams_of_one_video_stay_on_one_side() -> None:
    def video(seed: int) -> Dump:
        names = frozenset({"patch", "cls"})
        return Dump([tensor_of(short(seed=seed), name) for name in sorted(names)], timed_streams=names)

    split = assemble(*(video(seed) for seed in range(4)))
    assert [tensor.spec.name for tensor in split.heldout] == ["cls", "patch"]
    assert values_of(split.heldout)[0] == values_of(split.heldout)[1]


def test_tensors_of_a_file_of_many_are_split_like_inputs() -> None:
    split = assemble(dump_of(*(short(seed=i) for i in range(4))))
    assert (len(split.train), len(split.heldout)) == (3, 1)
    assert not split.warnings


def test_a_single_input_is_split_by_rows_with_a_warning() -> None:
    array = short(40)
    split = assemble(dump_of(array), holdout=0.1)
    assert np.array_equal(split.train[0].read(0, 36), array[:36])
    assert np.array_equal(split.heldout[0].read(1, 4), array[37:])
    assert split.train[0].spec.rows == 36
    assert "flatters" in split.warnings[0]


def test_a_single_row_has_nothing_to_hold_out() -> None:
    split = assemble(dump_of(short(1)))
    assert (len(split.train), split.heldout) == (1, [])


def test_no_holdout_trains_on_everything() -> None:
    split = assemble(dump_of(short()), holdout=0.0)
    assert (len(split.train), split.heldout, split.warnings) == (1, [], [])


@pytest.mark.parametrize("holdout", [-0.1, 1.0, float("nan")])
def test_a_holdout_that_is_no_share_is_refused(holdout: float) -> None:
    with pytest.raises(UsageError, match="--holdout"):
        assemble(dump_of(short()), holdout=holdout)


def test_different_channels_are_listed() -> None:
    with pytest.raises(UsageError, match=r"16 in 0\.npy, 8 in 2\.npy"):
        assemble(dump_of(short()), dump_of(short()), dump_of(short(channels=8)))


@pytest.mark.parametrize(
    ("first", "second"),
    [(VIT, VIT | {"layer": -1}), (VIT, None), (None, VIT), (VIT, VIT | {"name": "clip", "weights_sha256": None})],
)
def test_different_encoders_are_refused(first, second) -> None:
    with pytest.raises(UsageError, match="different encoders") as caught:
        assemble(dump_of(short(), encoder=first), dump_of(short(), encoder=second))
    assert "vit layer -2 weights abababababab in " in caught.value.message
    assert caught.value.exit_code == 2


def test_one_encoder_is_kept_as_its_identity() -> None:
    split = assemble(dump_of(short(), encoder=VIT), dump_of(short(), encoder=VIT | {"name": "a folder"}))
    assert split.encoder == {"name": "vit", "layer": -2, "weights_sha256": "ab" * 32}
    assert assemble(dump_of(short())).encoder is None


def test_companions_are_left_out_and_said() -> None:
    labels = ArrayTensor(StreamSpec("labels", "int64", "t", (), 5), np.arange(5))
    split = assemble(Dump([tensor_of(short()), labels]), dump_of(short(seed=1)))
    assert len(split.train) + len(split.heldout) == 2
    assert split.warnings == ["0.npy: 1 of 2 tensors hold no embeddings"]


def test_streams_that_are_kept_exactly_teach_nothing() -> None:
    seconds = tensor_of(np.linspace(0, 1, 8, dtype=np.float32).reshape(8, 1), "seconds")
    split = assemble(Dump([tensor_of(short()), seconds], exact_streams=frozenset({"seconds"})))
    assert split.channels == CHANNELS


def test_nothing_to_train_on_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="no embeddings"):
        assemble(dump_of(np.empty((0, 4, 16), np.float32)))


def test_special_tokens_are_left_out() -> None:
    array = short()
    tensor = tensor_of(array, special_tokens=1)
    assert np.array_equal(corpus.read_tokens(tensor, (2, 5)), array[2:5, 1:].reshape(-1, CHANNELS))


def test_ragged_tokens_are_read_by_rows() -> None:
    flat = np.arange(7 * CHANNELS, dtype=np.float32).reshape(7, CHANNELS)
    tensor = ArrayTensor(StreamSpec("data", "float32", "tnc", (CHANNELS,), 3, ragged=True), flat, np.array([4, 1, 2]))
    cut = corpus.Rows(tensor, 1, 3)
    assert corpus.chunks_of(cut) == [(0, 2)]
    assert np.array_equal(corpus.read_tokens(cut, (0, 2)), flat[4:])
    assert corpus.sample_chunks([tensor], 7, 0) == [(tensor, [(0, 3)])]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_name_their_stream(bad: float) -> None:
    array = short()
    array[6, 1, 2] = bad
    with pytest.raises(SourceError, match="stream 'data': NaN or infinity in rows 4 to 7"):
        corpus.read_tokens(tensor_of(array), (4, 8))


def test_float16_and_bfloat16_are_read_as_their_values() -> None:
    half = short().astype(np.float16)
    assert np.array_equal(corpus.read_tokens(tensor_of(half), (0, 8)), half.astype(np.float32).reshape(-1, CHANNELS))
    bits = (short().view(np.uint32) >> 16).astype(np.uint16)
    brain = tensor_of(bits)
    brain = replace(brain, spec=replace(brain.spec, dtype="bfloat16"))
    truncated = (short().view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert np.array_equal(corpus.read_tokens(brain, (0, 8)), truncated.reshape(-1, CHANNELS))


def test_chunks_hold_whole_rows_and_grow_where_rows_are_small() -> None:
    assert corpus.chunks_of(tensor_of(np.zeros((130, 200, 4), np.float32))) == [(0, 64), (64, 128), (128, 130)]
    assert corpus.chunks_of(tensor_of(np.zeros((9000, 4), np.float32))) == [(0, 8192), (8192, 9000)]
    assert len(corpus.chunks_of(tensor_of(np.zeros((3, 16, 1 << 19), np.float32)))) == 3


def test_a_sample_is_whole_chunks_in_order_by_seed() -> None:
    tensors: list[Tensor] = [tensor_of(np.zeros((640, 200, 2), np.float32)) for _ in range(3)]
    drawn = corpus.sample_chunks(tensors, 128_000, seed=1)
    chunks = [chunk for _, chunks in drawn for chunk in chunks]
    assert sum(stop - start for start, stop in chunks) * 200 == 128_000
    assert all(chunks == sorted(chunks) for _, chunks in drawn)
    assert drawn == corpus.sample_chunks(tensors, 128_000, seed=1)
    assert drawn != corpus.sample_chunks(tensors, 128_000, seed=2)
    assert sum(len(chunks) for _, chunks in corpus.sample_chunks(tensors, 10**9, seed=1)) == 30
