"""Packed JSON comes back, is never larger than plain, and never makes more than a reader allows."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embdc_cli.container import canonical, packed_json, spec
from embdc_cli.container.packed_json import DICTIONARY, pack, unpack
from embdc_cli.errors import CorruptArchive
from tests.container.container_cases import dumped

HEADER = {
    "version": [0, 0],
    "min_reader": 0,
    "features": [],
    "items": [{"source": {"kind": "npy"}}],
    "streams": [
        {
            "name": "data",
            "dtype": "float16",
            "axes": "t,n,c",
            "row_shape": [256, 384],
            "codec": "transform",
            "rows": 97,
        }
    ],
    "recipe": {
        "codec": "transform",
        "target": {"kind": "nmse", "value": 0.05},
        "effort": 2,
        "weighting": "none",
        "chunk_frames": 32,
        "nonfinite": "refuse",
        "one_pass": False,
        "special_tokens": "0",
    },
    "input_head_digest": "5b0c94f1a7de6382c41f9e0b7d5a2863f0e9b1c4d78a6352e1f04b9c8d7a5360",
    "target": {"kind": "nmse", "value": 0.05},
    "codec": {"name": "transform"},
    "limits": {
        "max_chunk_bytes": 67108864,
        "max_chunk_rows": 32,
        "max_chunk_values": 3145728,
        "max_rank": 384,
        "max_modes": 64,
        "max_group": 64,
    },
}
ACHIEVED = {
    "nmse": 0.04987120934817265,
    "channel_nmse": 0.06120987345610293,
    "cosine": 0.9731520948671023,
    "cosine_p1": 0.9012734509871236,
}
SUMMARY = {
    "streams": [
        {
            "rows": 97,
            "codec": "transform",
            "digest": "e1f04b9c8d7a53605b0c94f1a7de6382c41f9e0b7d5a2863f0e9b1c4d78a6352",
            "sums": {
                "values": 9535488,
                "sse": 102938.4756102938,
                "energy": 2064098.2736451,
                "tokens": 24832,
                "cosine_sum": 24165.312819736,
            },
            "achieved": ACHIEVED,
        }
    ],
    "achieved": ACHIEVED,
    "target": {"kind": "nmse", "value": 0.05, "saturated": False},
    "source": {
        "size_bytes": 19071104,
        "ends_digest": "7d5a2863f0e9b1c4d78a6352e1f04b9c8d7a53605b0c94f1a7de6382c41f9e0b",
    },
}


@pytest.mark.parametrize(("document", "most"), [(HEADER, 0.2), (SUMMARY, 0.4)], ids=["header", "summary"])
def test_documents_of_a_typical_archive_shrink(document: dict[str, Any], most: float) -> None:
    payload = canonical.dumps(document, "test")
    assert len(pack(payload)) < most * len(payload)


scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text()
numbers = st.floats(allow_nan=False, allow_infinity=False)
phrases = st.sampled_from([DICTIONARY.decode()[start : start + 40] for start in range(0, len(DICTIONARY), 40)])
values = st.recursive(
    scalars | numbers | phrases,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | phrases, inner, max_size=4),
    max_leaves=20,
)
documents = st.dictionaries(st.text() | phrases, values, max_size=6)


@settings(max_examples=200, deadline=None)
@given(documents)
def test_any_document_comes_back_and_is_never_larger(document: dict[str, Any]) -> None:
    payload = dumped(document)
    content = pack(payload)
    assert content == pack(payload)
    assert len(content) <= len(payload)
    assert unpack(content, "test") == unpack(payload, "test") == payload


def test_the_standard_library_reads_it_with_what_the_manual_says() -> None:
    content = pack(dumped(HEADER))
    assert content[0] == spec.PACKED_JSON != ord("{")
    assert json.loads(zlib.decompressobj(-15, zdict=DICTIONARY).decompress(content[1:])) == HEADER


def test_the_dictionary_lies_within_the_window() -> None:
    assert len(DICTIONARY) < (1 << 15) - 262  # deflate's window less its look-ahead
    assert DICTIONARY.isascii()
    assert not set(DICTIONARY) & set(b"\n\\ ")  # line ends are the manual's, and its lines need no more escapes


@pytest.mark.parametrize("document", [HEADER, SUMMARY], ids=["header", "summary"])
def test_a_stream_cut_at_any_byte_is_refused(document: dict[str, Any]) -> None:
    content = pack(dumped(document))
    for length in range(1, len(content)):
        with pytest.raises(CorruptArchive, match=f"^test: packed JSON is cut after {length} bytes$"):
            unpack(content[:length], "test")


def packed(payload: bytes, dictionary: bytes = DICTIONARY) -> bytes:
    """`payload` packed whatever it is."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return b"\x01" + packer.compress(payload) + packer.flush()


