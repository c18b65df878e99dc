"""The words of `--device`, and devices that are not there."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from embdc_cli.device import check_device, device_word
from embdc_cli.embedder.device import chosen_device
from embdc_cli.errors import ResourceError, UsageError

WORDS = ("auto", "cpu", "cuda", "cuda:0", "cuda:12")
NO_WORDS = ("", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CPU", "mps", "meta", "auto ")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize("word", WORDS)
def test_word(word: str) -> None:
    assert device_word(word) == word


@pytest.mark.parametrize("word", NO_WORDS)
def test_another_word_is_refused_in_the_same_words_everywhere(word: str) -> None:
    message = f"expected auto, cpu, cuda or cuda:N, found {word!r}"
    with pytest.raises(ValueError, match=r"^expected") as parsed:
        device_word(word)
    assert str(parsed.value) == message
    for use in (check_device, chosen_device):
        with pytest.raises(UsageError) as caught:
            use(word)
        assert caught.value.message == f"--device: {message}"


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("word", "device"),
    [("auto", "cuda"), ("cpu", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")],
)
def test_device_that_is_here(word: str, device: str) -> None:
    assert chosen_device(word) == torch.device(device)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("word", ["auto", "cpu"])
def test_without_a_gpu(word: str) -> None:
    assert chosen_device(word) == torch.device("cpu")


@pytest.mark.usefixtures("two_gpus")
def test_gpu_of_a_larger_machine() -> None:
    with pytest.raises(ResourceError, match="--device cuda:2: not here, 2 CUDA devices found") as caught:
        chosen_device("cuda:2")
    assert caught.value.hint == "use cuda:0 to cuda:1"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("word", ["cuda", "cuda:0"])
def test_gpu_where_there_is_none(word: str) -> None:
    with pytest.raises(ResourceError, match=f"--device {word}: not here, 0 CUDA devices found") as caught:
        check_device(word)
    assert caught.value.hint == "use --device auto, or cpu"


def test_words_are_checked_without_torch() -> None:
    script = (
        "import sys; from embdc_cli.device import check_device as c; c('auto'); c('cpu'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
