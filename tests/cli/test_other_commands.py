"""`embdc decode`, `inspect`, `verify`, `cat` and `train-codebook`: what they ask of the library and what they say."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from embdc_cli.cli.app import main
from embdc_cli.errors import CorruptArchive
from embdc_cli.options import EncodeOptions
from tests.cli import documents
from tests.cli.program import Embdc, Fake


@pytest.mark.parametrize(
    ("args", "streams", "output"),
    [
        (("x/a.embdc",), 1, "x/a.npy"),
        (("x/a.embdc",), 2, "x/a.safetensors"),
        (("x/a.embdc", "--stream", "cls"), 2, "x/a.npy"),
        (("x/a.embdc", "--format", "h5"), 2, "x/a.h5"),
        (("s3://bucket/x/a.embdc",), 1, "a.npy"),
        (("a.embdc", "-o", "-"), 1, "-"),
        (("-",), 1, "-"),
    ],
)
def test_decode_output(embdc: Embdc, fake: Fake, args: tuple[str, ...], streams: int, output: str) -> None:
    fake.answers["chosen"] = dict.fromkeys(map(str, range(streams)))
    assert embdc("decode", *args, stdin=b"x").exit == 0
    assert fake.last["output"] == output
    assert ("chosen", "-") not in [(function, arguments.get("archive")) for function, arguments in fake.calls]


def test_decode_says_one_line(embdc: Embdc) -> None:
    assert embdc("decode", "a.embdc", "-o", "a.npy").err == "a.embdc -> a.npy: patch 900 x 196 x 384 float16\n"


def test_decode_says_what_is_lost(embdc: Embdc, fake: Fake) -> None:
    lost = [{"stream": "patch", "rows": [64, 128], "seconds": [2.1333, 4.2667]}]
    fake.answers["decode"] = documents.decode_document(lost=lost, exit=3)
    done = embdc("decode", "a.embdc", "-o", "a.npy", "--on-damage", "skip")
    assert (done.exit, done.err) == (3, "a.embdc -> a.npy: patch 900 x 196 x 384 float16; 64 rows lost\n")


def test_decode_lists_two_of_many_streams(embdc: Embdc, fake: Fake) -> None:
    streams = [{"name": f"s{number}", "shape": [2], "dtype": "float32"} for number in range(5)]
    fake.answers["decode"] = documents.decode_document(streams=streams)
    line = "a.embdc -> a.npz: s0 2 float32, s1 2 float32, 3 more\n"
    fake.answers["decode"]["output"] = "a.npz"
    assert embdc("decode", "a.embdc", "-o", "a.npz").err == line
    verbose = embdc("decode", "a.embdc", "-o", "a.npz", "-v").err.splitlines()
    assert verbose[1:] == [f"  s{number} 2 float32" for number in range(5)]


def test_decode_json(embdc: Embdc) -> None:
    assert embdc("decode", "a.embdc", "-o", "a.npy", "--json", "-q").json == documents.decode_document()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("decode", "a.embdc", "-o", "-", "--json"), "--json: stdout is taken by -o -"),
        (("decode", "a.npy", "-o", "a.npy"), "output: a.npy is also the input"),
        (("cat", "a.npy", "b", "-o", "a.npy"), "output: a.npy is also the input"),
        (("cat", "a", "b", "-o", "-", "--json"), "--json: stdout is taken by -o -"),
        (("split", "a.embdc"), "--every: missing"),
        (("split", "a.embdc", "--every", "1s", "-o", "-"), "output: -: expected names of files, with {n}"),
        (("split", "-", "--every", "1s"), "input: -: expected a path or URL, standard input cannot be sought in"),
        (("train-codebook", "a.npy", "-o", "a.npy"), "output: a.npy is also the input"),
    ],
)
def test_refused(embdc: Embdc, fake: Fake, tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    (tmp_path / "a.npy").touch()
    done = embdc(*args)
    assert (done.exit, done.err.splitlines()[0]) == (2, f"embdc: {message}")
    assert not fake.calls


INSPECTED = """\
a.embdc: 2.00 MB, 0.236 bits/value, 67.7x below float16

  format    version 0
  values    67 737 600
  source    video, size 12.0 MB
  encoder   patch-dct, weights 0123456789ab
  codec     transform, version 1
  target    cosine 0.97
  achieved  cosine 0.9703 (1st percentile 0.9510), nmse 0.0583, channel nmse
            0.41
  read      65.5 kB in 1 read

  stream  shape            dtype    axes   codec      chunks
  patch   900 x 196 x 384  float16  t,n,c  transform      15

  bytes of     size   share
  data      1.94 MB  96.8 %  █████████████████████████████
  models    60.0 kB   3.0 %  ▉
  index     3.00 kB   0.1 %
  tail      1.10 kB   0.1 %
  header      900 B   0.0 %
  file      2.00 MB
