"""Bad input through the real program: the right exit code, one clear line, a hint, nothing written."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import embdc_cli as embdc
from embdc_cli.cli.app import main
from tests.synthetic import embeddings

Make = Callable[[Path], list[str]]
"""Makes the bad input in a folder and returns the arguments of embdc."""


def encode(name: str, write: Callable[[Path], object], *options: str) -> Make:
    def make(folder: Path) -> list[str]:
        write(folder / name)
        return ["encode", name, "-o", "out.embdc", *options]

    return make


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def with_nan() -> np.ndarray:
    x = embeddings()
    x[7, 3, 11] = np.nan
    return x


def bomb(path: Path) -> None:
    header = npy(np.zeros((1, 1), np.float32))[:128].replace(b"(1, 1)", b"(9, 9)")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w", force_zip64=True) as member:
        member.write(header)
        for _ in range(600):
            member.write(bytes(1 << 20))


def external_link(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["video"] = h5py.ExternalLink("/etc/hostname", "/x")


def archive(folder: Path) -> Path:
    out = folder / "a.embdc"
    embdc.encode(embeddings(), str(out), target_nmse=0.05, chunk_frames=8)
    return out


def damaged(change: Callable[[bytes], bytes], *command: str) -> Make:
    def make(folder: Path) -> list[str]:
        path = archive(folder)
        path.write_bytes(change(path.read_bytes()))
        return [*command, "a.embdc"] if command[0] != "decode" else ["decode", "a.embdc", "-o", "out.npy"]

    return make


def future(folder: Path) -> list[str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("embdc_cli.container.spec.MAJOR", 9)
        patched.setattr("embdc_cli.container.spec.MAJORS", (9,))
        archive(folder)
    return ["inspect", "a.embdc"]


def only_audio(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def foreign_codebook(folder: Path) -> list[str]:
    np.save(folder / "x.npy", embeddings())
    np.save(folder / "wide.npy", embeddings(200, 12, 40))
    embdc.train_codebook([str(folder / "wide.npy")], str(folder / "wide.embdcb"))
    return ["encode", "x.npy", "-o", "out.embdc", "--codebook", "wide.embdcb"]


def same_file(folder: Path) -> list[str]:
    np.save(folder / "x.npy", embeddings())
    return ["encode", "x.npy", "-o", "./x.npy", "-f"]


def plain(*options: str) -> Make:
    return encode("x.npy", lambda path: np.save(path, embeddings()), *options)


CASES: dict[str, tuple[Make, int, str]] = {
    "empty file": (encode("x.npy", lambda path: path.write_bytes(b"")), 8, "empty"),
    "missing file": (lambda folder: ["encode", "nowhere.npy"], 8, "nowhere.npy"),
    "truncated npy": (encode("x.npy", lambda path: path.write_bytes(npy(embeddings())[:-100])), 8, "needs 23168 bytes"),
    "object npy": (encode("x.npy", lambda path: path.write_bytes(npy(np.array([{}], object)))), 8, "object"),
    "pickled pt": (encode("x.pt", lambda path: torch.save({"x": Path("a")}, path)), 8, "x.pt"),
    "bare pickle": (encode("x.pt", lambda path: path.write_bytes(pickle.dumps({"x": 1}))), 8, "x.pt"),
    "integers": (encode("x.npy", lambda path: np.save(path, np.arange(12).reshape(3, 4))), 8, "int64"),
    "NaN": (encode("x.npy", lambda path: np.save(path, with_nan())), 8, "NaN at [7, 3, 11]"),
    "zip bomb": (encode("x.npz", bomb), 8, "x.npz"),
    "external link": (encode("x.h5", external_link), 8, "video"),
    "text as mp4": (encode("x.mp4", lambda path: path.write_text("hello, world\n" * 9)), 8, "x.mp4"),
    "mp4 without video": (encode("x.mp4", only_audio), 8, "video"),
    "float64 losslessly": (
        encode("x.npy", lambda path: np.save(path, embeddings().astype(np.float64)), "--lossless"), 2, "float64"),
    "unknown codec": (plain("--codec", "zip"), 2, "transform"),
    "unknown option": (plain("--quality", "3"), 2, "--quality"),
    "two targets": (plain("--target-bpv", "1", "--lossless"), 2, "--lossless"),
    "negative target": (plain("--target-bpv", "-1"), 2, "--target-bpv"),
    "cosine of two": (plain("--target-cosine", "2"), 2, "--target-cosine"),
    "unknown preset": (plain("--preset", "best"), 2, "balanced"),
    "no chunk frames": (plain("--chunk-frames", "0"), 2, "--chunk-frames"),
    "bad size": (plain("--max-size", "5XB"), 2, "--max-size"),
    "too small": (plain("--max-size", "300"), 4, "allowed"),
    "no such device": (plain("--device", "cuda:77"), 9, "cuda:77"),
    "no such weighting": (plain("--weighting", "w.npy"), 8, "w.npy"),
    "no such codebook": (plain("--codebook", "c.embdcb"), 8, "c.embdcb"),
    "another encoder's codebook": (foreign_codebook, 6, "40 channels"),
    "output is the input": (same_file, 2, "also the input"),
    "missing folder": (
        lambda folder: [*plain()(folder)[:2], "-o", "no/where/out.embdc"], 2, "does not exist"),
    "wrong magic": (damaged(lambda data: b"PK" + bytes(900), "verify"), 5, "a.embdc"),
    "not an archive": (encode("a.embdc", lambda path: path.write_text("hello")), 8, "a.embdc"),
    "future version": (future, 6, "version 9"),
    "cut in the header": (damaged(lambda data: data[:100], "inspect"), 5, "a.embdc"),
    "flipped bit": (damaged(lambda data: data[:2200] + bytes([data[2200] ^ 1]) + data[2201:], "decode"), 5, "a"),
    "not a codebook": (
        encode("x.npy", lambda path: [np.save(path, embeddings()), (path.parent / "c.embdcb").write_text("no")],
               "--codebook", "c.embdcb"), 5, "c.embdcb"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, code, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    arguments = make(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == "", "data goes to stdout, words to stderr"
    lines = captured.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("embdc: ")]
    assert len(errors) == 1, captured.err
    assert words in errors[0]
    assert "Traceback" not in captured.err
    assert "internal error" not in captured.err
    assert {path.name for path in tmp_path.iterdir()} == before, "nothing is left behind"


VIDEO = Path(__file__).parents[1] / "samples/shapes.mp4"
RAW = ("--raw", "dtype=f16,shape=?")
OTHER_KIND = [
    *(("x.npy", args, f"{args[0]}: x.npy: expected a video, found npy") for args in (
        ("--time", "0s..1s"), ("--fps", "native"), ("--encoder", "patch-dct"), ("--layer", "-2"),
        ("--streams", "cls"), ("--batch-size", "4"))),
    *(("x.mp4", args, f"{args[0]}: x.mp4: expected a dump, found video") for args in (
        ("--key", "a"), ("--axes", "t,n,c"), ("--special-tokens", "auto"))),
    ("x.mp4", RAW, "--raw: x.mp4: expected bare numbers, found video"),
    ("x.mp4", (*RAW, "--input-format", "video"), "--raw describes raw input, found --input-format video"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "message"), OTHER_KIND, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("piped", [False, True], ids=["file", "stdin"])
def test_options_of_the_other_kind_of_input(
    name: str,
    args: tuple[str, ...],
    message: str,
    piped: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", embeddings())
    shutil.copy(VIDEO, "x.mp4")
    if piped:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(name).read_bytes())))
    assert main(["encode", "-" if piped else name, "-o", "out.embdc", *args]) == 2
    error, *hint = capsys.readouterr().err.splitlines()
    assert error == f"embdc: {message.replace(name, 'stdin') if piped else message}"
    assert not hint or (len(hint) == 1 and f"leave out {args[0]}" in hint[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "x.npy"]


def test_a_batch_fails_the_inputs_that_an_option_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", embeddings())
    shutil.copy(VIDEO, "v.mp4")
    assert main(["encode", "x.npy", "v.mp4", "--fps", "2", "--out-dir", "out", "--json"]) == 3
    items = json.loads(capsys.readouterr().out)["items"]
    assert [(item["status"], item["exit"]) for item in items] == [("failed", 2), ("done", 0)]


@pytest.mark.parametrize("options", [{"fps": 2}, {"raw": "dtype=f2,shape=?"}, {"input_format": "npy"}])
def test_options_of_files_and_videos_are_refused_for_arrays(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(embdc.UsageError, match=r"--(fps|raw|input-format): expected a .*, found arrays"):
        embdc.encode(embeddings(), tmp_path / "a.embdc", **options)


@pytest.mark.parametrize("case", ["NaN", "wrong magic", "unknown codec"])
def test_failures_as_json(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, code, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    assert main([*make(tmp_path), "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["exit"] == code
    assert words in document["error"]["message"]


def test_every_cut_of_an_archive_has_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = archive(tmp_path).read_bytes()
    header_end = 16 + 40 + struct.unpack("<Q", data[16 + 24 : 16 + 32])[0]
    for size in [*range(0, header_end + 60, 41), *range(header_end, len(data), 301), len(data) - 1]:
        (tmp_path / "a.embdc").write_bytes(data[:size])
        assert main(["verify", "-q", "a.embdc"]) == (3 if size >= header_end else 5), size
        assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_is_exit_9(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists() or sys.platform != "linux":
        pytest.skip("/dev/full is what a full disk looks like, and only Linux has it")
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", embeddings())
    embdc.encode("x.npy", "a.embdc")
    (tmp_path / "full.npy").symlink_to("/dev/full")
    monkeypatch.setattr(
        "embdc_cli.output.tempfile.mkstemp", lambda **_: (__import__("os").open("/dev/full", 2), "full.npy")
    )
    assert main(["decode", "a.embdc", "-o", "x2.npy"]) == 9
    assert "no space left" in capsys.readouterr().err
