"""Options: strict names, values read once and refused in one line, `--` and negative numbers."""

from __future__ import annotations

import dataclasses

import pytest

from embdc_cli.comparison.gates import GATES
from embdc_cli.options import CompareOptions, DecodeOptions, EncodeOptions
from tests.cli.program import Embdc, Fake

ENCODE = [
    ((), {}),
    (("--preset", "small"), {"preset": "small"}),
    (("--target-bpv", "2.9"), {"target_bpv": 2.9}),
    (("--target-bpv=.5",), {"target_bpv": 0.5}),
    (("--target-nmse", "1e-3"), {"target_nmse": 1e-3}),
    (("--target-channel-nmse", "0.2"), {"target_channel_nmse": 0.2}),
    (("--target-cosine", "0.99"), {"target_cosine": 0.99}),
    (("--max-size", "500MB"), {"max_size": 500_000_000}),
    (("--max-size", "500MiB"), {"max_size": 500 << 20}),
    (("--lossless",), {"lossless": True}),
    (("--codec", "auto"), {"codec": "auto"}),
    (("--effort", "3"), {"effort": 3}),
    (("--weighting", "w.npy"), {"weighting": "w.npy"}),
    (("--codebook", "c.embdcb", "--embed-codebook", "no"), {"codebook": "c.embdcb", "embed_codebook": "no"}),
    (("--codebook", "c.embdcb", "--reconstruction", "on"), {"codebook": "c.embdcb", "reconstruction": "on"}),
    (("--chunk-frames", "32"), {"chunk_frames": 32}),
    (("--nonfinite", "keep"), {"nonfinite": "keep"}),
    (("--keep-lossless", "*.norm", "--keep-lossless", "head*"), {"keep_lossless": ("*.norm", "head*")}),
    (("--codec", "hevc", "--rotation", "klt"), {"codec": "hevc", "rotation": "klt"}),
    (("--codec", "av1", "--inter", "off"), {"codec": "av1", "inter": "off"}),
    (("--codec", "h264", "--backend", "software"), {"codec": "h264", "backend": "software"}),
    (("--residual-in", "r.npz"), {"residual_in": "r.npz"}),
    (("--residual-out", "r.npz"), {"residual_out": "r.npz"}),
    (("--one-pass",), {"one_pass": True}),
    (("--spool-max", "1GiB"), {"spool_max": 1 << 30}),
    (("--device", "cuda:1"), {"device": "cuda:1"}),
    (("-j", "2"), {"jobs": 2}),
    (("-j2",), {"jobs": 2}),
    (("--encoder", "m", "--layer", "-2"), {"encoder": "m", "layer": -2}),
    (("--layer=-2",), {"layer": -2}),
    (("--streams", "patch, cls"), {"streams": ("patch", "cls")}),
    (("--fps", "every:25"), {"fps": "every:25"}),
    (("--time", "10s..1m30s"), {"time": "10s..1m30s"}),
    (("--batch-size", "8"), {"batch_size": 8}),
    (("--add", "a=b.npy@50hz", "--add", "c=d.npy"), {"add": ("a=b.npy@50hz", "c=d.npy")}),
    (("--encoder-dtype", "bf16"), {"encoder_dtype": "bf16"}),
    (("--encoder-dtype", "float16"), {"encoder_dtype": "float16"}),
    (("--compile",), {"compile": True}),
    (("--key", "features"), {"key": "features"}),
    (("--input-format", "npy"), {"input_format": "npy"}),
    (("--raw", "dtype=f16,shape=?x196x192"), {"raw": "dtype=f16,shape=?x196x192"}),
    (("--axes", "t,n,c"), {"axes": "t,n,c"}),
    (("--special-tokens", "auto"), {"special_tokens": "auto"}),
    (("-f",), {"force": True}),
    (("--append",), {"append": True}),
    (("--resume",), {"resume": True}),
    (("--skip-existing",), {"skip_existing": True}),
    (("--keep-going",), {"keep_going": True}),
    (("--fail-fast",), {"keep_going": False}),
    (("--record-name",), {"record_name": True}),
    (("--dry-run",), {"dry_run": True}),
]


@pytest.mark.parametrize(("flags", "expected"), ENCODE, ids=lambda value: " ".join(value))
def test_encode_options(embdc: Embdc, fake: Fake, flags: tuple[str, ...], expected: dict[str, object]) -> None:
    assert embdc("encode", "a.npy", "-o", "b.embdc", *flags).exit == 0
    assert fake.last["options"] == EncodeOptions(**expected)  # type: ignore[arg-type]
    assert (fake.last["source"], fake.last["output"]) == ("a.npy", "b.embdc")