"""


def test_inspect_shows_tables_within_80_columns(embdc: Embdc) -> None:
    done = embdc("inspect", "a.embdc")
    assert done.out == INSPECTED
    assert (done.exit, done.err) == (0, "")
    assert max(len(line) for line in done.out.splitlines()) <= 80


def test_bars_where_the_terminal_knows_only_ascii(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["inspect", "\N{GREEK SMALL LETTER ALPHA}.embdc"]) == 0
    text = out.detach().getvalue().decode()  # type: ignore[attr-defined]  # the BytesIO above
    assert "96.8 %  #############################" in text
    assert text.startswith("\\u03b1.embdc: 2.00 MB")


def test_inspect_says_what_is_wrong(embdc: Embdc, fake: Fake) -> None:
    codebook = {"digest": "cd" * 32, "bytes": 800_000, "embedded": False}
    answer = documents.inspect_document(complete=False, damage=[documents.DAMAGE], codebooks=[codebook], exit=3)
    fake.answers["inspect"] = answer
    done = embdc("inspect", "a.embdc")
    lines = done.out.splitlines()
    assert done.exit == 3
    assert lines[0].endswith("INCOMPLETE: it ends early, this is what is readable")
    assert "  codebook  cdcdcdcdcdcd, 800 kB, NOT in the archive and not counted" in lines
    assert "  damage    offset 4096: chunk 3: checksum; lost: stream patch, rows 64 to 128" in lines


def test_inspect_lists_chunks_and_statistics(embdc: Embdc, fake: Fake) -> None:
    answer = documents.inspect_document(chunks=[documents.CHUNK] * 2, stats=[documents.STATISTICS])
    fake.answers["inspect"] = answer
    out = embdc("inspect", "a.embdc", "--chunks", "--stats").out
    assert out.endswith("""
  stats
  stream  segments    bytes  bits/value  worst cosine
  patch          1  1.90 MB       0.224        0.9100

  chunks
  stream  segment   rows  offset   bytes     mse  cosine  worst cosine
  patch         0  0..64    1000  130 kB  0.0123  0.9700        0.9300
  patch         0  0..64    1000  130 kB  0.0123  0.9700        0.9300
