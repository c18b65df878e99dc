"""The second reader is independent of embdc, and the numbers in the manual pages are those of the program."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from embdc_cli import dtypes
from embdc_cli.codebook import header as codebook_header
from embdc_cli.codec.table import VERSIONS, ChunkKind, LosslessMethod, StageId
from embdc_cli.codec.transform.mixture import motion
from embdc_cli.codec.transform.time_context import model, tables
from embdc_cli.codec.vq import flags, gaussian
from embdc_cli.entropy.coding_tables import fixed_tables
from embdc_cli.entropy.dependent.tables import entry_path_tables
from embdc_cli.entropy.tables import entry_tables, static_tables
from tests.conformance.reader import codebook, header, pages

READER = Path(pages.__file__).parent
CODEC_PAGE = (pages.MAN / "embdc-codec.5").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(READER.glob("*.py")), ids=lambda path: path.stem)
def test_the_second_reader_shares_nothing_with_embdc(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            names = [str(node.module)]
        for name in names:
            top = name.partition(".")[0]
            own = name.startswith("tests.conformance.reader")
            assert own or top in sys.stdlib_module_names or top in ("numpy", "zstandard"), name
            assert top not in ("importlib", "subprocess", "runpy"), name


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("PLAIN TABLES", static_tables()),
        ("ROUNDED TABLES", fixed_tables().rounded),
        ("ENTRY TABLES", entry_tables()),
        ("PATH TABLES", fixed_tables().paths),
        ("ENTRY PATH TABLES", entry_path_tables()),
        ("ACTIVITY TABLE", motion._ACTIVITIES),
    ],
)
def test_tables(title: str, table: object) -> None:
    np.testing.assert_array_equal(pages.numbers(title), getattr(table, "freq", None))


@pytest.mark.parametrize("title", ["CHANGE WEIGHTS", "CHANGE BIASES", "LEVEL WEIGHTS", "LEVEL BIASES"])
def test_weights_of_contexts(title: str) -> None:
    np.testing.assert_array_equal(pages.numbers(title), getattr(tables, title.replace(" ", "_")))


def test_counts_of_contexts() -> None:
    np.testing.assert_array_equal(pages.context_counts(), model.static_model().counts)


def test_flags_of_vector_quantisation() -> None:
    assert [number for row in pages.numbers("FLAG FREQUENCIES") for number in row] == list(flags.FREQUENCIES)


def test_gaussian_codebooks() -> None:
    np.testing.assert_array_equal(np.reshape(pages.numbers("GAUSSIAN CODEBOOKS"), (4, 256, 8)), gaussian.table())


def test_kinds_of_codebooks() -> None:
    assert codebook.KINDS == codebook_header.KINDS
    assert "(transform or vq;" in CODEC_PAGE


def test_stages() -> None:
    listed = {int(number): name for number, name in re.findall(r"^\.It (\d+) Ta \w+ Ta ([A-Z_]+) Ta", CODEC_PAGE, re.M)}
    lossless = {StageId.BIT_PATTERN, StageId.ROW_DELTA, StageId.CHANNEL_MAJOR, StageId.BYTE_PLANES}
    lossless |= {StageId.STORED, StageId.ZSTANDARD}
    assert listed == {int(stage): stage.name for stage in set(StageId) - lossless}
    assert {stage: version for stage, version in VERSIONS.items() if version != 1} == {StageId.VECTOR_QUANTISER: 2}
    for stage in set(StageId) - lossless:
        assert re.search(rf"^\.Ss .*\b{stage.name}\b", CODEC_PAGE, re.M), stage.name


def test_kinds_and_methods() -> None:
    kinds = re.findall(r"^\.It (\d) Ta (lossless|transform) Ta", CODEC_PAGE, re.M)
    assert {int(number): name for number, name in kinds} == {int(kind): kind.name.lower() for kind in ChunkKind}
    section = re.search(r"^\.Sh LOSSLESS\n(.*?)^\.Sh ", CODEC_PAGE, re.M | re.S)
    assert section is not None
    assert [int(one) for one in re.findall(r"^\.It (\d)$", section[1], re.M)] == [int(one) for one in LosslessMethod]


def test_element_types() -> None:
    assert {name: dtypes.item_bytes(name) for name in dtypes.STORAGE} == header.WIDTHS