def test_every_encode_option_is_in_the_table() -> None:
    named = {name for _, expected in ENCODE for name in expected}
    assert named == {field.name for field in dataclasses.fields(EncodeOptions)}


DECODE = [
    ((), {}),
    (("--format", "npz"), {"format": "npz"}),
    (("--item", "0"), {"item": "0"}),
    (("--stream", "cls"), {"stream": "cls"}),
    (("--frames", "-10:"), {"frames": "-10:"}),
    (("--time", "60s..65s"), {"time": "60s..65s"}),
    (("--levels", "3"), {"levels": 3}),
    (("--no-reconstruction",), {"reconstruction": False}),
    (("--dtype", "f32"), {"dtype": "f32"}),
    (("--dtype", "bfloat16"), {"dtype": "bfloat16"}),
    (("--on-damage", "nan"), {"on_damage": "nan"}),
    (("--follow", "--appends", "--idle-timeout", "30s"), {"follow": True, "appends": True, "idle_timeout": 30.0}),
    (("--backend", "software"), {"backend": "software"}),
    (("--codebook", "a.embdcb", "--codebook", "b.embdcb"), {"codebooks": ("a.embdcb", "b.embdcb")}),
    (("--device", "cpu", "-j", "2"), {"device": "cpu", "jobs": 2}),
    (("--force",), {"force": True}),
    (("--for", "vllm:m"), {"consumer": "vllm:m"}),
    (("--for", "hf:m", "--modality", "image", "--grid", "14x14"), {
        "consumer": "hf:m", "modality": "image", "grid": "14x14",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "expected"), DECODE, ids=lambda value: " ".join(value))
def test_decode_options(embdc: Embdc, fake: Fake, flags: tuple[str, ...], expected: dict[str, object]) -> None:
    assert embdc("decode", "a.embdc", "-o", "b.npy", *flags).exit == 0
    assert fake.last["options"] == DecodeOptions(**expected)  # type: ignore[arg-type]


def test_every_decode_option_is_in_the_table() -> None:
    named = {name for _, expected in DECODE for name in expected}
    assert named == {field.name for field in dataclasses.fields(DecodeOptions)}


COMPARE = [
    ((), {}),
    (("--key", "clip", "--axes", "t,c,n"), {"key": "clip", "axes": "t,c,n"}),
    (("--input-format", "raw", "--raw", "dtype=f16"), {"input_format": "raw", "raw": "dtype=f16"}),
    (("--codebook", "a.embdcb", "--codebook", "b.embdcb"), {"codebooks": ("a.embdcb", "b.embdcb")}),
    (("--probe", "h", "--probe-on", "first", "--labels", "y"), {"probe": "h", "probe_on": "first", "labels": "y"}),
    *(((f"--{name.replace('_', '-')}", "-.5"), {name: -0.5}) for name in GATES),
]


@pytest.mark.parametrize(("flags", "expected"), COMPARE, ids=lambda value: " ".join(value))
def test_compare_options(embdc: Embdc, fake: Fake, flags: tuple[str, ...], expected: dict[str, object]) -> None:
    assert embdc("compare", "a.npy", "b.embdc", *flags).exit == 0
    assert fake.last["options"] == CompareOptions(**expected)  # type: ignore[arg-type]
    assert (fake.last["reference"], fake.last["other"]) == ("a.npy", "b.embdc")


def test_every_compare_option_is_in_the_table() -> None:
    named = {name for _, expected in COMPARE for name in expected}
    assert named == {field.name for field in dataclasses.fields(CompareOptions)}


REFUSED = [
    (("compare", "a", "b", "--min-cosine", "high"), "--min-cosine: expected a number, found 'high'"),
    (("compare", "a", "b", "--probe-on", "cls"), "--probe-on: expected one of pooled, first, tokens, found 'cls'"),
    (("compare", "a", "-"), "input: -: expected a path or URL, standard input cannot be sought in"),
    (("compare", "a"), "missing argument 'ARCHIVE_OR_DUMP'"),
    (
        ("encode", "a", "--preset", "tiny"),
        "--preset: expected one of fast, balanced, small, near-lossless, found 'tiny'",
    ),
    (
        ("encode", "a", "--codec", "zip"),
        "--codec: expected one of transform, vq, h264, hevc, av1, lossless, auto, found 'zip'",
    ),
    (("encode", "a", "--rotation", "klt"), "--rotation: only with --codec h264, hevc, av1"),
    (
        ("encode", "a", "b", "--residual-out", "r.npz"),
        "--residual-in, --residual-out: expected a single input, found several or a list",
    ),
    (("encode", "a", "--effort", "4"), "--effort: expected a whole number from 0 to 3, found '4'"),
    (("encode", "a", "--chunk-frames", "0"), "--chunk-frames: expected a whole number from 1, found '0'"),
    (("encode", "a", "--target-bpv", "low"), "--target-bpv: expected a number, found 'low'"),
    (("encode", "a", "--target-bpv", "nan"), "--target-bpv: expected a number, found 'nan'"),
    (("encode", "a", "--target-bpv", "-1"), "--target-bpv: expected a number between 0 and inf, found -1"),
    (
        ("encode", "a", "--max-size", "500MX"),
        "--max-size: expected a size such as 500MB (10^6 bytes), 2GiB (2^30) or 4096, found '500MX'",
    ),
    (("encode", "a", "--preset", "fast", "--lossless"), "rate: --lossless and --preset exclude each other"),
    (
        ("encode", "a", "--target-bpv", "1", "--target-cosine", ".9"),
        "rate: expected one target, found --target-bpv and --target-cosine",
    ),
    (("encode", "a", "--device", "gpu"), "--device: expected auto, cpu, cuda or cuda:N, found 'gpu'"),
    (("encode", "a", "--special-tokens", "some"), "--special-tokens: expected auto or a whole number, found 'some'"),
    (("encode", "a", "--streams", "patch,,cls"), "--streams: expected names separated by commas, found 'patch,,cls'"),
    (("encode", "a", "--streams", "patch,cls,patch"), "--streams: expected every name once, found 'patch,cls,patch'"),
    (("encode", "a", "--shard", "4/4"), "--shard: expected i/n with 0 <= i < n, such as 0/8, found '4/4'"),
    (
        ("encode", "a", "--time-limit", "soon"),
        "--time-limit: expected a time such as 4s, 500ms, 1h02m, 01:02:03.5 or seconds, found 'soon'",
    ),
    (
        ("encode", "a", "--input-format", "csv"),
        "--input-format: expected one of npy, npz, safetensors, h5, pt, raw, video, found 'csv'",
    ),
    (
        ("decode", "a", "--format", "csv"),
        "--format: expected one of npy, npz, safetensors, h5, pt, raw, faiss, found 'csv'",
    ),
    (("encode", "a", "--encoder-dtype", "f8"), "--encoder-dtype: expected one of auto, f32, bf16, f16, found 'f8'"),
    (("decode", "a", "--dtype", "f8"), "--dtype: expected one of f16, bf16, f32, found 'f8'"),
    (("decode", "a", "--on-damage", "ignore"), "--on-damage: expected one of fail, skip, nan, found 'ignore'"),
    (("cat", "a", "-o", "b", "--join", "space"), "--join: expected one of time, items, found 'space'"),
    (("train-codebook", "a", "-o", "b", "--kind", "pq"), "--kind: expected one of transform, vq, found 'pq'"),
    (("train-codebook", "a", "-o", "b", "--holdout", "1"), "--holdout: expected a share such as 0.1 or 10%, found '1'"),
    (("train-codebook", "a", "-o", "b", "--sample", "0"), "--sample: expected a number such as 500k or 2M, found '0'"),
    (("completion", "tcsh"), "shell: expected one of bash, zsh, fish, found 'tcsh'"),
    (("encode", "a", "--layer"), "option '--layer' requires an argument"),
    (("decode",), "missing argument 'ARCHIVE'"),
    (("decode", "a", "b"), "got unexpected extra argument(s) (b)"),
    (("encode",), "input: missing, expected INPUT... or --files-from LIST"),
    (("cat", "a"), "output: missing"),
    (("repair", "a"), "output: missing"),
    (("train-codebook", "a"), "output: missing"),
    (("encode", "a", "--append"), "--append: needs the archive to add to"),
    (("encode", "a", "--null"), "--null: needs --files-from"),
    (("verify", "a", "b", "--against", "c"), "--against: one dump for 2 archives, expected one archive"),
    (("verify", "a", "--key", "c"), "--key: needs --against DUMP"),
    (
        ("encode", "a", "--fps", "often"),
        "--fps: expected a rate such as 1, 2.5 or 30000/1001, native or every:N, found 'often'",
    ),
    (("encode", "a", "--time", "5s"), "--time: expected a range A..B, found '5s'"),
    (("encode", "a", "--raw", "f16"), "--raw: expected dtype=...,shape=..., found 'f16'"),
    (("encode", "a", "--input-format", "raw"), "--input-format raw: expected --raw as well"),
    (("inspect", "-"), "input: -: expected a path or URL, standard input cannot be sought in"),
    (("verify", "a", "-"), "input: -: expected a path or URL, standard input cannot be sought in"),
    (("cat", "-", "a", "-o", "b"), "input: -: expected a path or URL, standard input cannot be sought in"),
    (("encode", "a", "--prese", "fast"), "no such option: --prese"),
    (("encode", "a", "--lossl"), "no such option: --lossl"),
    (("--frobnicate",), "no such option: --frobnicate"),
    (
        ("encod", "a"),
        "command: expected one of plan, encode, decode, inspect, ls, verify, compare, repair, cat, split, search, "
        "train-codebook, completion, found 'encod'",
    ),
]


@pytest.mark.parametrize(
    ("args", "message"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_refused(embdc: Embdc, fake: Fake, args: tuple[str, ...], message: str) -> None:
    done = embdc(*args)
    assert (done.exit, done.out) == (2, "")
    assert done.err.splitlines()[0] == f"embdc: {message}"
    assert len(done.err.splitlines()) <= 2
    assert not fake.calls


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("encode", "a", "--target-bvp", "1"), "did you mean --target-bpv?"),
        (("encode", "a", "--qqqq"), "see `embdc encode --help`"),
        (("decod", "a"), "did you mean decode?"),
        (("xyz",), "see `embdc --help`"),
    ],
)
def test_hint(embdc: Embdc, args: tuple[str, ...], hint: str) -> None:
    assert embdc(*args).err.splitlines()[1] == f"hint: {hint}"