""")


def test_inspect_lists_forty_streams_unless_verbose(embdc: Embdc, fake: Fake) -> None:
    streams = [documents.PATCH | {"name": f"stream{number:02d}", "item": number % 2} for number in range(50)]
    fake.answers["inspect"] = documents.inspect_document(streams=streams)
    short, full = embdc("inspect", "a.embdc").out, embdc("inspect", "a.embdc", "-v").out
    assert ("stream39" in short, "stream40" in short, "10 more streams" in short) == (True, False, True)
    assert "stream49" in full
    assert "item" in full


def test_planes_need_somewhere_to_go(embdc: Embdc, fake: Fake) -> None:
    done = embdc("inspect", "a.embdc", "--planes")
    assert (done.exit, fake.calls) == (2, [])
    assert "--planes: needs --json or --report" in done.err
    embdc("inspect", "a.embdc", "--planes", "--json")
    assert fake.last["planes"] is True


def test_inspect_asks_for_details(embdc: Embdc, fake: Fake) -> None:
    embdc("inspect", "a.embdc", "--chunks", "--stats", "--codebook", "c")
    assert fake.last == {
        "path": "a.embdc",
        "chunks": True,
        "stats": True,
        "decoded": False,
        "planes": False,
        "codebooks": ("c",),
        "reading": EncodeOptions(),
        "plots": None,
        "force": False,
    }


def test_inspect_asks_for_the_values_of_a_dump(embdc: Embdc, fake: Fake, tmp_path: Path) -> None:
    fake.answers["inspect"] = documents.dump_document()
    layout = ("--key", "w", "--input-format", "raw", "--raw", "dtype=f32,shape=8x8", "--axes", "t,c")
    assert embdc("inspect", "a", "--stats", "--plots", str(tmp_path), "-f", *layout).exit == 0
    reading = EncodeOptions(key="w", input_format="raw", raw="dtype=f32,shape=8x8", axes="t,c")
    assert (fake.last["reading"], fake.last["plots"], fake.last["force"]) == (reading, str(tmp_path), True)


@pytest.mark.parametrize("extra", [("--decoded",), ("--plots", "."), ("--key", "w"), ("--axes", "t,c")])
def test_what_needs_stats(embdc: Embdc, fake: Fake, extra: tuple[str, ...]) -> None:
    done = embdc("inspect", "a.npy", *extra)
    assert (done.exit, fake.calls) == (2, [])
    assert extra[0] in done.err
    assert "--stats" in done.err


def test_plots_need_a_folder(embdc: Embdc, fake: Fake) -> None:
    done = embdc("inspect", "a.npy", "--stats", "--plots", "nowhere")
    assert (done.exit, fake.calls) == (2, [])
    assert done.err.splitlines()[-1] == "hint: create it first"


DUMP = """\
a.safetensors: safetensors, 1 tensor of floats

  w, 768 x 192 float32
    verdict           noise: like noise
    values            -0.25 to 0.26, mean 0.001, deviation 0.05
    8-bit entropy     6.75 bits, with a scale for every channel 7.46 bits
    excess kurtosis   -0.0006, within channels -0.07
    outliers          0 % beyond 6 deviations; 0.73 % of the energy in 1 % of
                      channels
    neighbours        time -0.01, vertical -, horizontal -, channel 0.00
    between channels  0.05 on average
    gain in dB        plane 8x8 DCT 0.0, time DCT 0.0, KLT 0.3, its basis paid
                      for 0.0
    from pictures     0.99 of 1; correlation 0.00, slope -0.01, gradient
                      kurtosis 0.19
    forecast          nmse 0.01: 3.32 bits/value, 3.27 after a KLT, 3.32 with
                      its basis
  steps: int64, skipped
