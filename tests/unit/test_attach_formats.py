"""Values of foreign topics: JSON, Avro and Protobuf, with and without a schema registry's header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import MissingInput, UsageError
from streams.attach.formats import Decode, decoder
from streams.attach.paths import parsed, paths_in
from streams.attach.settings import ClickSource
from tests.support import foreign

RECORD = foreign.click(5)


def source(**more: Any) -> ClickSource:
    return ClickSource(kind="click", topic="shop.clicks", **{**foreign.PATHS, **more})


def avro(tmp_path: Path, schema: Any = foreign.AVRO, **more: Any) -> Decode:
    return decoder(source(format="avro", schema_file=foreign.write_avro_schema(tmp_path, schema), **more))


def protobuf(tmp_path: Path, **more: Any) -> Decode:
    file = foreign.write_descriptor_set(tmp_path)
    return decoder(source(**{"format": "protobuf", "schema_file": file, "message": foreign.MESSAGE, **more}))


def test_json_is_read_with_and_without_a_header() -> None:
    assert decoder(source())(foreign.json_value(RECORD)) == RECORD
    framed = foreign.framed(foreign.json_value(RECORD), 3)
    assert decoder(source(framing="confluent"))(framed) == RECORD


def test_avro_is_read_and_its_times_stay_numbers(tmp_path: Path) -> None:
    assert avro(tmp_path)(foreign.avro_value(RECORD, None)) == RECORD
    assert avro(tmp_path, framing="confluent")(foreign.avro_value(RECORD)) == RECORD


def test_protobuf_is_read_with_the_names_of_its_file(tmp_path: Path) -> None:
    read: Any = protobuf(tmp_path)(foreign.protobuf_value(RECORD, None))
    assert read == {**RECORD, "sku": str(RECORD["sku"]), "at": str(RECORD["at"])}
    assert protobuf(tmp_path, framing="confluent")(foreign.protobuf_value(RECORD)) == read


def test_a_protobuf_field_that_was_not_set_is_its_zero(tmp_path: Path) -> None:
    read: Any = protobuf(tmp_path)(foreign.protobuf_value({"visitor": {"id": "u"}}, None))
    assert (read["uuid"], read["sku"], read["scroll"]) == ("", "0", 0.0)


def test_the_short_form_of_the_message_indexes_means_the_first_message(tmp_path: Path) -> None:
    read = protobuf(tmp_path, framing="confluent", message="shop.Visitor")
    assert read(foreign.framed(b"\x00\x0a\x01u", 1)) == {"id": "u"}


def test_another_message_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"another message of its file: number \[0\], and \[1\] is meant"):
        protobuf(tmp_path, framing="confluent")(foreign.protobuf_value(RECORD, 9, b"\x00"))


@pytest.mark.parametrize("ids", [(), (6, 7)])
def test_the_schema_id_is_ignored_or_one_of_those_that_are_named(tmp_path: Path, ids: tuple[int, ...]) -> None:
    read = avro(tmp_path, framing="confluent", schema_ids=ids)
    assert read(foreign.avro_value(RECORD)) == RECORD


def test_another_schema_id_than_those_that_are_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema id 7 is none of 5, 6"):
        avro(tmp_path, framing="confluent", schema_ids=(6, 5))(foreign.avro_value(RECORD))


@pytest.mark.parametrize("value", [b"", b"\0", b"{}", b'{"uuid":"c"}'])
def test_a_value_without_the_header_is_refused_where_one_is_expected(value: bytes) -> None:
    with pytest.raises(ValueError, match="no header of a schema registry"):
        decoder(source(framing="confluent"))(value)


def test_bytes_that_are_left_over_are_another_schemas(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 bytes are left over"):
        avro(tmp_path)(foreign.avro_value(RECORD, None) + b"end")


def test_nesting_without_end_is_refused_and_not_crashed_upon() -> None:
    with pytest.raises(ValueError, match="nest"):
        decoder(source())(b"[" * 500_000)


ITSELF = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
NOTHINGS = {"type": "record", "name": "N", "fields": [{"name": "all", "type": {"type": "array", "items": "null"}}]}
EMPTY = {"type": "record", "name": "E", "fields": []}
EMPTIES = {
    "type": "record",
    "name": "N",
    "fields": [{"name": "one", "type": EMPTY}, {"name": "all", "type": {"type": "array", "items": "E"}}],
}


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (ITSELF, "holds itself"),
        (NOTHINGS, "elements that take no bytes"),
        (EMPTIES, "elements that take no bytes"),
        ({"type": "record"}, "no Avro schema that can be used"),
        ({"type": "nothing-like-it"}, "no Avro schema that can be used"),
        (7, "no Avro schema that can be used"),
    ],
)
def test_an_avro_schema_that_is_none_or_would_choke_on_hostile_bytes_is_refused(
    tmp_path: Path, schema: Any, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        avro(tmp_path, schema)
    assert str(tmp_path) in str(refused.value)


def test_a_schema_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"no\.avsc cannot be read: No such file"):
        decoder(source(format="avro", schema_file=tmp_path / "no.avsc"))


def test_a_message_that_the_descriptor_set_lacks_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no message 'shop\.View'") as refused:
        protobuf(tmp_path, message="shop.View")
    assert "--include_imports" in refused.value.hint
    broken = tmp_path / "broken.desc"
    broken.write_bytes(b"\xff\xff\xff")
    with pytest.raises(UsageError, match="is no descriptor set"):
        protobuf(tmp_path, schema_file=broken)


TREE = {"a": {"b": [{"c": 1}, {"c": 2}, {}]}, "x.y": {"z": 3}, "l": [[1, 2], [3]], "n": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0].c", 1),
        ("a.b[-2].c", 2),
        ("a.b[9].c", None),
        ("a.b[].c", [1, 2, None]),
        ('"x.y".z', 3),
        ("l[][]", [1, 2, 3]),
        ("a.c", None),
        ("n.x", None),
        ("a[]", None),
    ],
)
def test_a_path_finds_what_stands_there(path: str, value: object) -> None:
    assert parsed(path).find(TREE) == value


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[b]", "a b[", "a[0", '"a', "a[1]b", "[-]x"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parsed(text)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a.d.e", "a has b, and no d"),
        ("b", "the record has a, x.y, l, n, and no b"),
        ("a.b[7]", r"a.b is a list of 3, and no [7]"),
        ("n.x", "the record has a, x.y, l, n, and no n"),
        ("l[].z", "l[] is a list of 2, and no z"),
    ],
)
def test_where_a_path_ends_is_told_with_what_is_there(path: str, sentence: str) -> None:
    assert parsed(path).lost(TREE) == sentence


def test_the_paths_of_a_record_lead_to_its_values() -> None:
    found = list(paths_in(TREE))
    assert found == ["a.b[].c", '"x.y".z', "l[][]", "n"]
    assert [parsed(path).text for path in found] == found


def test_the_size_of_an_integer_is_no_matter() -> None:
    assert msgspec.json.encode(decoder(source())(b"[18446744073709551615]")) == b"[18446744073709551615]"
