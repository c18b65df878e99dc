"""Coverage-guided search for bytes that a reader neither reads nor refuses. Not a test: see README.md beside this file.

python -m tests.fuzz.fuzz TARGET [libFuzzer options] [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["embdc_cli"]):
    from embdc_cli.errors import EmbdcError
    from tests.fuzz.targets import TARGETS, seeds


def main() -> None:
    name = sys.argv.pop(1)

    def one(data: bytes) -> None:
        with suppress(EmbdcError):
            TARGETS[name](data)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "good").write_bytes(seeds()[name])
        known = Path(__file__).parent / "corpus" / name
        further = [str(known)] if known.is_dir() else []
        atheris.Setup([*sys.argv, folder, *further], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
