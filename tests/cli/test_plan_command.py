"""`embdc plan` on a library that only records: what it asks for, prints, and puts into a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from embdc_cli.errors import SourceError
from embdc_cli.forecast.options import PlanOptions
from embdc_cli.forecast.rows import DEFAULT_ROWS
from embdc_cli.options import EncodeOptions
from tests.cli.documents import plan_document
from tests.cli.program import Embdc, Fake


def test_table(embdc: Embdc, fake: Fake) -> None:
    done = embdc("plan", "a.npy")
    assert (done.exit, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "a.npy: 135 MB, predicted from 2 of 15 chunks"
    assert lines[2].split() == ["row", "size", "bpv", "cosine", "nmse", "encode", "decode"]
    assert lines[3].split()[:9] == ["balanced", "2.00", "MB", "0.236", "0.9703", "0.0583", "12.2", "s", "4.0"]
    assert lines[4].split()[0] == "lossless"
    assert "█" in lines[3]
    assert "█" not in lines[4]
    assert max(map(len, lines)) <= 80
    assert fake.last["options"] == PlanOptions()


def test_table_with_a_probe_and_a_video(embdc: Embdc, fake: Fake) -> None:
    rows = [row | {"probe": {"top1_agreement": 0.9712, "kl": 0.01234}} for row in plan_document()["rows"]]
    sample = {"chunks": 15, "of_chunks": 15, "complete": True}
    fake.answers["plan"] = plan_document("v.mp4", rows=rows, embed_s=63.0, sample=sample)
    lines = embdc("plan", "v.mp4", "--probe", "head.npy").out.splitlines()
    assert lines[0] == "v.mp4: 135 MB; embedding takes 1m03s more"
    assert "top-1" in lines[2]
    assert {"0.971", "0.012"} <= set(lines[3].split())
    assert max(map(len, lines)) <= 80


def test_several_inputs_are_added_up(embdc: Embdc, fake: Fake) -> None:
    failed = SourceError("c.npy: no such file")
    fake.answers["plan"] = lambda source, options: failed if source == "c.npy" else plan_document(source)
    lines = embdc("plan", "a.npy", "b.npy", "c.npy").out.splitlines()
    at = lines.index("all 2 inputs: 271 MB")
    assert lines[at + 2].split() == ["row", "size", "bpv", "below", "float16", "encode", "decode"]
    assert lines[at + 3].split()[:10] == ["balanced", "4.00", "MB", "0.236", "67.7", "×", "24.5", "s", "8.0", "ms"]
    assert max(map(len, lines)) <= 80
    totals = embdc("plan", "a.npy", "b.npy", "c.npy", "--json").json["totals"]
    assert (totals["done"], totals["failed"], totals["raw_bytes"]) == (2, 1, 270_950_400)
    balanced, lossless = totals["rows"]
    assert (balanced["name"], balanced["file_bytes"], balanced["encode_s"]) == ("balanced", 4_000_000, 24.5)
    assert balanced["bits_per_value"] == 8 * 4_000_000 / 135_475_200
    assert lossless["file_bytes"] == 180_000_000
    fake.answers["plan"] = failed
    assert "rows" not in embdc("plan", "a.npy", "c.npy", "--json").json["totals"]
    fake.answers["plan"] = plan_document()
    assert "all" not in embdc("plan", "a.npy").out


ASKED = [
    (("--rows", "fast,bpv=0.5"), PlanOptions(rows=("fast", "bpv=0.5"))),
    (("--sample", "1MiB", "--seed", "3"), PlanOptions(sample=1 << 20, seed=3)),
    (("--effort", "2", "-j", "2"), PlanOptions(coding=EncodeOptions(effort=2, jobs=2))),
    (("--fps", "2", "--key", "x"), PlanOptions(coding=EncodeOptions(fps="2", key="x"))),
    (("--emit", "r.toml", "--choose", "cosine=0.8"), PlanOptions(rows=(*DEFAULT_ROWS, "cosine=0.8"))),
    (("--emit", "r.toml"), PlanOptions()),
]


@pytest.mark.parametrize(("args", "options"), ASKED, ids=str)
def test_options(embdc: Embdc, fake: Fake, args: tuple[str, ...], options: PlanOptions) -> None:
    assert embdc("plan", "a.npy", *args).exit == 0
    (asked,) = (arguments["options"] for function, arguments in fake.calls if function == "plan")
    assert asked == options


REFUSED = [
    (("a.npy", "--rows", "best"), 2, "--rows: expected one of fast, balanced"),
    (("a.npy", "--rows", "cosine=2"), 2, "--target-cosine: expected a number between 0 and 1"),
    (("a.npy", "--rows", "bpv=x"), 2, "--rows: bpv: expected a number, found 'x'"),
    (("a.npy", "--rows", "fast,fast"), 2, "--rows: expected every name once"),
    (("a.npy", "--sample", "257MiB"), 2, "--sample: expected 1 byte to 256MiB"),
    (("a.npy", "--sample", "0"), 2, "--sample: expected 1 byte"),
    (("a.npy", "--choose", "fast"), 2, "--choose: needs --emit"),
    (("a.npy", "--emit", "r.toml", "--choose", "best"), 2, "--choose: expected one of"),
    (("a.npy", "--emit", "there.toml"), 7, "there.toml exists"),
    (("there.toml", "--emit", "there.toml", "-f"), 2, "is also the input"),
    (("a.npy", "--emit", "no/r.toml"), 2, "does not exist"),
    (("a.npy", "--target-bpv", "1"), 2, "no such option: --target-bpv"),
    (("-", "-"), 2, "- is given more than once"),
    ((), 2, "missing argument"),
]


@pytest.mark.parametrize(("args", "code", "message"), REFUSED, ids=str)
def test_refused_before_anything_is_read(
    embdc: Embdc, fake: Fake, args: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "there.toml").write_text("")
    done = embdc("plan", *args)
    assert (done.exit, done.out, fake.calls) == (code, "", [])
    assert message in done.err.splitlines()[0]


def test_several_inputs_of_which_one_fails(embdc: Embdc, fake: Fake) -> None:
    fake.answers["plan"] = lambda source, options: (
        SourceError("b.npy: empty") if source == "b.npy" else plan_document(source)
    )
    done = embdc("plan", "a.npy", "b.npy", "c.npy", "--emit", "r.toml", "--json")
    assert (done.exit, [item["input"] for item in done.json["items"]]) == (3, ["a.npy", "b.npy", "c.npy"])
    assert "b.npy: empty" in done.err
    function, arguments = fake.calls[-1]
    assert (function, arguments["row"].name, arguments["force"]) == ("write_recipe", "balanced", False)
    assert [document["input"] for document in arguments["documents"]] == ["a.npy", "c.npy"]


def test_no_recipe_of_nothing(embdc: Embdc, fake: Fake) -> None:
    fake.answers["plan"] = SourceError("a.npy: empty")
    assert embdc("plan", "a.npy", "--emit", "r.toml").exit == 8
    assert [function for function, _ in fake.calls] == ["plan"]