def test_names_that_look_like_options_after_two_dashes(embdc: Embdc, fake: Fake) -> None:
    assert embdc("encode", "-o", "b.embdc", "--", "--lossless").exit == 0
    assert fake.last["source"] == "--lossless"


def test_last_of_a_repeated_option_counts(embdc: Embdc, fake: Fake) -> None:
    embdc("encode", "a.npy", "--effort", "1", "--effort", "2")
    assert fake.last["options"].effort == 2


def test_all_cores(embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 5})
    embdc("encode", "a.npy", "-j", "0")
    assert fake.last["options"].jobs == 3


def test_all_cores_where_the_system_does_not_tell_which(
    embdc: Embdc, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    embdc("encode", "a.npy", "-j", "0")
    assert fake.last["options"].jobs == 5


def test_train_settings(embdc: Embdc, fake: Fake) -> None:
    embdc(
        "train-codebook", "a.npy", "b.npy", "-o", "c.embdcb", "-f", "--max-bytes", "256KiB", "--sample", "500k",
        "--seed", "7", "--holdout", "25%", "--key", "k", "--fps", "1", "-j", "2",
    )  # fmt: skip
    assert fake.last["inputs"] == ["a.npy", "b.npy"]
    assert fake.last["output"] == "c.embdcb"
    assert fake.last["settings"] == {
        "force": True,
        "resume": False,
        "kind": "transform",
        "max_bytes": 262_144,
        "sample": 500_000,
        "seed": 7,
        "holdout": 0.25,
        "reading": EncodeOptions(key="k", fps="1", jobs=2),
    }


def test_train_settings_fit_the_library(embdc: Embdc, fake: Fake) -> None:
    from embdc_cli.codebook.training import TrainOptions

    embdc(
        "train-codebook", "a", "-o", "c", "--max-bytes", "1MB", "--sample", "1M", "--seed", "1", "--holdout", "0",
        "--kind", "vq", "--refine", "2", "--init", "i.embdcb", "--weighting", "token", "--probe", "p.npy",
        "--resume", "--reconstruction", "off",
    )  # fmt: skip
    assert TrainOptions(**fake.last["settings"]).sample == 1_000_000
    assert TrainOptions(**fake.last["settings"]).resume
    assert set(fake.last["settings"]) == {field.name for field in dataclasses.fields(TrainOptions)}