WHOLE = pack(dumped(HEADER))
BOMB = packed(b'{"a":"' + b"x" * (1 << 20) + b'"}')
WRONG = {
    "nothing": (b"", "expected JSON, plain or packed, found nothing"),
    "another form": (b"\x02" + WHOLE[1:], "expected JSON, plain or packed, found 02"),
    "a list": (b"[1]", "expected JSON, plain or packed, found 5b"),
    "spaces before": (b" {}", "expected JSON, plain or packed, found 20"),
    "no stream": (b"\x01", "cut after 1 bytes"),
    "a byte behind": (WHOLE + b"\0", "1 bytes behind the packed JSON"),
    "twice": (WHOLE + WHOLE, f"{len(WHOLE)} bytes behind the packed JSON"),
    "zlib header": (b"\x01" + zlib.compress(b"{}"), "packed JSON is damaged: "),
    "other bytes": (b"\x01" + b"\xff" * 50, "packed JSON is damaged: Error -3 while decompressing data"),
    "reaching before the dictionary": (
        packed(b"z" * 258 + dumped(HEADER), b"z" * 8000 + DICTIONARY),
        "packed JSON is damaged: Error -3 while decompressing data: invalid distance too far back",
    ),
    "bomb": (BOMB, f"expected at most {64 * len(BOMB)} bytes of JSON in {len(BOMB)}, found more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_in_one_line(case: str) -> None:
    content, message = WRONG[case]
    with pytest.raises(CorruptArchive) as caught:
        unpack(content, "test")
    assert caught.value.message.startswith("test: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_another_dictionary_gives_other_json() -> None:
    content = packed(dumped(HEADER), DICTIONARY[::-1])
    with pytest.raises(CorruptArchive, match="test: "):
        canonical.loads(unpack(content, "test"), "test")


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_is_exact(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = dumped(SUMMARY)
    content = pack(payload)
    monkeypatch.setattr(packed_json, "MAX_JSON_BYTES", len(payload) - more)
    if more:
        with pytest.raises(CorruptArchive, match=f"expected at most {len(payload) - 1} bytes of JSON"):
            unpack(content, "test")
    else:
        assert unpack(content, "test") == payload


def test_the_ratio_is_exact_and_the_writer_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 4 bytes of JSON per byte, text is found that just keeps it and text that just does not."""
    monkeypatch.setattr(packed_json, "MAX_JSON_RATIO", 4)
    seen = set()
    for size in range(200):
        payload = b'{"a":"' + b"x" * size + b'"}'
        small = packed(payload)
        excess = len(payload) - 4 * len(small)
        seen.add(excess)
        if excess > 0:
            assert pack(payload) == payload
            with pytest.raises(CorruptArchive, match=f"expected at most {4 * len(small)} bytes"):
                unpack(small, "test")
        else:
            assert unpack(small, "test") == payload
    assert {0, 1} <= seen


def test_many_streams_keep_the_ratio() -> None:
    streams = [{**HEADER["streams"][0], "name": f"model.layers.{number}.attn.k"} for number in range(5000)]  # type: ignore[index]  # a list
    payload = dumped({**HEADER, "streams": streams})
    assert len(pack(payload)) < len(payload) / 20


def test_a_bomb_takes_no_memory() -> None:
    content = packed(b'{"a":"' + bytes(100_000_000))
    assert len(content) < 200_000
    tracemalloc.start()
    with pytest.raises(CorruptArchive, match=f"expected at most {spec.MAX_JSON_BYTES} bytes of JSON"):
        unpack(content, "test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * spec.MAX_JSON_BYTES  # zlib collects blocks and then joins them
