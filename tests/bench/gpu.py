"""What a GPU does with embdc, beside what it could do at best.

    python tests/bench/gpu.py [--device cuda] [--clip video.mp4] [--small] [--show]

Source: synthetic embeddings of `speed.py`, chunks of 64 x 256 x 1024 values in float16 at half a bit per value, joined
to a longer archive; what is decoded from it lies in the page cache, but for `disk`. Every figure is a median of rounds,
timed after rounds that do not count, until the device has finished. GB/s are those of the values in float16, whatever
is moved for them, but for copy, pcie and disk, which count what they move.

floor: the least that must be done over what this device was measured to do in the same run. `copy`, bytes read and
written; `sgemm`, operations of float32 products as torch makes them (no TF32); `pcie`, bytes from page-locked memory.
of_floor: the figure as a share of it. `encode` is from host memory to bytes there, so `pcie` is a floor of it; `pack`
is the part of it from codes on the device on, of one batch.
--clip: frames a second by NVDEC, of a file. --small: tiny sizes, to see that everything runs; with --show, which prints
and records nothing, also on the CPU, where Triton has to be told to interpret (TRITON_INTERPRET=1).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import record
import speed
import torch
import triton

import embdc_cli as embdc
from embdc_cli.codec.device import cuda_codes
from embdc_cli.codec.device.packing import OnDevice, Packed, packing_of
from embdc_cli.codec.device.staging import Staging
from embdc_cli.codec.stage import ChunkRows
from embdc_cli.codec.transform.codec import TransformCodec
from embdc_cli.encoding.chunk_coder import coder_on
from embdc_cli.entropy.levels import cuda_encode
from embdc_cli.entropy.rans import cuda as rans
from embdc_cli.entropy.tables import static_tables
from embdc_cli.options import EncodeOptions
from embdc_cli.parallel import ordered_map
from embdc_cli.source.video import open_video

BPV: Final = 0.5
Row = dict[str, Any]
Work = Callable[[], object]


@dataclass
class Bench:
    """A device, the sizes, and the ceilings measured so far, in bytes or operations a second."""

    device: torch.device
    small: bool
    rows: list[Row] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In the words of `--device`."""
        return str(self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a chunk."""
        return (4, 6, 32) if self.small else (64, 256, 1024)

    def seconds(self, work: Work) -> float:
        """Median of rounds, each until the device has finished."""
        warm, rounds = (0, 1) if self.small else (3, 15)
        for _ in range(warm):
            work()
        found = []
        for _ in range(rounds):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - start)
        return float(np.median(found))

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_bytes(self, work: Work) -> int:
        """The most that `work` has of the device at once, beside what was there; 0 on the CPU."""
        if self.device.type != "cuda":
            return 0
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        self.wait()
        return torch.cuda.max_memory_allocated(self.device) - before

    def add(self, figure: str, value: float, unit: str, floor: float | None = None, note: str = "") -> None:
        """A figure; floor in the same unit."""
        share = "" if floor is None else f"{value / floor if unit != 'ms' else floor / value:.3f}"
        best = "" if floor is None else f"{floor:.4g}"
        shape = "x".join(map(str, self.shape))
        self.rows.append(
            {"figure": figure, "shape": shape, "value": f"{value:.4g}", "unit": unit, "floor": best, "of_floor": share}
            | {"note": note}
        )

    def facts(self) -> Row:
        """What every row says of the device."""
        if self.device.type != "cuda":
            return {"device": "cpu", "driver": "", "torch": torch.__version__, "triton": triton.__version__}
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", str(self.device.index or 0)]
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        name = torch.cuda.get_device_name(self.device)
        return {"device": name, "driver": driver, "torch": torch.__version__, "triton": triton.__version__}

    def least(self, values: int, moved: float, operations: float = 0.0) -> float:
        """GB/s of float16 that copy and sgemm allow for `values` values."""
        seconds = max(moved / self.ceilings["copy"], operations / self.ceilings["sgemm"])
        return 2 * values / seconds / 1e9


def ceilings(bench: Bench) -> None:
    """Copy, PCIe, products; and what others make of float16 or int8 values."""
    size = 1 << (16 if bench.small else 30)
    x = torch.randint(256, (size,), dtype=torch.uint8, device=bench.device)
    y = torch.empty_like(x)
    bench.ceilings["copy"] = 2 * size / bench.seconds(lambda: y.copy_(x))
    bench.add("copy", bench.ceilings["copy"] / 1e9, "GB/s", note="device to device, read and written")
    here = x.cpu()
    pinned = here.pin_memory() if bench.device.type == "cuda" else here
    bench.ceilings["pcie"] = size / bench.seconds(lambda: y.copy_(pinned, non_blocking=True))
    bench.add("pcie", bench.ceilings["pcie"] / 1e9, "GB/s", note="from page-locked memory: float16 kept as it is")
    bench.add("pageable", size / bench.seconds(lambda: y.copy_(here)) / 1e9, "GB/s", note="from other memory")
    n = 64 if bench.small else 8192
    a, b = torch.randn((2, n, n), device=bench.device)
    bench.ceilings["sgemm"] = 2 * n**3 / bench.seconds(lambda: a @ b)
    bench.add("sgemm", bench.ceilings["sgemm"] / 1e12, "T/s", note="operations, float32")
    tokens = x[: size // 1024 * 1024].view(torch.int8).view(-1, 1024)
    scales = torch.rand((1, 1024), device=bench.device, dtype=torch.float16)
    seconds = bench.seconds(lambda: tokens.half() * scales)
    floor = bench.least(tokens.numel(), 3 * tokens.numel())
    bench.add("int8", 2 * tokens.numel() / seconds / 1e9, "GB/s", floor, "torch: int8 to float16, a scale per channel")


def disk(bench: Bench, folder: str) -> None:
    """Reading raw float16 that is not in the page cache."""
    path = Path(folder, "raw.bin")
    size = 1 << (16 if bench.small else 32)
    block = np.random.default_rng(0).integers(256, size=min(size, 1 << 28), dtype=np.uint8).tobytes()
    with path.open("wb") as out:
        for _ in range(size // len(block)):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    buffer = bytearray(1 << 24)
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        while file.readinto(buffer):
            pass
        seconds = time.perf_counter() - start
    bench.add("disk", size / seconds / 1e9, "GB/s", note="sequential, not in the page cache: float16 kept as it is")
    path.unlink()


def entropy(bench: Bench) -> None:
    """rANS alone: symbols of the static tables, a payload each for so many chunks."""
    tables = static_tables()
    payloads, each = (3, 200) if bench.small else (4096, 1 << 15)
    rng = np.random.default_rng(2)
    classes = np.repeat(rng.integers(len(tables.freq), size=-(-each // 256)), 256)[:each].astype(np.uint8)
    slots = rng.integers(int(tables.freq[0].sum()), size=each)
    symbols = (slots[:, None] >= np.cumsum(tables.freq, axis=1)[classes]).sum(axis=1).astype(np.uint8)
    there = rans.tables_on(tables, bench.device)
    rows = torch.from_numpy(classes).to(bench.device).repeat(payloads)
    sent = torch.from_numpy(symbols).to(bench.device).repeat(payloads)
    edges = torch.arange(payloads + 1, dtype=torch.int64, device=bench.device) * each
    spans = torch.stack([edges[:-1], edges[1:]], 1).contiguous()
    lanes = rans.lane_counts(sent, rows, spans, there)
    data, places, flags = rans.encode(sent, rows, spans, lanes, there)
    found, wrong = rans.decode(data, places, rows, spans, there)
    if int(flags.sum() + wrong.sum()) or not torch.equal(found, sent):
        raise RuntimeError("rANS: decoded symbols differ")
    bits = 8 * float((places[:, 1] - places[:, 0]).sum()) / sent.numel()
    note = f"{payloads} payloads of {each} symbols, {bits:.2f} bits each"
    # a class and a symbol of a byte each, and the bits; as float16 at the bits per value that is asked for
    floor = bench.ceilings["copy"] / (2 + bits / 8) / 1e9
    for name, work in (
        ("rans decode", lambda: rans.decode(data, places, rows, spans, there)),
        ("rans encode", lambda: rans.encode(sent, rows, spans, lanes, there)),
    ):
        rate = sent.numel() / bench.seconds(work) / 1e9
        bench.add(name, rate, "Gsymbols/s", floor, f"{note}; {2 * rate * bits / BPV:.4g} GB/s of float16 at {BPV}")


def codec(bench: Bench, folder: str) -> dict[int, float]:
    """Archives to rows on the device and back, at two efforts: tokens decoded in a second."""
    frames, tokens, channels = bench.shape
    x = speed.source(frames, tokens, channels)
    rates = {}
    for effort in (0, 1):
        one, long = f"{folder}/one-{effort}.embdc", f"{folder}/long-{effort}.embdc"
        embdc.encode(x, one, effort=effort, target_bpv=16 if bench.small else BPV, chunk_frames=frames)
        embdc.cat([one] * (2 if bench.small else 128), long)
        rates[effort] = decode(bench, long, effort)
        encode(bench, one, x, effort)
        pack(bench, one, x, effort)
    return rates


def decode(bench: Bench, path: str, effort: int) -> float:
    """Tokens a second, all rows at once."""

    def first_chunk() -> None:
        with embdc.open(path, device=bench.name) as archive:
            archive["data"][: bench.shape[0]]

    rate = 0.0
    for resident in (False, True)[: 1 + (bench.device.type == "cuda")]:
        with embdc.open(path, device=bench.name, resident=bench.name if resident else None) as archive:
            view = archive["data"]
            values = view[:].numel()
            bits = 8 * os.path.getsize(path) / values
            seconds = bench.seconds(lambda rows=view: rows[:])
            peak = bench.peak_bytes(lambda rows=view: rows[:])
            kept, counted = archive.resident_bytes / 1e6, archive.peak_device_bytes / 1e6
            memory = f"{kept:.0f} MB kept, {peak / 1e6:.0f} MB at the peak, rows included, {counted:.0f} MB counted"
            note = f"{len(view)} rows, {bits:.3f} bits per value, {memory}"
        name = f"decode {effort}, resident" if resident else f"decode {effort}"
        bench.add(name, 2 * values / seconds / 1e9, "GB/s", bench.least(values, (2 + bits / 8) * values), note)
        rate = max(rate, values / bench.shape[2] / seconds)
    bench.add(
        f"first chunk {effort}", 1e3 * bench.seconds(first_chunk), "ms", note="open, read, decode; kernels loaded"
    )
    return rate


def encode(bench: Bench, path: str, x: np.ndarray, effort: int) -> None:
    """Chunks with the models of an archive, from host memory to bytes in host memory."""
    with embdc.open(path) as archive:
        view = archive["data"]
        entry = view.stream.entries[0]
        coder = coder_on(bench.name, archive.codec(view.stream, entry.record.segment, entry.record.kind), view.spec)
        most = coder.at_once(x.size)
        jobs, count = (1, 2) if bench.small else (os.cpu_count() or 1, max(64, 4 * most))
        chunks = [ChunkRows(lambda: x, x.size)] * count
        batches = [chunks[start : start + most] for start in range(0, count, most)]

        def work() -> None:
            for _ in ordered_map(coder.code, batches, jobs):
                pass

        seconds, peak = bench.seconds(work), bench.peak_bytes(work)
    floor = min(bench.least(x.size * count, 2.06 * x.size * count), bench.ceilings["pcie"] / 1e9)
    note = f"{count} chunks, {most} in a batch, {jobs} threads, {peak / 1e6:.0f} MB at the peak"
    bench.add(f"encode {effort}", 2 * x.size * count / seconds / 1e9, "GB/s", floor, note)


def pack(bench: Bench, path: str, x: np.ndarray, effort: int) -> None:
    """Codes of chunks that are on the device to their bytes in host memory: as if these were all different."""
    with embdc.open(path) as archive:
        stream = archive["data"].stream
        ((entry, payload),) = archive.reader.fetch(stream.entries[:1])
        codec = archive.codec(stream, entry.record.segment, entry.record.kind)
        if not isinstance(codec, TransformCodec):
            raise RuntimeError(f"effort {effort}: a chunk of {type(codec).__name__} has no codes")
        ((coded,), _, _) = codec.codes(payload, entry.record.rows)
        coder = codec.models.groups[0].chain.coder
        side = codec.models.groups[0].chain.last_side(coded.sides)
    staging = Staging(bench.device)
    packing = packing_of(coder, cuda_codes)
    if packing is None:  # of a source that is coded in another way
        raise RuntimeError(f"effort {effort}: codes of {type(coder).__name__} are not packed on a device")
    packer = OnDevice(packing, (cuda_encode, cuda_codes), staging)
    (codes,) = staging.copied([coded.codes])
    count = 2 if bench.small else 64

    def work() -> list[Packed]:
        ordered = [packer.ordered(codes) for _ in range(count)]
        known = iter(staging.fetched_together([tensor for one in ordered for tensor in one.known]))
        return packer.packed(ordered, [[next(known) for _ in one.known] for one in ordered], [side] * count)

    if work()[-1].data() != coder.encode(coded.codes, side):
        raise RuntimeError(f"effort {effort}: packed codes differ")
    seconds, peak = bench.seconds(work), bench.peak_bytes(work)
    size = len(work()[0].data())
    floor = bench.least(x.size * count, (4.0 * coded.codes.size + size) * count)
    share = f"{coded.codes.size / x.size:.3f} codes and {8 * size / x.size:.3f} bits per value"
    note = f"{count} chunks, {share}, {peak / 1e6:.0f} MB at the peak"
    bench.add(f"pack {effort}", 2 * x.size * count / seconds / 1e9, "GB/s", floor, note)


def encoder(bench: Bench, decoded: dict[int, float]) -> None:
    """A ViT-L/14 of random weights in bfloat16, from pixels on the device to patch tokens, against decoding these."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    large = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    tiny = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPVisionConfig(patch_size=14, image_size=224, **(tiny if bench.small else large))
    model = CLIPVisionModel(config).to(bench.device, torch.bfloat16).eval()
    batch = 2 if bench.small else 128
    pixels = torch.randn((batch, 3, 224, 224), device=bench.device, dtype=torch.bfloat16)
    with torch.inference_mode():
        rate = batch / bench.seconds(lambda: model(pixel_values=pixels).last_hidden_state)
    bench.add("encoder", rate, "frames/s", note=f"ViT-L/14, 256 patches, bfloat16, batch {batch}")
    for effort, tokens in decoded.items():
        bench.add(f"decode {effort} / encoder", tokens / (256 * rate), "x", note="tokens of as many channels a second")


def video(bench: Bench, clip: str) -> None:
    """Frames of a file, by NVDEC to RGB on the device, and by PyAV to RGB in host memory."""
    for name, device in (("nvdec", bench.device), ("pyav", None)):
        source = open_video(clip, EncodeOptions(device=bench.name, fps="native"), device)
        start = time.perf_counter()
        frames = sum(1 for _ in source)
        bench.wait()
        rate = frames / (time.perf_counter() - start)
        bench.add(name, rate, "frames/s", note=f"{frames} frames of {source.width} x {source.height}, RGB")
        source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--clip")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    bench = Bench(torch.device(args.device), args.small)
    with tempfile.TemporaryDirectory() as folder:
        ceilings(bench)
        disk(bench, folder)
        entropy(bench)
        encoder(bench, codec(bench, folder))
        if args.clip:
            video(bench, args.clip)
    if args.show:
        for row in bench.rows:
            print("  ".join(f"{key}={value}" for key, value in row.items()))
    else:
        record.append("gpu", [bench.facts() | row for row in bench.rows])


if __name__ == "__main__":
    main()
