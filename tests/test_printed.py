"""What C code prints on standard output, and who else writes there."""

from __future__ import annotations

import ctypes
import os

import pytest

from embdc_cli.output import destination
from embdc_cli.printed import NVDEC_COMPLAINT, printed_meanwhile


def test_printing_of_c_is_caught_or_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with printed_meanwhile(NVDEC_COMPLAINT) as found:
        ctypes.CDLL(None).printf(b"one\nDecode Error occurred for picture %d\ntwo\n", 7)
        os.write(1, b"three\n")
    assert found == [b"Decode Error occurred for picture 7\n"]
    assert sorted(capfd.readouterr().out.split()) == ["one", "three", "two"]


def test_data_on_standard_output_is_not_caught(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may write it while this one listens: what is written afterwards must not go before it."""
    with open(1, "wb", closefd=False) as stdout, open(os.devnull) as devnull:
        monkeypatch.setattr("sys.stdout", type("Stdout", (), {"buffer": stdout, "flush": devnull.flush}))
        with destination("-", force=False) as out:
            with printed_meanwhile(NVDEC_COMPLAINT):
                out.write(b"first ")
                out.flush()
                assert capfdbinary.readouterr().out == b"first "
            out.write(b"second")
    assert capfdbinary.readouterr().out == b"second"
