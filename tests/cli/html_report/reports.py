"""Reports of documents with everything in them, with nothing, with nulls, and with hostile names."""

from __future__ import annotations

from typing import Any

from embdc_cli import batch
from embdc_cli.cli.html_report.archive import archive
from embdc_cli.cli.html_report.codebook import codebook
from embdc_cli.cli.html_report.comparison import comparison
from embdc_cli.cli.html_report.forecast import forecast
from embdc_cli.forecast.total import total
from tests.cli import documents

HOSTILE = "<script>alert('\"')</script>&amp;</title></style>\x00\x1b\udcff"
PROBE = {"probe": {"top1_agreement": 0.9712, "kl": 0.01234}}


def hostile(value: Any) -> Any:
    """A document in which every text is hostile, and every field of an object that has none of its own."""
    if isinstance(value, dict):
        return {key: hostile(one) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return HOSTILE if isinstance(value, str) else value


def nulls(value: Any, *names: str) -> Any:
    """A document in which these fields are null, or lists of nulls."""
    if isinstance(value, dict):
        return {
            key: ([None] * len(one) if isinstance(one, list) else None) if key in names else nulls(one, *names)
            for key, one in value.items()
        }
    return [nulls(one, *names) for one in value] if isinstance(value, list) else value


CORPUS = batch.summary([documents.plan_document()] * 2, 2)
CORPUS["totals"]["rows"] = total([documents.plan_document()] * 2)
PLAN = documents.plan_document(rows=[row | PROBE for row in documents.plan_document()["rows"]], embed_s=63.0)
COMPARE = documents.compare_document(
    streams=[documents.MEASURED | documents.TASK, documents.MEASURED | {"name": "cls"}],
    companions=[{"name": "times", "identical": True}],
    missed=[documents.MISS],
    external_codebook_bytes=800_000,
)
INSPECT = documents.inspect_document(
    damage=[documents.DAMAGE],
    codebooks=[{"digest": "ab" * 32, "bytes": 800_000, "embedded": True}],
    chunks=[documents.CHUNK, documents.CHUNK | {"rows": [64, 128]}, documents.CHUNK | {"stream": "cls"}],
    stats=[documents.STATISTICS],
    planes=[documents.PLANES],
)
TRAIN = documents.train_document(
    heldout=[documents.train_document()["heldout"][0] | {"nmse": nmse} for nmse in (0.3, 0.1, 0.03)],
    warnings=["few tokens"],
)
FAILED = {"input": "b.npy", "status": "failed", "error": {"message": "b.npy: empty", "hint": None}, "exit": 8}


def plan_report(document: dict[str, Any]) -> str:
    return forecast(document, chosen="balanced")


FULL = {
    "compare": (comparison, COMPARE),
    "plan": (plan_report, PLAN),
    "inspect": (archive, INSPECT),
    "train-codebook": (codebook, TRAIN),
}
"""Command -> what makes its report, and a document with everything in it."""

MEASURED_NULLS = ("nmse", "snr_db", "channel_nmse", "cka", "seconds", "tokens_1", "tokens_10", "mse", "max_abs_error")
EMPTY_OVER_TIME = {"row": [], "seconds": None, "nmse": [], "cosine": []}
EMPTY_STREAM = {
    "tokens": 0,
    "over_time": EMPTY_OVER_TIME,
    "worst": [],
    "channels": {"rank": [], "variance": [], "mse": []},
}
ONE_ROW = {
    "over_time": {"row": [0], "seconds": [0.0], "nmse": [0.05], "cosine": [0.98]},
    "worst": [documents.MOMENT],
    "channels": {"rank": [0], "variance": [1.5], "mse": [0.25]},
}
EDGES: dict[str, str] = {
    "compare, no streams": comparison(documents.compare_document(streams=[])),
    "compare, no rows": comparison(documents.compare_document(streams=[documents.MEASURED | EMPTY_STREAM])),
    "compare, one row": comparison(documents.compare_document(streams=[documents.MEASURED | ONE_ROW])),
    "compare, nulls": comparison(nulls(COMPARE, *MEASURED_NULLS, "file_bytes", "bits_per_value")),
    "compare, no times": comparison(
        documents.compare_document(
            streams=[documents.MEASURED | {"over_time": documents.MEASURED["over_time"] | {"seconds": None}}]
        )
    ),
    "compare, many streams": comparison(documents.compare_document(streams=[documents.MEASURED] * 50)),
    "plan, no rows": plan_report(documents.plan_document(rows=[])),
    "plan, one row": plan_report(documents.plan_document(rows=documents.plan_document()["rows"][:1])),
    "plan, nulls": plan_report(nulls(PLAN, "nmse", "cosine", "bits_per_value", "ratio_fp16", "kl")),
    "plan, a batch": plan_report(batch.summary([documents.plan_document(), FAILED], 2)),
    "plan, a corpus": plan_report(CORPUS),
    "inspect, plain": archive(documents.inspect_document()),
    "inspect, no planes": archive(
        documents.inspect_document(planes=[documents.PLANES | {"vectors": [], "bits": [[] for _ in range(7)]}])
    ),
    "inspect, nothing": archive(
        documents.inspect_document(
            file_bytes=0, parts={}, values=0, bits_per_value=None, ratio_fp16=None, streams=[], items=[]
        )
    ),
    "inspect, cut": archive(nulls(INSPECT, *documents.ACHIEVED, "mse", "cosine_min") | {"complete": False}),
    "inspect, many streams": archive(
        documents.inspect_document(
            streams=[documents.inspect_document()["streams"][0]] * 50,
            chunks=[documents.CHUNK | {"item": item} for item in range(50)],
        )
    ),
    "inspect, a batch": archive(batch.summary([documents.inspect_document(), {"path": "b.npy"} | FAILED], 2)),
    "train, nothing held out": codebook(documents.train_document(heldout=[], break_even_bytes=None)),
    "train, one point": codebook(documents.train_document()),
    "train, levels": codebook(documents.train_document(**documents.LEARNT)),
    "train, nulls": codebook(
        nulls(TRAIN, "bits_per_value", "bits_per_value_without", "gain", "basis_share", "break_even_bytes")
    ),
}
