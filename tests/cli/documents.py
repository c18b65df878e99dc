"""Documents as the library returns them, for tests of what the command line makes of them."""

from __future__ import annotations

from typing import Any

PATCH = {"name": "patch", "shape": [900, 196, 384], "dtype": "float16", "codec": "transform", "chunks": 15}
ACHIEVED = {"nmse": 0.0583, "channel_nmse": 0.41, "cosine": 0.97031, "cosine_p1": 0.951}


def plan_document(source: str = "a.npy", **changes: Any) -> dict[str, Any]:
    """Of `embdc plan`."""
    row = {"name": "balanced", "codec": "transform", "preset": "balanced", "effort": 1, "file_bytes": 2_000_000}
    row |= {"target": {"kind": "cosine", "value": 0.97}, "bits_per_value": 0.2362, "ratio_fp16": 67.74}
    row |= {"nmse": 0.0583, "cosine": 0.97031, "encode_s": 12.25, "decode_s": 0.004}
    exact = {"name": "lossless", "codec": "lossless", "preset": None, "effort": None, "file_bytes": 90_000_000}
    exact |= {"target": {"kind": "lossless", "value": 0.0}, "bits_per_value": 10.63, "ratio_fp16": 1.51}
    exact |= {"nmse": 0.0, "cosine": 1.0, "encode_s": 2.5, "decode_s": 0.6}
    document = {
        "input": source,
        "values": 67_737_600,
        "raw_bytes": 135_475_200,
        "streams": [{"name": "patch", "shape": [900, 196, 384], "dtype": "float16"}],
        "sample": {"chunks": 2, "of_chunks": 15, "complete": False},
        "embed_s": None,
        "rows": [row, exact],
        "exit": 0,
    }
    return document | changes


def encode_document(source: str = "a.npy", output: str = "a.embdc", **changes: Any) -> dict[str, Any]:
    """Of one finished input of `embdc encode`."""
    document = {
        "input": source,
        "output": output,
        "file_bytes": 2_000_000,
        "raw_bytes": 135_475_200,
        "values": 67_737_600,
        "bits_per_value": 0.2362,
        "ratio_fp16": 67.74,
        "ratio_fp32": 135.5,
        "streams": [PATCH | {"segments": 1, "codebook_segments": 0}],
        "external_codebook_bytes": 0,
        "target": {"kind": "cosine", "value": 0.97, "saturated": False},
        "achieved": ACHIEVED,
        "candidates": [],
        "seconds": {"plan": 1.5, "code": 10.5, "total": 12.25},
        "status": "done",
        "exit": 0,
    }
    return document | changes


CANDIDATE = {
    "codec": "hevc",
    "file_bytes": 2_000_000,
    "bits_per_value": 0.2362,
    "nmse": 0.058,
    "cosine": 0.97,
    "encode_s": 12.5,
    "decode_s": 0.5,
}


def decode_document(archive: str = "a.embdc", output: str = "a.npy", **changes: Any) -> dict[str, Any]:
    """Of `embdc decode`."""
    streams = [{"name": "patch", "shape": [900, 196, 384], "dtype": "float16"}]
    document = {"archive": archive, "output": output, "format": "npy", "streams": streams, "frames": 900}
    return document | {"lost": [], "io": IO, "exit": 0} | changes


HANDED_OVER = {
    "consumer": "vllm",
    "model": "Qwen/Qwen2.5-VL-7B-Instruct",
    "modality": "video",
    "items": [
        {"item": "0", "stream": "patch", "encoder": None, "rows": [0, 899], "seconds": [0, 30], "tokens": 176400}
    ],
    "tokens": [176400],
}
LOST = {"stream": "patch", "item": 0, "rows": [64, 128], "seconds": [2.1333, 4.2667]}
DAMAGE = {"offset": 4096, "bytes": 2000, "what": "chunk 3: checksum", "lost": [LOST]}
AGAINST = {"max_abs_error": 0.5, "nmse": 0.058, "cosine": 0.97, "matches": True}
STATISTICS = {
    "name": "patch",
    "item": 0,
    "payload_bytes": 1_900_000,
    "payload_bits_per_value": 0.224,
    "segments": 1,
    "cosine_min": 0.91,
}
PLANES = {
    "name": "patch",
    "item": 0,
    "payload_bytes": 1_900_000,
    "vectors": [[1, 1], [2, 2], [3, 4]],
    "bits": [[4_000_000.5, 2_000_000.0, 3_000_000.0], *[[800_000.0, 0.0, 120_000.0]] * 6],
}
SHAPE = {
    "name": "w",
    "shape": [768, 192],
    "dtype": "float32",
    "sampled": 147_456,
    "nonfinite": 0,
    "mean": 0.001,
    "deviation": 0.05,
    "least": -0.25,
    "greatest": 0.26,
    "entropy": {"tensor": 6.75, "channels": 7.46},
    "kurtosis": -0.0006,
    "channel_kurtosis": -0.07,
    "outliers": 0.0,
    "massive": 0.0073,
    "correlation": {"channels": 0.05, "time": -0.006, "vertical": None, "horizontal": None, "channel": -0.0004},
    "tiling": "plane",
    "gain_db": {"dct": 0.005, "time": 0.001, "klt": 0.31, "klt_paid": -1e-9},
    "natural": {"distance": 0.99, "correlation": -0.003, "slope": -0.013, "gradient_kurtosis": 0.19},
    "forecast": {"nmse": 0.01, "channels": 3.316, "klt": 3.27, "klt_paid": 3.322},
    "verdict": {"kind": "noise", "words": "like noise"},
}
CHUNK = {
    "stream": "patch",
    "item": 0,
    "segment": 0,
    "rows": [0, 64],
    "offset": 1000,
    "bytes": 130_000,
    "mse": 0.0123,
    "cosine": 0.97,
    "cosine_min": 0.93,
}