"""


def test_inspect_of_a_dump(embdc: Embdc, fake: Fake) -> None:
    fake.answers["inspect"] = documents.dump_document()
    assert embdc("inspect", "a.safetensors", "--stats").out == DUMP


def test_inspect_of_a_dump_of_several_tensors(embdc: Embdc, fake: Fake) -> None:
    tensors = [documents.SHAPE | {"name": f"w{number:02d}"} for number in range(50)]
    fake.answers["inspect"] = documents.dump_document(distribution=tensors)
    short = embdc("inspect", "a.safetensors", "--stats").out.splitlines()
    assert short[2:4] == [
        "  tensor  bits  kurtosis  massive  plane  time  klt  natural  verdict",
        "  w00     6.75       0.0   0.73 %    0.0   0.0  0.0     0.99  noise",
    ]
    assert "  10 more tensors; -v or --json tells more of each" in short
    assert "w40" not in "".join(short)
    assert "w49, 768 x 192 float32" in embdc("inspect", "a.safetensors", "--stats", "-v").out


def test_inspect_json(embdc: Embdc, fake: Fake) -> None:
    done = embdc("inspect", "a.embdc", "--json")
    assert done.json == documents.inspect_document()


def fail_for_b(path: str, **_: Any) -> Any:
    """An answer that finds b corrupt."""
    return CorruptArchive(f"{path}: wrong") if path == "b" else documents.inspect_document(path)


@pytest.mark.parametrize("command", ["inspect", "verify", "plan"])
def test_a_failure_of_several_says_which_it_is(embdc: Embdc, fake: Fake, command: str) -> None:
    fake.answers[command] = CorruptArchive("stream 'data': wrong")
    assert embdc(command, "a", "b").err == "embdc: a: stream 'data': wrong\nembdc: b: stream 'data': wrong\n"
    assert embdc(command, "a").err == "embdc: stream 'data': wrong\n"


def test_inspect_several(embdc: Embdc, fake: Fake) -> None:
    fake.answers["inspect"] = fail_for_b
    done = embdc("inspect", "a", "b", "c", "--json")
    assert [item["path"] for item in done.json["items"]] == ["a", "b", "c"]
    assert [item["exit"] for item in done.json["items"]] == [0, 5, 0]
    assert done.exit == done.json["exit"] == 3
    assert done.err == "embdc: b: wrong\n"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ["a: ok, 15 chunks, 2.00 MB checked"]),
        (
            {"against": documents.AGAINST},
            [
                "a: ok, 15 chunks, 2.00 MB checked",
                "  against the original: nmse 0.058, cosine 0.9700, largest error 0.5",
            ],
        ),
        (
            {"ok": False, "against": documents.AGAINST | {"nmse": None, "matches": False}, "exit": 4},
            [
                "a: not what it was made from; 15 chunks, 2.00 MB checked",
                "  against the original: nmse -, cosine 0.9700, largest error 0.5",
            ],
        ),
        (
            {"ok": False, "problems": [documents.DAMAGE], "exit": 5},
            [
                "a: corrupt; 15 chunks, 2.00 MB checked",
                "  offset 4096: chunk 3: checksum",
                "    lost: stream patch, rows 64 to 128 (2.133 s to 4.267 s)",
            ],
        ),
        (
            {"ok": False, "complete": False, "exit": 3},
            ["a: incomplete, what is there is good; 15 chunks, 2.00 MB checked"],
        ),
    ],
)
def test_verify(embdc: Embdc, fake: Fake, changes: dict[str, Any], lines: list[str]) -> None:
    fake.answers["verify"] = documents.verify_document("a", **changes)
    done = embdc("verify", "a")
    assert done.out.splitlines() == lines
    assert done.exit == changes.get("exit", 0)
    verbose = embdc("verify", "a", "-v").out.splitlines()
    assert verbose[1] == f"  format version 0, {'complete' if changes.get('complete', True) else 'not complete'}"
    quiet = embdc("verify", "a", "-q").out.splitlines()
    assert quiet == (lines if done.exit else [])


def test_verify_several(embdc: Embdc, fake: Fake) -> None:
    fake.answers["verify"] = lambda path, **_: documents.verify_document(path, ok=path != "b", exit=5 * (path == "b"))
    assert embdc("verify", "a", "b", "c").exit == 3
    assert embdc("verify", "a", "c").exit == 0
    assert json.loads(embdc("verify", "a", "b", "--json").out)["totals"]["failed"] == 1


def test_verify_against(embdc: Embdc, fake: Fake) -> None:
    embdc("verify", "a", "--against", "a.h5", "--key", "k", "--codebook", "c")
    assert fake.last == {"path": "a", "against": "a.h5", "codebooks": ("c",), "key": "k", "deep": False}
    embdc("verify", "a", "--deep")
    assert fake.last["deep"]


COMPARED = """\
a.embdc against a.npy: 2.00 MB, 0.236 bits/value

  patch, 900 x 196 x 384 float16
    error          nmse 0.0583, snr 12.34 dB, channel nmse 0.41, largest 12.5
    direction      cosine 0.9703 (1st percentile 0.9510), centred 0.9612
    norm drift     -1.23 %
    cka            0.9912
    recall@1, @10  tokens 0.61, 0.73; mean of rows 0.91, 0.95
    worst cosine   0.9100 in row 12 at 0.48 s
    worst nmse     0.2 in row 12 at 0.48 s
    cosine by row  █▁▇
                   0.9000 to 0.9800
    nmse by row    ▁█▁
                   0.05 to 0.2
