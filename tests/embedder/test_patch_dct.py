"""The built-in embedder against its formula in plain floats, and that nothing but the frame decides its bits."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.embedder.open import open_embedder
from embdc_cli.embedder.patch_dct import PatchDct, dct_basis, patch_dct
from embdc_cli.errors import UsageError
from embdc_cli.options import EncodeOptions


def formula_frame(height: int, width: int) -> np.ndarray:
    """A frame of gradients and a chessboard, in integers."""
    y, x = np.mgrid[0:height, 0:width]
    board = ((x // 9 + y // 7) % 2) * 60
    across, down = x * 255 // max(width - 1, 1), y * 195 // max(height - 1, 1)
    return np.stack([across, down + board, board * 3], -1).astype(np.uint8)


def slow_tokens(frame: np.ndarray) -> np.ndarray:
    """The definition in the module's docstring, literally, in float64: (196, 384)."""

    def area(length: int) -> np.ndarray:
        edges = np.arange(225) * length / 224
        starts, stops = np.arange(length)[None, :], np.arange(1, length + 1)[None, :]
        overlap = np.minimum(stops, edges[1:, None]) - np.maximum(starts, edges[:-1, None])
        return np.maximum(overlap, 0) * 224 / length

    rows = np.tensordot(area(frame.shape[0]), frame.astype(np.float64), 1)
    rgb = np.tensordot(rows, area(frame.shape[1]).T, (1, 0)).swapaxes(1, 2)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    halves = [chroma.reshape(112, 2, 112, 2).mean(axis=(1, 3)) for chroma in ((blue - y) / 1.772, (red - y) / 1.402)]
    planes = [(y - 128, 16), (halves[0], 8), (halves[1], 8)]
    tokens = []
    for plane, n in planes:
        k, i = np.mgrid[0:n, 0:n]
        basis = np.sqrt(np.where(k == 0, 1, 2) / n) * np.cos(np.pi * (2 * i + 1) * k / (2 * n))
        patches = plane.reshape(14, n, 14, n).swapaxes(1, 2).reshape(-1, n, n)
        tokens.append((basis @ patches @ basis.T).reshape(196, n * n) / 128)
    return np.concatenate(tokens, axis=1)


@pytest.mark.parametrize("size", [(224, 224), (720, 1280), (65, 99), (1, 1), (1, 500), (3, 2), (448, 224)])
def test_it_follows_the_formula(size: tuple[int, int]) -> None:
    frame = formula_frame(*size)
    got, want = patch_dct(frame), slow_tokens(frame)
    assert got.shape == (196, 384)
    assert got.dtype == np.float16
    # pixels are rounded to 1/256 level, the basis to 2^-14, the result to float16 (2^-11 of its size)
    assert np.abs(got - want).max() < 2e-3 + np.abs(want).max() * 2.0**-11


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        ((240, 320), "ceb688ef419a8862"),
        ((97, 131), "90203f4a2d10b439"),
    ],
)
def test_the_bits_are_the_same_on_every_machine(size: tuple[int, int], digest: str) -> None:
    assert hashlib.sha256(patch_dct(formula_frame(*size)).tobytes()).hexdigest()[:16] == digest


def test_no_basis_value_is_close_to_a_rounding_tie() -> None:
    """So that a cosine which differs in its last bit elsewhere rounds to the same integer."""
    for size in (8, 16):
        k, i = np.mgrid[0:size, 0:size]
        exact = np.sqrt(np.where(k == 0, 1, 2) / size) * np.cos(np.pi * (2 * i + 1) * k / (2 * size)) * 2**14
        assert np.abs(dct_basis(size) - exact).max() < 0.5 - 1e-4


def test_a_flat_frame_has_nothing_but_means() -> None:
    tokens = patch_dct(np.full((30, 40, 3), 192, np.uint8))
    assert (tokens[:, 0] == 8.0).all()  # 16 x 64 levels / 128
    assert not tokens[:, 1:].any()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_extreme_pixels_stay_in_range(height: int, width: int, seed: int) -> None:
    frame = (np.random.default_rng(seed).integers(0, 2, (height, width, 3)) * 255).astype(np.uint8)
    tokens = patch_dct(frame).astype(np.float64)
    assert np.isfinite(tokens).all()
    assert np.abs(tokens).max() <= 16
    assert np.abs(tokens - slow_tokens(frame)).max() < 1e-2


def test_batches_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(5)]
    embedder = PatchDct().for_size(50, 70)
    together = embedder.embed(frames)["patch"]
    assert np.array_equal(together, np.concatenate([embedder.embed([frame])["patch"] for frame in frames]))
    assert embedder.specs[0].row_shape == together.shape[1:]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"streams": ("patch", "cls")}, "--streams: patch-dct has patch, found cls"),
        ({"streams": ()}, "--streams: patch-dct has patch, found nothing"),
        ({"streams": ("patch", "patch")}, "--streams: expected every name once, found patch, patch"),
        ({"layer": -2}, "--layer: patch-dct has no layers"),
        ({"batch_size": 0}, "--batch-size: expected 1 or more"),
    ],
)
def test_what_it_does_not_have_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_embedder(EncodeOptions(**options))  # type: ignore[arg-type]  # a table of mixed types


@pytest.mark.parametrize("encoder", [None, "patch-dct"])
def test_it_says_what_it_is(encoder: str | None) -> None:
    embedder = open_embedder(EncodeOptions(encoder=encoder))
    assert embedder.for_size(10, 10).provenance()["name"] == "patch-dct"
    assert "not semantic" in embedder.notes[0]
    assert "--encoder google/siglip2-base-patch16-224" in embedder.notes[0]