IO = {"requests": 1, "round_trips": 1, "bytes": 65_536}


def inspect_document(path: str = "a.embdc", **changes: Any) -> dict[str, Any]:
    """Of `embdc inspect`."""
    document = {
        "path": path,
        "format_version": 0,
        "complete": True,
        "file_bytes": 2_000_000,
        "parts": {"header": 900, "models": 60_000, "data": 1_935_000, "index": 3_000, "tail": 1_100, "other": 0},
        "values": 67_737_600,
        "bits_per_value": 0.2362,
        "ratio_fp16": 67.74,
        "ratio_fp32": 135.5,
        "items": [{"name": "0", "streams": ["patch"], "seconds": 30.0}],
        "streams": [PATCH | {"item": 0, "axes": "t,n,c", "timed": True}],
        "codec": {"name": "transform", "version": 1, "recipe": {"effort": 1}, "recipe_digest": "ab" * 32},
        "encoder": {"name": "patch-dct", "weights": "0123456789abcdef" * 4},
        "source": {"kind": "video", "size_bytes": 12_000_000},
        "target": {"kind": "cosine", "value": 0.97, "saturated": False},
        "achieved": ACHIEVED,
        "damage": [],
        "codebooks": [],
        "io": IO,
        "exit": 0,
    }
    return document | changes


def dump_document(path: str = "a.safetensors", **changes: Any) -> dict[str, Any]:
    """Of `embdc inspect --stats` of a dump."""
    found = {"path": path, "format": "safetensors", "distribution": [SHAPE]}
    return found | {"skipped": [{"name": "steps", "dtype": "int64"}], "exit": 0} | changes


def verify_document(path: str = "a.embdc", **changes: Any) -> dict[str, Any]:
    """Of `embdc verify`."""
    document = {
        "path": path,
        "ok": True,
        "complete": True,
        "format_version": 0,
        "chunks": 15,
        "bytes_checked": 2_000_000,
        "deep": False,
        "problems": [],
        "against": None,
        "io": IO,
        "exit": 0,
    }
    return document | changes


MOMENT = {"by": "cosine", "row": 12, "seconds": 0.48, "nmse": 0.2, "cosine": 0.91}
MEASURED = {
    "name": "patch",
    "shape": [900, 196, 384],
    "dtype": "float16",
    "tokens": 176_400,
    "identical": False,
    "nonfinite": 0,
    "nmse": 0.0583,
    "snr_db": 12.343,
    "channel_nmse": 0.41,
    "max_abs_error": 12.5,
    "cosine": 0.97031,
    "cosine_p1": 0.951,
    "centred_cosine": 0.9612,
    "norm_drift": -0.0123,
    "cka": 0.9912,
    "recall": {"tokens_1": 0.61, "tokens_10": 0.73, "pooled_1": 0.91, "pooled_10": 0.95},
    "worst": [MOMENT, MOMENT | {"by": "nmse"}],
    "over_time": {"row": [0, 300, 600], "seconds": [0, 12, 24], "nmse": [0.05, 0.2, 0.06], "cosine": [0.98, 0.9, 0.97]},
    "channels": {"rank": [0, 128, 256], "variance": [4.5, 2.25, 1.125], "mse": [0.5, 0.3125, 0.25]},
    "probe": None,
    "labels": None,
}
TASK = {
    "probe": {"on": "pooled", "vectors": 900, "agreement": 0.97, "kl": 0.0123},
    "labels": {"rows": 900, "before": 0.81, "after": 0.79, "loss": 0.02},
}
MISS = {
    "stream": "patch",
    "option": "--min-cosine",
    "measure": "cosine",
    "bound": "at least",
    "limit": 0.98,
    "found": 0.97031,
}