"""


def test_compare_shows_one_stream_within_80_columns(embdc: Embdc) -> None:
    done = embdc("compare", "a.npy", "a.embdc")
    assert (done.exit, done.out, done.err) == (0, COMPARED, "")
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert embdc("compare", "a.npy", "a.embdc", "-q").out == COMPARED


def test_compare_says_which_limit_is_missed(embdc: Embdc, fake: Fake) -> None:
    missed = [documents.MISS, documents.MISS | {"option": "--min-recall", "measure": "recall.tokens_10", "found": None}]
    fake.answers["compare"] = documents.compare_document(missed=missed, exit=4)
    done = embdc("compare", "a.npy", "a.embdc", "-q")
    assert (done.exit, done.out) == (4, COMPARED)
    assert done.err.splitlines() == [
        "embdc: stream 'patch': cosine, expected at least 0.98 (--min-cosine), found 0.97031",
        "embdc: stream 'patch': recall.tokens_10, expected at least 0.98 (--min-recall), found nothing to measure",
    ]
    assert embdc("compare", "a.npy", "a.embdc", "--json").json["missed"] == missed


def test_compare_shows_a_task_and_what_is_lost(embdc: Embdc, fake: Fake) -> None:
    stream = documents.MEASURED | documents.TASK | {"nonfinite": 2, "nmse": None, "snr_db": None, "identical": True}
    companions = [{"name": "times", "identical": True}, {"name": "ids", "identical": False}]
    answer = documents.compare_document(streams=[stream], companions=companions, external_codebook_bytes=800_000)
    fake.answers["compare"] = answer
    lines = embdc("compare", "a.npy", "a.embdc").out.splitlines()
    assert lines[0] == "a.embdc against a.npy: 2.00 MB, 0.236 bits/value, codebook of 800 kB not counted"
    assert lines[2] == "  patch, 900 x 196 x 384 float16, identical"
    assert "    not finite     2 values that the reference has" in lines
    assert "    probe          agreement 0.97, kl 0.0123 nats; 900 vectors, pooled" in lines
    assert "    accuracy       0.81 before, 0.79 after" in lines
    assert lines[-2:] == ["  times: identical", "  ids: DIFFERENT"]


def test_compare_shows_a_line_for_each_of_several_streams(embdc: Embdc, fake: Fake) -> None:
    streams = [documents.MEASURED | {"name": f"stream{number:02d}"} for number in range(50)]
    answer = documents.compare_document(other="b.npy", streams=streams, file_bytes=None, bits_per_value=None)
    fake.answers["compare"] = answer
    lines = embdc("compare", "a.npy", "b.npy").out.splitlines()
    assert lines[0] == "b.npy against a.npy"
    assert lines[3] == "  stream00  0.0583  12.34 dB  0.9703  0.9510  0.9912       0.73"
    assert lines[-1] == "  10 more streams; -v or --json tells more of each"
    verbose = embdc("compare", "a.npy", "b.npy", "-v").out
    assert verbose.count("norm drift") == 50


def test_repair(embdc: Embdc, fake: Fake) -> None:
    done = embdc("repair", "a.embdc", "-o", "r.embdc")
    assert fake.last == {"path": "a.embdc", "output": "r.embdc", "force": False}
    assert (done.exit, done.out) == (3, "")
    assert done.err.splitlines() == [
        "a.embdc -> r.embdc: 14 chunks kept, 1 flipped bit put right; 2.00 MB",
        "  lost: stream patch, rows 64 to 128 (2.133 s to 4.267 s)",
        "  lost: times of item 0 (patch), rows 64 to 128, spread evenly",
    ]
    fake.answers["repair"] = documents.repair_document(corrected=[], lost=[], lost_times=[], summary=False, exit=0)
    done = embdc("repair", "a.embdc", "-o", "-", "-f")
    assert fake.last == {"path": "a.embdc", "output": "-", "force": True}
    assert done.err.splitlines()[1:] == ["  lost: the summary with the quality achieved"]
    assert embdc("repair", "a.embdc", "-o", "r.embdc", "--json", "-q").json["chunks"] == 14


def test_cat(embdc: Embdc, fake: Fake) -> None:
    done = embdc("cat", "a", "b", "-o", "c.embdc")
    assert fake.last == {"inputs": ["a", "b"], "output": "c.embdc", "join": None, "force": False}
    assert (done.exit, done.out, done.err) == (0, "", "2 archives -> c.embdc: 1 item, 4.00 MB\n")
    verbose = embdc("cat", "a", "b", "-o", "c.embdc", "-v").err.splitlines()
    assert verbose[1:] == ["  streams: patch"]
    embdc("cat", "a", "b", "-o", "-", "--join", "items", "-f")
    assert fake.last == {"inputs": ["a", "b"], "output": "-", "join": "items", "force": True}


def test_cat_json(embdc: Embdc) -> None:
    assert embdc("cat", "a", "b", "-o", "c.embdc", "--json", "-q").json == documents.cat_document(["a", "b"])


def test_split(embdc: Embdc, fake: Fake) -> None:
    done = embdc("split", "a.embdc", "--every", "10m")
    assert fake.last == {"archive": "a.embdc", "output": None, "every": "10m", "force": False}
    assert (done.exit, done.out, done.err) == (0, "", "a.embdc -> a-0.embdc: 1 part, 2.00 MB\n")
    verbose = embdc("split", "a.embdc", "--every", "10m", "-o", "p{n}", "-f", "-v").err.splitlines()
    assert fake.last == {"archive": "a.embdc", "output": "p{n}", "every": "10m", "force": True}
    assert verbose[1:] == ["  a-0.embdc: 0.000 s to 600.100 s, 900 rows"]
    assert embdc("split", "a.embdc", "--every", "10m", "--json", "-q").json == documents.split_document("a.embdc")


POINT = documents.train_document()["heldout"][0]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {},
            [
                "  held out, nmse 0.1: 0.21 bits/value, 0.26 without (19 % less)",
                "  it pays from 250 MB of float16 embeddings on",
            ],
        ),
        (
            {"heldout": [POINT | {"bits_per_value_without": None, "gain": None}], "break_even_bytes": None},
            ["  held out, nmse 0.1: 0.21 bits/value, - without", "  it does not pay on the held-out inputs"],
        ),
        (
            {"heldout": [], "break_even_bytes": None},
            ["  nothing was held out, so what it saves is not known"],
        ),
    ],
)
def test_train(embdc: Embdc, fake: Fake, changes: dict[str, Any], lines: list[str]) -> None:
    fake.answers["train"] = documents.train_document("c.embdcb", **changes)
    done = embdc("train-codebook", "a", "b", "-o", "c.embdcb")
    assert done.err.splitlines() == ["c.embdcb: 800 kB, transform abababababab", *lines]
    assert done.out == ""
    verbose = embdc("train-codebook", "a", "b", "-o", "c.embdcb", "-v").err.splitlines()
    assert verbose[1] == "  200 vectors of 384 channels, from 100000 tokens"


def test_train_levels(embdc: Embdc, fake: Fake) -> None:
    fake.answers["train"] = documents.train_document("c.embdcb", **documents.LEARNT)
    lines = embdc("train-codebook", "a", "b", "-o", "c.embdcb", "--kind", "vq").err.splitlines()
    assert lines[1:4] == [
        "  2 levels, 75 % of codewords used",
        "  4 steps of refinement save 8.1 % in training, 1.6 % held out",
        "  from --init nmse 0.12 at 0.31 bits/value, afresh 0.13 at 0.33",
    ]
    verbose = embdc("train-codebook", "a", "b", "-o", "c.embdcb", "--kind", "vq", "-v").err
    assert "  level 1: 256 codewords of 16, 50 % used, perplexity 88, had by 40 % of tokens" in verbose


def test_train_json(embdc: Embdc) -> None:
    assert embdc("train-codebook", "a", "-o", "c", "--json", "-q").json == documents.train_document("c")
