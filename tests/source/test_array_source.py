"""Arrays in memory: numpy, torch, lists and dicts of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from embdc_cli.source.array import open_arrays
from tests.source.dump_files import FEATURES, arrays

X = torch.from_numpy(FEATURES)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (FEATURES, ["data"]),
        (X, ["data"]),
        ({"a": FEATURES, "b": X}, ["a", "b"]),
        ({"a": {"b": FEATURES}}, ["a.b"]),
        ([FEATURES[0], FEATURES[1]], ["data"]),
        ([FEATURES[0], FEATURES[1, :2]], ["data"]),
        ([X[0], X[1, :2]], ["data"]),
        ([FEATURES, FEATURES], ["0", "1"]),
        ({"s": np.float32(3)}, ["s"]),
    ],
)
def test_structures(value: Any, names: list[str]) -> None:
    assert [tensor.spec.name for tensor in open_arrays(value).tensors] == names


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_matrices_in_a_list_are_ragged_rows(make: Any) -> None:
    (tensor,) = open_arrays([make(FEATURES[0]), make(FEATURES[1, :2]), make(FEATURES[2, :0])]).tensors
    assert tensor.spec.ragged
    assert tensor.token_counts is not None
    assert tensor.token_counts.tolist() == [4, 2, 0]
    np.testing.assert_array_equal(tensor.read(1, 3), FEATURES[1, :2])


def test_values_without_a_copy_and_with_any_strides() -> None:
    for value in (FEATURES[::2, :, ::-1], np.asfortranarray(FEATURES), FEATURES.astype(">f4"), FEATURES.astype("f8")):
        np.testing.assert_array_equal(arrays(open_arrays(value))["data"], value.astype("<f4"))
    np.testing.assert_array_equal(arrays(open_arrays(X.permute(2, 0, 1)))["data"], FEATURES.transpose(2, 0, 1))


def test_bfloat16_is_bits() -> None:
    bits = X.bfloat16()
    expected = bits.view(torch.int16).numpy().view("<u2")
    np.testing.assert_array_equal(arrays(open_arrays(bits))["data"], expected)
    np.testing.assert_array_equal(arrays(open_arrays(expected.view("V2")))["data"], expected)


def test_equal_values_have_equal_digests() -> None:
    one, other = open_arrays(FEATURES).source, open_arrays(X.clone()).source
    assert one == other
    assert one["size_bytes"] == FEATURES.nbytes
    assert open_arrays(FEATURES + 1).source["head_digest"] != one["head_digest"]


def test_numpy_input_does_not_import_torch() -> None:
    code = (
        "import sys, numpy; from embdc_cli.source.array import open_arrays; "
        "open_arrays(numpy.ones((2, 2), 'f4')); print('torch' in sys.modules, 'h5py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