def compare_document(reference: str = "a.npy", other: str = "a.embdc", **changes: Any) -> dict[str, Any]:
    """Of `embdc compare`."""
    document = {
        "reference": reference,
        "other": other,
        "file_bytes": 2_000_000,
        "bits_per_value": 0.2362,
        "external_codebook_bytes": 0,
        "streams": [MEASURED],
        "companions": [],
        "missed": [],
        "io": IO,
        "exit": 0,
    }
    return document | changes


def cat_document(inputs: list[str], output: str = "c.embdc", **changes: Any) -> dict[str, Any]:
    """Of `embdc cat`."""
    document = {
        "output": output,
        "inputs": inputs,
        "join": "time",
        "items": 1,
        "streams": ["patch"],
        "file_bytes": 4_000_000,
    }
    return document | {"io": IO, "exit": 0} | changes


def split_document(archive: str, output: str = "a-0.embdc", **changes: Any) -> dict[str, Any]:
    """Of `embdc split`."""
    part = {"output": output, "rows": 900, "seconds": [0.0, 600.1], "file_bytes": 2_000_000}
    return {"archive": archive, "every": 600.0, "outputs": [part], "io": IO, "exit": 0} | changes


def repair_document(archive: str = "a.embdc", output: str = "r.embdc", **changes: Any) -> dict[str, Any]:
    """Of `embdc repair`."""
    document = {"archive": archive, "output": output, "parts": 1, "chunks": 14, "corrected": [70], "lost": [LOST]}
    document |= {"lost_times": [{"item": 0, "streams": ["patch"], "rows": [64, 128]}], "summary": True}
    document |= {"file_bytes": 2_000_000}
    return document | {"io": IO, "exit": 3} | changes


HIT = {"archive": "a.embdc", "item": 0, "stream": "patch", "frame": 12, "token": 57, "time": 0.48, "score": 0.987654}


NOT_SEARCHED = {"archive": "a.embdc", "item": 0, "stream": "patch", "rows": [64, 128], "seconds": [2.133, 4.267]}


def search_document(query: str = "q.npy", **changes: Any) -> dict[str, Any]:
    """Of `embdc search` for one vector."""
    document = {"query": query, "metric": "cosine", "pooled": False, "k": 10, "vectors": 176_400, "hits": [HIT]}
    return document | {"lost": [], "io": IO, "exit": 0} | changes


def train_document(output: str = "a.embdcb", **changes: Any) -> dict[str, Any]:
    """Of `embdc train-codebook`."""
    point = {"nmse": 0.1, "bits_per_value": 0.21, "bits_per_value_without": 0.26, "gain": 0.1923, "basis_share": 0.4}
    document = {
        "output": output,
        "digest": "ab" * 32,
        "kind": "transform",
        "file_bytes": 800_000,
        "channels": 384,
        "rank": 200,
        "tables": ["planes", "rounded"],
        "tokens_trained": 100_000,
        "inputs": 4,
        "encoder": None,
        "reconstruction": None,
        "heldout": [point],
        "break_even_bytes": 250_000_000,
        "warnings": [],
        "exit": 0,
    }
    return document | changes


LEARNT: dict[str, Any] = {
    "kind": "vq",
    "refinement": {"steps": 4, "gain_trained": 0.081, "gain_heldout": 0.016},
    "init": {
        "bits": 0.31, "nmse": 0.12, "cost": 1.1,
        "bits_without": 0.33, "nmse_without": 0.13, "cost_without": 1.2,
    },
    "levels": [
        {"codewords": 256, "width": 16, "used": 1.0, "perplexity": 201.5, "tokens": 0.9},
        {"codewords": 256, "width": 16, "used": 0.5, "perplexity": 88.0, "tokens": 0.4},
    ],
    "reconstruction": {
        "kept": True,
        "network_bytes": 577,
        "seconds_per_value": 1.5e-8,
        "points": [
            {
                "codec": codec, "step": step, "nmse": 0.1, "gain_trained": 0.061, "gain_forced": -0.01,
                "gain_heldout": gain,
            }
            for codec, step, gain in (("transform", 1.0, 0.0), ("vq", 1.0, 0.047), ("vq", 2.0, None))
        ],
    },
}  # fmt: skip
"""What kind vq adds to the document of `embdc train-codebook`."""
