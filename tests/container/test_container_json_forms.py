"""Archives with plain and with packed JSON are the same to everything that reads and goes on with them."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from embdc_cli.container import landmarks, packed_json, spec, tail, writer
from embdc_cli.container.join import join
from embdc_cli.container.packed_json import pack, unpack
from embdc_cli.container.recover import last_whole_chunk
from embdc_cli.container.storage import FileObject
from embdc_cli.container.writer import ArchiveWriter
from embdc_cli.errors import CorruptArchive
from tests.container.container_cases import (
    FORMS,
    HOSTILE,
    Plan,
    archive,
    chunks_of,
    comparable,
    edited,
    expected_chunks,
    forged,
    header_of,
    opened,
    plain,
    split,
    summary_of,
    write,
)

WRITTEN_BEFORE = Path(__file__).parent / "plain_json.embdc"
"""The archive of HOSTILE, written by embdc when it had no packed JSON."""

SMALL, LARGE = Plan(), Plan(rows=30, payload_bytes=9000)
PLANS = {"small": SMALL, "large": LARGE}


@pytest.fixture
def plain_archive(monkeypatch: pytest.MonkeyPatch) -> Callable[[Plan], bytes]:
    """Writes archives with plain JSON."""

    def make(plan: Plan) -> bytes:
        with monkeypatch.context() as patch:
            patch.setattr(writer, "pack", plain)
            return archive(plan)

    return make


def test_an_archive_from_before_still_reads() -> None:
    data = WRITTEN_BEFORE.read_bytes()
    chunks = split(data)
    reader = opened(data)
    assert reader.complete
    assert reader.verify() == ()
    assert reader.header.recipe == header_of(HOSTILE).recipe
    assert reader.summary == summary_of(HOSTILE)
    assert [stream.rows for stream in reader.streams] == [4, 4]
    assert chunks[0][1].startswith(b"{")
    assert reader.parts[0].uuid == hashlib.sha256(chunks[0][1]).hexdigest()[:32] == "6dde024a70fa3c44df2f0422489f48d6"
    assert len([payload for stream in reader.streams for _, payload in reader.fetch(stream.entries)]) == 4


def test_plain_json_gives_the_bytes_from_before(
    plain_archive: Callable[[Plan], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "MAJOR", 0)
    assert plain_archive(HOSTILE) == WRITTEN_BEFORE.read_bytes()


@pytest.mark.parametrize("size", PLANS)
def test_both_forms_say_the_same(size: str, plain_archive: Callable[[Plan], bytes]) -> None:
    plan = PLANS[size]
    before, after = plain_archive(plan), archive(plan)
    one, two = opened(before), opened(after)
    assert one.verify() == two.verify() == ()
    assert (one.header, one.summary) == (two.header, two.summary)
    assert one.parts[0].uuid == two.parts[0].uuid
    assert one.parts[0].part_id == two.parts[0].part_id
    assert one.parts[0].head == two.parts[0].head == header_of(plan).to_payload()
    for name in ("header", "summary"):
        assert two.report()[name] < 0.6 * one.report()[name]
    assert len(after) < len(before)


@pytest.mark.parametrize("size", PLANS)
@pytest.mark.parametrize("form", FORMS)
def test_a_cut_archive_reads_in_both_forms(
    size: str, form: str, plain_archive: Callable[[Plan], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint before the cut, and from the front."""
    plan = PLANS[size]
    data = (archive if form == "packed" else plain_archive)(plan)
    expected = comparable(expected_chunks(plan)["patch"])
    for search_bytes in (landmarks.SEARCH_BYTES, 0):
        monkeypatch.setattr(landmarks, "SEARCH_BYTES", search_bytes)
        for cut in (len(data) - 1, len(data) * 3 // 4):
            reader = opened(data[:cut])
            found = comparable(chunks_of(reader, reader.items[0])["patch"])
            assert found
            assert found == expected[: len(found)]
            assert reader.parts[0].head == header_of(plan).to_payload()
            assert reader.summary == (summary_of(plan) if cut == len(data) - 1 else None)


@pytest.mark.parametrize("size", PLANS)
def test_a_part_begun_with_plain_json_goes_on(size: str, plain_archive: Callable[[Plan], bytes]) -> None:
    plan = PLANS[size]
    begun = plain_archive(plan)
    out = io.BytesIO()
    point = last_whole_chunk(io.BytesIO(begun[: len(begun) // 2]))
    assert point is not None
    out.write(begun[: point.offset])
    going_on = ArchiveWriter.resume(out, header_of(plan), point, checkpoint_every=plan.checkpoint_every)
    write(plan, out, going_on, skip=len(point.chunks))
    reader = opened(out.getvalue())
    assert reader.complete
    assert reader.verify() == ()  # the copy of the header is packed, the header is not
    forms = {kind: content[:1] for kind, content in split(out.getvalue())}
    assert forms[spec.HEAD] == b"{"
    assert forms[spec.SUMMARY] == b"\x01"
    assert forms.get(spec.META, b"\x01") == b"\x01"
    assert (spec.META in forms) == (size == "large")


def test_archives_of_both_forms_join(plain_archive: Callable[[Plan], bytes]) -> None:
    one, two = replace(SMALL, bias=False), replace(SMALL, bias=False, seed=2)
    results = []
    for make in (plain_archive, archive):
        out = io.BytesIO()
        join([opened(make(one)), opened(archive(two))], out)
        assert opened(out.getvalue()).verify() == ()
        results.append(out.getvalue())
    assert results[0] == results[1]
    both = opened(plain_archive(one) + archive(two))
    assert both.verify() == ()
    assert len(both.items) == 2


def squeezed(payload: bytes, dictionary: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return b"\x01" + packer.compress(payload) + packer.flush()


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:-1],
    "bytes behind": lambda content: content + b"\0",
    "another form": lambda content: b"\x02" + content[1:],
    "damaged": lambda content: content[:1] + b"\xff" * 20,
    "another dictionary": lambda content: squeezed(unpack(content, "test"), packed_json.DICTIONARY[::-1]),
    "bomb": lambda content: squeezed(b'{"a":"' + bytes(1 << 24), packed_json.DICTIONARY),
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_header_packed_wrongly_is_refused_in_one_line(case: str) -> None:
    part_id = opened(archive(SMALL)).parts[0].part_id
    chunks = split(archive(SMALL))
    chunks[0] = (spec.HEAD, WRONG[case](chunks[0][1]))
    with pytest.raises(CorruptArchive, match="header") as caught:
        opened(forged(chunks, part_id=part_id))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("kind", [spec.META, spec.SUMMARY])
def test_end_matter_packed_wrongly_is_damage_and_the_rows_stay(kind: bytes, case: str) -> None:
    reader = opened(edited(archive(LARGE), kind, WRONG[case]))
    assert comparable(chunks_of(reader, reader.items[0])["patch"]) == comparable(expected_chunks(LARGE)["patch"])
    assert reader.damage
    assert reader.verify()
    assert reader.summary == (summary_of(LARGE) if kind == spec.META else None)


def test_a_copy_of_another_header_is_found() -> None:
    other = pack(header_of(replace(LARGE, seed=1)).to_payload())
    reader = opened(edited(archive(LARGE), spec.META, lambda content: other))
    assert any("copy of the header differs" in damage.what for damage in reader.verify())


@pytest.mark.parametrize("form", FORMS)
def test_a_landmark_knows_header_and_summary(form: str, plain_archive: Callable[[Plan], bytes]) -> None:
    """Without its tail, the part is known from its index, without a scan."""
    data = (archive if form == "packed" else plain_archive)(SMALL)
    end = len(data) - tail.CHUNK_BYTES
    mark = landmarks.find_landmark(FileObject(io.BytesIO(data[:end])), end)
    assert mark is not None
    assert mark.scan_from == end
    assert mark.part is not None
    assert mark.part.head == header_of(SMALL).to_payload()
    assert mark.part.summary == summary_of(SMALL)
