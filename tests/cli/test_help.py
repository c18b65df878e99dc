"""Help: on stdout, examples first, every option explained, 80 columns; and shell completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from embdc_cli import __version__
from embdc_cli.cli.root import COMMANDS
from tests.cli.program import Embdc

COMMAND_NAMES = list(COMMANDS)


def test_root_help_names_every_command_and_exit_code(embdc: Embdc) -> None:
    done = embdc("--help")
    assert (done.exit, done.err) == (0, "")
    assert embdc("-h") == done
    for name, summary in COMMANDS.items():
        assert f"  {name} " in done.out
        assert summary in done.out
    for code in ("0 done", "75 stopped", "130/141/143"):
        assert code in done.out


def test_no_command_is_a_usage_error_with_help_on_stderr(embdc: Embdc) -> None:
    done = embdc()
    assert (done.exit, done.out) == (2, "")
    assert done.err == embdc("--help").out


def test_version(embdc: Embdc) -> None:
    done = embdc("--version")
    assert (done.exit, done.out, done.err) == (0, f"embdc {__version__}\n", "")


@pytest.mark.parametrize("command", COMMAND_NAMES)
def test_command_help(embdc: Embdc, command: str) -> None:
    done = embdc(command, "--help")
    assert (done.exit, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"Usage: embdc {command} [OPTIONS]")
    assert lines[2] == "Examples:"
    assert lines[3].startswith(f"  embdc {command} ")
    assert max(map(len, lines)) <= 80
    assert embdc(command, "-h") == done


def test_help_of_all_commands_loads_nothing_heavy() -> None:
    code = f"""
import sys
from embdc_cli.cli.app import main
assert not any(main([command, "--help"]) for command in {COMMAND_NAMES!r})
print(sorted({{"torch", "numpy", "av", "h5py", "numba", "rich", "transformers"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_valid(embdc: Embdc, shell: str) -> None:
    done = embdc("completion", shell)
    assert (done.exit, done.err) == (0, "")
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed, so its syntax check cannot run")
    subprocess.run([program, "-n"], input=done.out, text=True, check=True)


def completed(words: str, position: int) -> list[str]:
    """What bash would be offered for the word at `position` of `words`."""
    environment = os.environ | {"_EMBDC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    command = [sys.executable, "-m", "embdc_cli"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_completion_offers_commands_options_and_values() -> None:
    assert completed("embdc enc", 1) == ["encode"]
    assert "--target-bpv" in completed("embdc encode --target", 2)
    assert completed("embdc encode --preset n", 3) == ["near-lossless"]
    assert completed("embdc completion z", 2) == ["zsh"]
    assert set(completed("embdc nonsense --", 2)) == {"--version", "--help"}
