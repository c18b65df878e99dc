"""Makes test vectors that are not there yet: `python -m tests.conformance.make_vectors [NAME ...]`.

NAME.embdc is the archive, NAME.json what readers must make of it (`expectation`), NAME.npz the decoded values of lossy
streams, if they are few, and NAME.embdcb a codebook that the archive refers to. Nothing that exists is ever changed;
where a later version of the format says otherwise of an archive, since/NAME.json has what readers must make of it now.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from embdc_cli.errors import EmbdcError
from tests.conformance.cases import CASES, Case
from tests.conformance.verdicts import VECTORS, Verdict, embdc_verdict, reader_verdict

MOST_VALUES = 1536
"""Of a vector whose decoded values are kept beside it."""


def make(name: str, case: Case, folder: Path = VECTORS) -> None:
    """Write one vector. Raises FileExistsError, and ValueError where embdc does not say what the case expects."""
    paths = {suffix: folder / f"{name}{suffix}" for suffix in (".embdc", ".json", ".npz", ".embdcb")}
    there = [path.name for path in paths.values() if path.exists()]
    if there:
        raise FileExistsError(f"{', '.join(there)}: vectors are never changed; make one of another name")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "out"
        place.mkdir()
        (Path(scratch) / "in").mkdir()
        archive = place / f"{name}.embdc"
        archive.write_bytes(case.make(Path(scratch) / "in"))
        if case.beside is not None:
            (place / f"{name}.embdcb").write_bytes(case.beside())
        found, told = embdc_verdict(archive, place), reader_verdict(archive)
        coarse = None if case.levels is None else reader_verdict(archive, case.levels)
        if tuple(found.exits) != case.exits:
            raise ValueError(f"expected exits {case.exits}, found {found.exits} {found.errors}")
        if told.exits[1] != found.exits[1]:
            raise ValueError(f"embdc verifies with {found.exits[1]}, the second reader with {told.exits[1]}")
        if coarse is not None and (coarse.exits[2] or coarse.integers == told.integers):
            raise ValueError(f"{case.levels} code levels: exit {coarse.exits[2]}, integers {coarse.integers}")
        with open(paths[".json"], "x", encoding="utf-8") as out:
            json.dump(expectation(case, found, told, coarse), out, indent=1, sort_keys=True)
            out.write("\n")
        few = sum(array.size for array in found.values.values()) <= MOST_VALUES
        if found.values and few and any(told.integers.values()):
            arrays: dict[str, Any] = {key.replace("/", ":"): one for key, one in found.values.items()}
            with open(paths[".npz"], "xb") as file:
                np.savez_compressed(file, **arrays)
        for suffix in (".embdc", ".embdcb"):
            made = place / f"{name}{suffix}"
            if made.exists():
                with open(paths[suffix], "xb") as file:
                    file.write(made.read_bytes())


def renew(name: str, case: Case, folder: Path = VECTORS) -> None:
    """Write what readers make of a vector by now. Raises as `make`."""
    archive = folder / f"{name}.embdc"
    with tempfile.TemporaryDirectory() as scratch:
        found, told = embdc_verdict(archive, Path(scratch)), reader_verdict(archive)
    if tuple(found.exits) != case.since or told.exits[1] != found.exits[1]:
        raise ValueError(f"expected exits {case.since}, found {found.exits}, by the second reader {told.exits}")
    with open(folder / "since" / f"{name}.json", "x", encoding="utf-8") as out:
        json.dump(expectation(case, found, told, None), out, indent=1, sort_keys=True)
        out.write("\n")


def expectation(case: Case, found: Verdict, told: Verdict, coarse: Verdict | None) -> dict[str, Any]:
    """What the tests compare.

    exits: status of inspect, verify and decode; errors: their kinds where they raise. inspect: its stable fields.
    elements: SHA-256 of the stored elements of each stream that is bit for bit, as far as they can be read;
    elements_without_index: the same for a reader that does not use an index, where an index lies. integers: SHA-256 of
    the codes of each lossy stream, int32, which do not depend on the machine; its values do in their last bits. levels:
    how many code levels are also read alone, and the integers then.
    """
    document: dict[str, Any] = {
        "about": case.about,
        "exits": found.exits,
        "errors": found.errors,
        "inspect": found.inspect,
        "elements": found.elements,
        "integers": told.integers,
    }
    if told.elements != found.elements:
        document["elements_without_index"] = told.elements
    if coarse is not None:
        document["levels"] = {"count": case.levels, "integers": coarse.integers}
    return document


def main(names: list[str]) -> int:
    VECTORS.mkdir(exist_ok=True)
    new = [name for name in CASES if not (VECTORS / f"{name}.json").exists()]
    changed = [name for name, case in CASES.items() if case.since and not (VECTORS / "since" / f"{name}.json").exists()]
    failed = 0
    for name in names or [*new, *changed]:
        try:
            (make if name in new else renew)(name, CASES[name])
        except (FileExistsError, ValueError, EmbdcError) as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
