"""Headers made to mislead: checksums are right, the JSON is not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from embdc_cli.container import canonical, spec
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive, UnsupportedArchive
from tests.container.container_cases import (
    FORMS,
    HOSTILE,
    Plan,
    archive,
    calls,
    chunks_of,
    comparable,
    expected_chunks,
    forged,
    header_of,
    opened,
    split,
    summary_of,
    with_head,
)


def test_forging_nothing_changes_nothing() -> None:
    data = archive(Plan(payload_bytes=30_000))
    assert forged(split(data)) == data
    assert with_head(lambda head: None) == archive(HOSTILE)


HEADERS: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception], str]] = {
    "major": (lambda head: head.update(version=[2, 0]), UnsupportedArchive, "format version 2.0"),
    "reader": (lambda head: head.update(min_reader=9), UnsupportedArchive, "reader level 9"),
    "feature": (lambda head: head.update(features=["warp"]), UnsupportedArchive, "feature 'warp'"),
    "dtype": (lambda head: head["streams"][0].update(dtype="float4"), UnsupportedArchive, "float4"),
    "limit": (lambda head: head["limits"].update(max_rank=1 << 40), UnsupportedArchive, "max_rank"),
    "limit gone": (lambda head: head["limits"].pop("max_rank"), CorruptArchive, "max_rank"),
    "no items": (lambda head: head.update(items=[]), CorruptArchive, "items"),
    "item unknown": (lambda head: head["streams"][0].update(item=7), CorruptArchive, "item"),
    "same names": (lambda head: head["streams"][0].update(name="ragged"), CorruptArchive, "same name"),
    "no name": (lambda head: head["streams"][0].update(name=""), CorruptArchive, "name"),
    "long name": (lambda head: head["streams"][0].update(name="n" * 5000), CorruptArchive, "name"),
    "negative": (lambda head: head["streams"][0].update(row_shape=[-1]), CorruptArchive, "row_shape"),
    "many axes": (lambda head: head["streams"][0].update(row_shape=[1] * 33), CorruptArchive, "33"),
    "true is no number": (lambda head: head["streams"][0].update(rows=True), CorruptArchive, "rows"),
    "float rows": (lambda head: head["streams"][0].update(rows=4.0), CorruptArchive, "rows"),
    "text flag": (lambda head: head["streams"][0].update(ragged="yes"), CorruptArchive, "ragged"),
    "promised rows": (lambda head: head["streams"][0].update(rows=5), CorruptArchive, "expected 5 rows, found 4"),
    "timebase": (lambda head: head["items"][0].update(timebase=[1, 0]), CorruptArchive, "timebase"),
    "no timebase": (lambda head: head["items"][0].pop("timebase"), CorruptArchive, "times"),
    "fewer streams": (lambda head: head["streams"].pop(), CorruptArchive, "stream"),
    "small rows": (lambda head: head["limits"].update(max_chunk_rows=1), CorruptArchive, "limits"),
    "small values": (lambda head: head["limits"].update(max_chunk_values=9), CorruptArchive, "limits"),
    "small bytes": (lambda head: head["limits"].update(max_chunk_bytes=60), CorruptArchive, "limit"),
    "huge rows": (lambda head: head["streams"][0].update(row_shape=[1 << 31] * 9), CorruptArchive, "limits"),
    "streams as text": (lambda head: head.update(streams="none"), CorruptArchive, "list of objects"),
    "recipe as list": (lambda head: head.update(recipe=[]), CorruptArchive, "recipe"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", HEADERS)
def test_a_wrong_header_is_refused(case: str, form: str) -> None:
    edit, kind, message = HEADERS[case]
    found, words = complaint(with_head(edit, store=FORMS[form]))
    assert found is kind
    assert message in words


def complaint(data: bytes) -> tuple[type[Exception], str]:
    """What opening raises; what only chunks contradict is read as far as it is right, and reported as damage."""
    try:
        reader = opened(data)
    except (CorruptArchive, UnsupportedArchive) as error:
        return type(error), error.message
    return CorruptArchive, " ".join(damage.what for damage in reader.damage)


def test_unknown_keys_and_unknown_ancillary_chunks_are_ignored() -> None:
    assert opened(with_head(lambda head: head.update(new={"a": [1]}))).verify() == ()
    chunks = split(archive(HOSTILE))
    seek = next(number for number, (kind, _) in enumerate(chunks) if kind == spec.DIGESTS)
    chunks.insert(seek, (b"nOTE", b"a note"))
    cut = forged(chunks[: seek + 1], seal=False)  # without an index, so that it need not list the note
    reader = opened(cut)
    assert [damage.what for damage in reader.damage] == ["the part ends without a tail"]
    assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(HOSTILE)["patch"])
    assert reader.report()["other"] == 6


def test_an_unknown_critical_chunk_stops_the_reader() -> None:
    chunks = split(archive(HOSTILE))
    with pytest.raises(UnsupportedArchive, match="ENCR"):
        opened(forged([*chunks[:3], (b"ENCR", b"secret")], seal=False))


@pytest.mark.parametrize("kind", [b"ENCR", b"nOTE"])
def test_an_index_hides_no_critical_chunk(kind: bytes) -> None:
    out = io.BytesIO()
    writer = ArchiveWriter(out, header_of(HOSTILE), checkpoint_every=2)
    for number, (name, arguments) in enumerate(calls(HOSTILE)):
        getattr(writer, name)(*arguments)
        if number == 3:
            writer._chunk(kind, b"unheard of")
    checkpointed = out.getvalue() if spec.INDEX in out.getvalue() else b""
    writer.finish(summary_of(HOSTILE))
    for data in (out.getvalue(), checkpointed):
        assert kind in data
        if kind == b"ENCR":
            with pytest.raises(UnsupportedArchive, match="ENCR"):
                opened(data)
        else:
            reader = opened(data)
            assert comparable(chunks_of(reader, reader.items[0])["patch"])


JSON_BOMBS = {
    "deep": b"[" * 100_000,
    "deep in objects": b'{"a":' * 20 + b"1" + b"}" * 20,
    "twice": b'{"a":1,"a":2}',
    "NaN": b'{"a":NaN}',
    "infinite": b'{"a":1e999}',
    "huge integer": b'{"a":' + b"9" * 5000 + b"}",
    "integer over 64 bits": b'{"a":18446744073709551616}',
    "spaces": b'{"a": 1}',
    "unsorted": b'{"b":1,"a":2}',
    "long float": b'{"a":1.50}',
    "not an object": b"[1]",
    "not UTF-8": b'{"a":"\xff"}',
    "escaped letter": b'{"a":"\\u0061"}',
    "half a surrogate": b'{"a":"\\ud800"}',
    "cut": b'{"a":"',
    "empty": b"",
    "large": b'{"a":"' + b"x" * spec.MAX_JSON_BYTES + b'"}',
}


@pytest.mark.parametrize("case", JSON_BOMBS)
def test_json_bombs_are_refused(case: str) -> None:
    with pytest.raises(CorruptArchive, match="test: "):
        canonical.loads(JSON_BOMBS[case], "test")


def test_a_repeated_key_is_named_as_such() -> None:
    with pytest.raises(CorruptArchive, match="a key is there twice"):
        canonical.loads(JSON_BOMBS["twice"], "test")


def test_a_bracket_inside_a_string_is_no_depth() -> None:
    value = {"a": ['"' + "[" * 99, "\\", "[" * 99], "b": -0.5, "c": (1 << 64) - 1, "ä": [None, True, 1e-07]}
    assert canonical.loads(canonical.dumps(value, "test"), "test") == value
